/* What a model said, kept as it comes and found again (base/kept.h). A record's key is a hash of
 * all that its bits depend on: the model, the sequences that were worked on together, in order, and
 * what was asked of them. So nothing of another model or of other options is ever taken for the
 * same, and what does not depend on a changed option is still found.
 */
#ifndef EVAL_RECALL_H
#define EVAL_RECALL_H

#include "base/kept.h"
#include "data/dataset.h"
#include "eval/stops.h"
#include "model/generate.h"
#include "model/score.h"

struct recall {
    struct kept *file; /* borrowed; NULL: nothing is kept */
    uint64_t model;    /* model_fingerprint */
};

/* The context of a struct score_store. */
struct recall_scores {
    const struct recall *recall;
    bool distribution;
};

bool recall_scores(void *ctx, struct scores *out, const struct label_batch *b);
int recall_keep_scores(void *ctx, const struct scores *out, const struct label_batch *b,
                       struct err *e);

/* The answers to prompts[n], generated together; `o` is how, but for its stops. Recalled ones have
 * no margins. Where there is none, or not enough memory, false. */
struct recall_answers {
    const struct seq *prompts;         /* borrowed */
    const struct answer_limit *limits; /* borrowed */
    const struct generate_options *o;  /* borrowed */
    int n;
};

bool recall_answers(const struct recall *r, const struct recall_answers *a, struct generation *out);
int recall_keep_answers(const struct recall *r, const struct recall_answers *a,
                        const struct generation *g, struct err *e);

/* The norm of a sequence's gradient. */
bool recall_norm(const struct recall *r, const struct seq *s, bool drop_last, double *out);
int recall_keep_norm(const struct recall *r, const struct seq *s, bool drop_last, double norm,
                     struct err *e);

#endif
