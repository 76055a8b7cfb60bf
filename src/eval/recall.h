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

struct label_batch;

struct recall {
    struct kept *file; /* borrowed; NULL: nothing is kept */
    uint64_t model;    /* model_fingerprint */
};

/* The context of a struct batch_store (model/label_batches.h) for scores, or distances. */
struct recall_pass {
    const struct recall *recall;
    bool distribution; /* of scores */
    uint64_t other;    /* of distances: the other model */
};

bool recall_scores(void *ctx, void *scores, const struct label_batch *b);
int recall_keep_scores(void *ctx, const void *scores, const struct label_batch *b, struct err *e);
bool recall_distances(void *ctx, void *divergences, const struct label_batch *b);
int recall_keep_distances(void *ctx, const void *divergences, const struct label_batch *b,
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

/* One number about one sequence; `how`: what else it depends on. */
enum recall_number { RECALL_NORM, RECALL_EXTRACT };

bool recall_number(const struct recall *r, enum recall_number what, int how, const struct seq *s,
                   double *out);
int recall_keep_number(const struct recall *r, enum recall_number what, int how,
                       const struct seq *s, double number, struct err *e);

#endif
