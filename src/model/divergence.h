/* How far a model is from another, at the labels of many sequences: both go over the same batches,
 * and their logits are there together for a block of rows at a time. Here p is the other model's
 * distribution over the vocabulary (in evaluations the retrained model's), q the model's own.
 */
#ifndef MODEL_DIVERGENCE_H
#define MODEL_DIVERGENCE_H

#include "base/err.h"
#include "base/log.h"
#include "base/seq.h"
#include "model/model.h"

/* Of one sequence. All sums are over its labels, in f64. */
struct divergence {
    int n;                 /* labels */
    int agree;             /* of which both have the same first choice, the lowest id on ties */
    double nll, other_nll; /* -sum log q(label), -sum log p(label) */
    double kl;             /* sum KL(p || q) in nats, over the whole vocabulary */
};

struct batch_store;

struct divergence_options {
    const struct batch_store *store;        /* model/label_batches.h; NULL: none */
    const volatile sig_atomic_t *interrupt; /* set: fail before the next batch; NULL: never */
};

/* Fills out[n]. The models must share one vocabulary; `o` and `bar` may be NULL. */
int model_divergence(struct divergence *out, struct model *m, struct model *other,
                     const struct seq *seqs, int n, const struct divergence_options *o,
                     struct progress *bar, struct err *e);

#endif
