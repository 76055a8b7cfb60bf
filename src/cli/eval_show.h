/* What is left of an evaluation: its files, its tables. */
#ifndef CLI_EVAL_SHOW_H
#define CLI_EVAL_SHOW_H

#include "suites/suite.h"

/* Writes the logs and NAME_COST.json into the folder `out` (NULL: none) and prints, as tables or as
 * one JSON object: the metrics, the data sets beside the retrained model (suites/retrained.h), and
 * the cost (report/cost.h), which is in the JSON object only if there is a ledger of a run. Two
 * evaluations alike give the same bytes in all files but NAME_COST.json. */
int eval_show(const struct suite *s, json_t *cost, const char *out, bool json, struct err *e);

#endif
