/* The logit lens: what each layer's hidden states predict under the model's own head, and hidden
 * states of whole sequences for linear probes. Layer 0 is the first layer's input, l the output of
 * the l-th of L layers, so layer L is the model's own prediction.
 */
#ifndef EVAL_LENS_H
#define EVAL_LENS_H

#include <signal.h>

#include "base/err.h"
#include "base/seq.h"
#include "model/model.h"

/* At each of n scored labels, in the order of sequences; all arrays [(L+1) * n], by layer, owned.
 */
struct lens {
    int n, layers;
    int *label;      /* [n] */
    int *seq;        /* [n] the sequence of each label */
    float *logp;     /* of the label, in nats */
    float *raw_logp; /* the same without the final norm */
    float *entropy;  /* in nats */
    float *kl;       /* KL(the model's own prediction || the lens), in nats */
    float *margin;   /* logit of the best token minus that of the second best */
    int *best;       /* argmax, the lowest id on ties */
    int *rank;       /* tokens strictly above the label */
};

struct lens_options {
    bool raw;                               /* raw_logp is wanted; else it is NULL */
    const volatile sig_atomic_t *interrupt; /* set: fail before the next batch; NULL: never */
};

int lens_read(struct lens *out, struct model *m, const struct seq *seqs, int n,
              const struct lens_options *o, struct err *e);
void lens_fini(struct lens *l);

/* The hidden state of token at[i] of each sequence: x [L+1,n,C], owned by the caller. */
int lens_features(float **x, struct model *m, const struct seq *seqs, const int *at, int n,
                  const volatile sig_atomic_t *interrupt, struct err *e);

#endif
