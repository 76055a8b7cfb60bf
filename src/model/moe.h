/* The MLP of a layer with experts: a router sends each token to K of E small MLPs, whose outputs
 * are added, weighted by what the router gave them (arXiv 2101.03961, 2401.04088). Rows of tokens
 * are kept sorted by expert, so that each expert is three products.
 */
#ifndef MODEL_MOE_H
#define MODEL_MOE_H

#include "base/arena.h"
#include "model/model.h"

struct pass;

/* What a layer keeps. Row r of N*K is a token at one of its experts; rows first[e] to first[e+1]-1
 * are expert e's, in the order of tokens. */
struct moe_acts {
    device float *p;         /* [N,E] softmax of the router's logits */
    int *expert;             /* [N,K] chosen */
    device float *weight;    /* [N,K] of the chosen */
    int *first;              /* [E+1] */
    int *token, *at;         /* [N*K] a row's token, and its place in expert and weight */
    device float *share;     /* [N*K] a row's weight */
    device float *gate, *up; /* [N*K,F] */
};

/* Scratch of a pass, for all layers. */
struct moe_scratch {
    device float *in, *out; /* [N,C] an expert's rows */
    device float *y;        /* [N,C] what the experts give together; backward: dh */
    device float *scaled;   /* [N,F], backward */
    device float *dshare;   /* [N*K], backward; before it: the router's logits [N,E] */
    device float *dweight;  /* [N,K], backward */
};

/* Floats a token, in addition to the `first` of each layer. */
size_t moe_floats(const struct model_config *c);
size_t moe_scratch_floats(const struct model_config *c);
int moe_acts_init(struct moe_acts *s, const struct model *m, int n, struct arena *a, struct err *e);
int moe_scratch_init(struct moe_scratch *r, const struct model *m, int n, struct arena *a,
                     struct err *e);

/* p->moe.y [N,C] from h [N,C], which is not p->moe's. */
void moe_forward(const struct pass *p, int l, struct moe_acts *s, const device float *h);
/* dh [N,C], in p->moe.y, from dy [N,C]; uses gate and up up. act, dact [N,F]: scratch. */
void moe_backward(const struct pass *p, int l, struct moe_acts *s, const device float *h,
                  const device float *dy, device float *dact, device float *grads);

#endif
