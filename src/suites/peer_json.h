/* Evaluation logs of other programs, which are read, and of OpenUnlearning, also written. */
#ifndef SUITES_PEER_JSON_H
#define SUITES_PEER_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "eval/records.h"

/* Evaluation logs in the files of OpenUnlearning, so that each program reads the other's files:
 *
 *   X_EVAL.json     {metric: {"agg_value": x, "value_by_index": {"0": {...}, ...}}}, with the
 *                   inputs of other metrics; single numbers have "agg_value" only
 *   X_SUMMARY.json  {metric: x}, those of the suite's summary
 *
 * Metrics are sorted by name, indented by 4, no newline at the end. A number that is missing (NaN)
 * is written as null, or as NaN, as Python does; either is read as missing. An infinite one is
 * written as 1.7976931348623157e308, or as Infinity; either is read as infinite. Spec: metrics.md
 * section 10.
 */

struct peer_log {
    json_t *eval, *summary; /* owned objects; zero-initialise */
    bool nan;               /* a missing number is written as NaN */
};

/* Takes the reference `metric` (also on failure); NULL is an error. */
int peer_log_add(struct peer_log *log, const char *name, json_t *metric, bool in_summary,
                 struct err *e);
/* DIR/SUITE_EVAL.json and DIR/SUITE_SUMMARY.json; the directory is made. */
int peer_log_write(const struct peer_log *log, const char *dir, const char *suite, struct err *e);
/* DIR/SUITE_KIND.json, indented by 4; flags of json_write_file. */
int peer_write(const json_t *j, const char *dir, const char *suite, const char *kind, size_t flags,
               struct err *e);
void peer_log_fini(struct peer_log *log);

/* A number; null for NaN, DBL_MAX for an infinity, which JSON cannot write. */
json_t *peer_number(double x);
/* A number; NaN for null or anything else. */
double peer_value(const json_t *j);
/* The aggregate of a metric in an EVAL or a SUMMARY object; NaN if it is not there. */
double peer_aggregate(const json_t *log, const char *metric);
/* The rows of a metric in an EVAL object, borrowed; NULL if it has none. */
json_t *peer_rows(const json_t *eval, const char *metric);

/* "value_by_index" as records: these columns and texts (bits). A list of numbers is a row of that
 * many cells. Appends to *out; rows = NULL adds none. */
int peer_read_rows(json_t *rows, unsigned columns, unsigned texts, struct records *out,
                   struct err *e);
/* The other way, a new reference; NULL on failure. */
json_t *peer_write_rows(const struct records *r, unsigned columns, unsigned texts, struct err *e);
/* The reference answer of row `index` in any metric of the log whose name starts with the same word
 * up to the first _ ("forget") as `metric`; NULL if none has it. */
const json_t *peer_truth(const json_t *eval, const char *metric, const char *index);

/* Logs of TOFU's own program (arXiv 2401.06121), eval_log_aggregated.json: for each of four sets an
 * object of columns {row: value}. Converted to OpenUnlearning's form: X_Q_A_Prob, X_Q_A_PARA_Prob,
 * X_Q_A_PERT_Prob and X_Q_A_ROUGE with X of forget, retain, ra and wf.
 */

bool tofu_log_is(const json_t *log);
/* A new EVAL object, without aggregates; NULL on failure. */
json_t *tofu_log_read(const json_t *log, struct err *e);

#endif
