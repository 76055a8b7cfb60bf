/* One decoder layer: what it keeps, and its two halves around attention, which training and
 * generation share.
 */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

#include "base/arena.h"
#include "model/model.h"

struct layer_acts {
    float *x;         /* [N,C] input of the layer */
    float *rstd1;     /* [N] of the norm before attention */
    float *q, *k, *v; /* [N,H*D], [N,G*D], [N,G*D] after rope */
    float *att, *lse; /* [N,H*D], [N,H] */
    float *x2;        /* [N,C] after attention */
    float *rstd2;     /* [N] */
    float *gate, *up; /* [N,F] */
};

/* Floats that one token takes in one layer's acts. */
size_t layer_floats(const struct model_config *c);
int layer_acts_init(struct layer_acts *l, const struct model_config *c, int n, struct arena *a,
                    struct err *e);

/* The attention fields that the configuration decides. */
struct attn layer_attn(const struct model_config *c);
/* q, k, v of layer l from acts->x [n,C]; queries and keys rotated by pos[n]. norm is scratch [n,C].
 */
void layer_project(const struct model *m, int l, struct layer_acts *s, float *norm, const int *pos,
                   int n);
/* From acts->att to the layer's output `out` [n,C], which must not be acts->x. norm [n,C], act
 * [n,F]: scratch. */
void layer_finish(const struct model *m, int l, struct layer_acts *s, float *norm, float *act,
                  float *out, int n);

#endif
