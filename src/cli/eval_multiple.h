/* unlearn eval, for suites of multiple-choice tasks (suites/multiple.h). */
#ifndef CLI_EVAL_MULTIPLE_H
#define CLI_EVAL_MULTIPLE_H

#include "cli/setup.h"
#include "suites/multiple.h"

/* Runs the suite and prints its table, or its summary as JSON; out: a folder for the logs, or NULL.
 */
int eval_multiple(const struct setup_options *so, const struct multiple_options *o, const char *out,
                  bool json, struct err *e);

#endif
