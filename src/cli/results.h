/* Results of an evaluation: where their files may be written, the files, and what is printed. The
 * files are OUT/SUITE_EVAL.json, SUITE_SUMMARY.json, SUITE_TABLE.json and SUITE_COST.json. Two
 * evaluations alike give the same bytes in all but SUITE_COST.json.
 */
#ifndef CLI_RESULTS_H
#define CLI_RESULTS_H

#include <stdbool.h>

#include "report/verdict.h"
#include "suites/multiple.h"
#include "suites/suite.h"
#include "train/inputs.h"

struct results_claim {
    const char *out, *suite;
    bool overwrite;
    bool resume;                   /* false: results that are there are refused */
    const json_t *files, *options; /* of what they must be the results: {path: SHA-256}, {name:
                                      value}; an earlier evaluation's are in SUITE_COST.json */
};

/* Refuses an OUT that is one of the inputs or holds one of them under the name of a log, and
 * results of this suite that are there already, also of an evaluation that was interrupted, unless
 * they may be replaced or are to be resumed. Those of other suites, and other files, do not matter.
 * *finished: OUT has the results that are asked for; finished ones of another model or other data
 * are refused. */
int results_claim(const struct inputs *in, const struct results_claim *c, bool *finished,
                  struct err *e);

/* DIR/NAME_EVAL.json, NAME_SUMMARY.json and NAME_TABLE.json. */
int results_write(const struct peer_log *log, const json_t *table, const char *dir,
                  const char *name, struct err *e);

/* The summary as JSON, with the members of `more` (NULL: none), or a table of its metrics with
 * their intervals and rows. `held`, an EVAL object or NULL, adds a column with its aggregates and
 * the metrics that are no part of the summary. */
int results_print(const struct suite *s, const json_t *held, bool json, json_t *more,
                  struct err *e);
/* The same of multiple-choice tasks. */
int results_print_tasks(const struct multiple *m, bool json, struct err *e);

struct results_options {
    const char *out; /* folder of the files; NULL: none */
    bool json;
    const struct verdict_limits *limits;
    const json_t *before; /* EVAL object of the model before unlearning; NULL: not known */
};

/* All of an evaluation: writes the files and prints, as tables or as one JSON object: the metrics,
 * the comparison with the retrained model (suites/suite.h), the verdict (report/verdict.h), and the
 * cost (report/cost.h), which is in the JSON object only if there is a record of a run. */
int results_show(const struct suite *s, json_t *cost, const struct results_options *o,
                 struct err *e);

#endif
