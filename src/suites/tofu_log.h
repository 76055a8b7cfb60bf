/* Logs of TOFU's own program (arXiv 2401.06121), eval_log_aggregated.json: for each of four sets an
 * object of columns {row: value}. Converted to OpenUnlearning's form: X_Q_A_Prob, X_Q_A_PARA_Prob,
 * X_Q_A_PERT_Prob and X_Q_A_ROUGE with X of forget, retain, ra and wf.
 */
#ifndef SUITES_TOFU_LOG_H
#define SUITES_TOFU_LOG_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

bool tofu_log_is(const json_t *log);
/* A new EVAL object, without aggregates; NULL on failure. */
json_t *tofu_log_read(const json_t *log, struct err *e);

#endif
