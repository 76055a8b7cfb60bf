/* Cache of model outputs in an append-only file (base/cache.h). A record's key is a hash of all
 * that its bits depend on: the model, the sequences that were computed together, in order, and the
 * options. A changed model or option misses; what does not depend on the change is still found.
 */
#ifndef EVAL_CACHE_H
#define EVAL_CACHE_H

#include "base/cache.h"
#include "data/dataset.h"
#include "eval/answers.h"
#include "model/generate.h"
#include "model/score.h"

struct label_batch;

struct eval_cache {
    struct cache_file *file; /* borrowed; NULL: no cache */
    uint64_t model;          /* model_fingerprint */
};

/* The context of a struct batch_store (model/label_batches.h) for scores, or distances. */
struct eval_cache_pass {
    const struct eval_cache *cache;
    bool distribution; /* of scores */
    uint64_t other;    /* of distances: the other model */
};

bool eval_cache_find_scores(void *ctx, void *scores, const struct label_batch *b);
int eval_cache_add_scores(void *ctx, const void *scores, const struct label_batch *b,
                          struct err *e);
bool eval_cache_find_distances(void *ctx, void *divergences, const struct label_batch *b);
int eval_cache_add_distances(void *ctx, const void *divergences, const struct label_batch *b,
                             struct err *e);

/* The answers to prompts[n], generated together with the options `o`, but for its stops. Cached
 * ones have no margins. False on a miss and when memory is short. */
struct eval_cache_answers {
    const struct seq *prompts;         /* borrowed */
    const struct answer_limit *limits; /* borrowed */
    const struct generate_options *o;  /* borrowed */
    int n;
};

bool eval_cache_find_answers(const struct eval_cache *r, const struct eval_cache_answers *a,
                             struct generation *out);
int eval_cache_add_answers(const struct eval_cache *r, const struct eval_cache_answers *a,
                           const struct generation *g, struct err *e);

/* One number for one sequence; `how`: the option it depends on. */
enum eval_cache_number { CACHED_NORM, CACHED_EXTRACT };

bool eval_cache_find_number(const struct eval_cache *r, enum eval_cache_number what, int how,
                            const struct seq *s, double *out);
int eval_cache_add_number(const struct eval_cache *r, enum eval_cache_number what, int how,
                          const struct seq *s, double number, struct err *e);

#endif
