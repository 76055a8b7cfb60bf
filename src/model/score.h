/* Teacher-forced scoring: log-probabilities of the labels of many sequences, without a backward.
 * What sequences have in common at their beginning (a question before several answers, worked
 * examples before many questions) is computed once, and each sequence only up to its last label.
 */
#ifndef MODEL_SCORE_H
#define MODEL_SCORE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/seq.h"
#include "model/model.h"

struct score {
    int n;       /* labels of this sequence; all arrays are [n], borrowed from the scores' pools */
    int *label;  /* the tokens that are scored */
    float *logp; /* natural log */
    int *best;   /* argmax at each label position, lowest id on ties */
    double nll;  /* -sum of logp, f64 */
    /* Of the whole distribution at each position; NULL unless asked for. */
    float *mean, *variance; /* of log p under p; minus the mean is the entropy in nats */
    int *rank;              /* tokens likelier than the label */
};

struct scores {
    struct score *v; /* owned [n] */
    int n;
    float *floats; /* owned pools */
    int *ints;
};

struct batch_store; /* model/label_batches.h */
struct pass_taps;   /* model/guarded.h */

struct score_options {
    int tokens;        /* computed at once; 0: a good default, more where a long prefix is shared */
    bool distribution; /* mean, variance and rank are wanted */
    const struct batch_store *store; /* borrowed, of struct scores less label and nll; NULL: none */
    const volatile sig_atomic_t *interrupt; /* set: fail before the next batch; NULL: never */
    const struct pass_taps *taps; /* nothing is shared between sequences then; NULL: none */
    /* May change the logits z [V] of the label after the first n tokens of a sequence; nothing is
     * shared then, either. NULL: none. */
    int (*logits)(void *ctx, int sequence, int n, float *z, struct err *e);
    void *logits_ctx;
    bool unguarded; /* past the model's guard */
};

/* `o` may be NULL: the defaults. `bar` may be NULL; else it is stepped by sequences done, starting
 * from what it shows, and by their tokens, shared ones counted for each. */
int model_score(struct scores *out, struct model *m, const struct seq *seqs, int n,
                const struct score_options *o, struct progress *bar, struct err *e);
void scores_fini(struct scores *s);

/* --- two models ---
 *
 * How far a model is from another, at the labels of many sequences: both go over the same batches,
 * and their logits are there together for a block of rows at a time. Here p is the other model's
 * distribution over the vocabulary (in evaluations the retrained model's), q the model's own.
 */

/* Of one sequence. All sums are over its labels, in f64. */
struct divergence {
    int n;                 /* labels */
    int agree;             /* of which both have the same first choice, the lowest id on ties */
    double nll, other_nll; /* -sum log q(label), -sum log p(label) */
    double kl;             /* sum KL(p || q) in nats, over the whole vocabulary */
};

struct divergence_options {
    const struct batch_store *store;        /* model/label_batches.h; NULL: none */
    const volatile sig_atomic_t *interrupt; /* set: fail before the next batch; NULL: never */
};

/* Fills out[n]. The models must share one vocabulary; `o` and `bar` may be NULL. */
int model_divergence(struct divergence *out, struct model *m, struct model *other,
                     const struct seq *seqs, int n, const struct divergence_options *o,
                     struct progress *bar, struct err *e);

#endif
