/* What a suite found, on standard output. */
#ifndef CLI_SUITE_PRINT_H
#define CLI_SUITE_PRINT_H

#include "suites/suite.h"

/* The summary as JSON, with the members of `more` (NULL: none), or a table of its metrics with
 * their intervals and rows. `held`, an EVAL object or NULL, adds a column with its aggregates and
 * the metrics that are no part of the summary. */
int suite_print(const struct suite *s, const json_t *held, bool json, json_t *more, struct err *e);

/* DIR/NAME_EVAL.json, NAME_SUMMARY.json and NAME_TABLE.json. */
int suite_write(const struct peer_log *log, const json_t *table, const char *dir, const char *name,
                struct err *e);

#endif
