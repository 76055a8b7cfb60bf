/* What it cost to make a model, beside the retrained one, and what the evaluation of it cost:
 *
 *   {"model": ledger, "retrained": ledger, "share": {"flops", "seconds", "tokens"}, "evaluation":
 *    {"seconds", "sequences", "tokens", "answers", "new_tokens"}}
 *
 * A ledger is that of a run (train/ledger.h) without its options, `method` in their place; a model
 * that is no run's has none. share: the model's cost by the retrained model's. evaluation:
 * sequences that were scored, and their tokens, answers that were generated, and theirs, by all
 * models.
 */
#ifndef REPORT_COST_H
#define REPORT_COST_H

#include <jansson.h>

#include "base/buf.h"
#include "eval/model_scorer.h"

/* `model` and `retrained`: directories, files or NULL. A new object; NULL: no memory. */
json_t *cost_collect(const char *model, const char *retrained, double seconds,
                     const struct model_effort *effort, struct err *e);
/* Some ledger is there. */
bool cost_has_ledger(const json_t *cost);
/* Appends a table of the ledgers and a line on the evaluation. */
int cost_write(const json_t *cost, struct buf *out, struct err *e);

#endif
