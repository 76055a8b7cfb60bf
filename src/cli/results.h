/* Logs of an evaluation in a directory, OUT/SUITE_EVAL.json and its like: where they may be
 * written.
 */
#ifndef CLI_RESULTS_H
#define CLI_RESULTS_H

#include <stdbool.h>

#include "train/inputs.h"

/* Refuses an OUT that is one of the inputs or holds one of them under the name of a log, and logs
 * of this suite that are there already unless they may be replaced. Logs of other suites, and other
 * files, do not matter. */
int results_claim(const struct inputs *in, const char *out, const char *suite, bool overwrite,
                  struct err *e);

#endif
