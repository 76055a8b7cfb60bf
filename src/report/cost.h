/* Cost of training a model and the retrained one, and of the evaluation:
 *
 *   model, retrained  records of runs (train/cost.h), of their options only `method`; absent
 *                     for a model without a run
 *   share             {flops, seconds, tokens}: the model's divided by the retrained one's
 *   evaluation        {seconds, sequences, tokens, answers, new_tokens, first_row}: scored
 *                     sequences and generated answers of all models, and their tokens; the first
 *                     row as the model got it (text/rendered.h)
 */
#ifndef REPORT_COST_H
#define REPORT_COST_H

#include <jansson.h>

#include "base/buf.h"
#include "eval/backend.h"

/* `model` and `retrained`: directories, files or NULL. A new object; NULL: no memory. */
json_t *cost_collect(const char *model, const char *retrained, double seconds,
                     const struct model_effort *effort, struct err *e);
/* Whether there is any record. */
bool cost_has_record(const json_t *cost);
/* Appends "forget NPO, 63.2 s, 8.91e+12 FLOPs, 10860 tokens, 3490 MiB" of a record. */
int cost_write_line(const json_t *run, struct buf *out, struct err *e);
/* Appends a line for each record, the share, and a line on the evaluation. */
int cost_write(const json_t *cost, int width, struct buf *out, struct err *e);

#endif
