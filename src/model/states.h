/* Hidden states at chosen tokens of a batch: read from one model at every layer (logit lens, linear
 * probes), or put into another model's pass (activation patching, arXiv 2605.24614).
 */
#ifndef MODEL_STATES_H
#define MODEL_STATES_H

#include "model/head.h"

/* Layer 0 is the first layer's input, l the output of the l-th of L layers: HF's hidden_states,
 * whose last entry has the final norm applied where this one has not. */
struct states {
    int n, layers, width;
    device float *x; /* [L+1,n,C] in the arena */
};

/* Of the batch's tokens token[n]. Everything lives in `a`. */
int states_read(struct states *s, struct model *m, const struct batch *b, const int *token, int n,
                struct arena *a, struct err *e);
/* [n,C] of one layer. */
device float *states_at(const struct states *s, int layer);
/* The head over one layer's states, which predict label[n]. normed: after the final norm, as the
 * model has it; else straight from the states, as some published lenses do. `p` and `rows` are
 * filled in, and must last as long as `h`. */
int states_head(struct head *h, struct pass *p, struct label_rows *rows, struct model *m,
                const struct states *s, int layer, int *label, bool normed, struct arena *a,
                struct err *e);
/* A forward of `m` in which the states of token[n] at this layer are replaced by x [n,C]. */
int states_patch(struct pass *p, struct model *m, const struct batch *b, const int *token, int n,
                 const device float *x, int layer, struct arena *a, struct err *e);

#endif
