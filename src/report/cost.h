/* What it cost to make a model, beside the retrained one, and what the evaluation of it cost:
 *
 *   model, retrained  ledgers of runs (train/ledger.h), without their options but for `method`;
 *                     a model that is no run's has none
 *   share             {flops, seconds, tokens}: of the model by those of the retrained one
 *   evaluation        {seconds, sequences, tokens, answers, new_tokens}: sequences that were
 *                     scored, answers that were generated, and their tokens, by all models
 */
#ifndef REPORT_COST_H
#define REPORT_COST_H

#include <jansson.h>

#include "base/buf.h"
#include "eval/backend.h"

/* `model` and `retrained`: directories, files or NULL. A new object; NULL: no memory. */
json_t *cost_collect(const char *model, const char *retrained, double seconds,
                     const struct model_effort *effort, struct err *e);
/* Some ledger is there. */
bool cost_has_ledger(const json_t *cost);
/* Appends a table of the ledgers and a line on the evaluation. */
int cost_write(const json_t *cost, struct buf *out, struct err *e);

#endif
