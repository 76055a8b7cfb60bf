/* One decoder layer: what it keeps, its two halves around attention, which training and generation
 * share, and its backward.
 */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/norm.h"

/* What a model of another kind would keep is NULL. */
struct layer_acts {
    float *x;                   /* [N,C] input of the layer */
    float *q0, *k0;             /* [N,H*D], [N,G*D] before their norms, if they have any */
    float *q, *k, *v;           /* [N,H*D], [N,G*D], [N,G*D] after rope */
    float *att, *lse;           /* [N,H*D], [N,H] */
    float *att_out;             /* [N,C] if a norm follows attention */
    float *x2;                  /* [N,C] after attention; not if the MLP runs beside it */
    float *gate, *up;           /* [N,F]; up only if the MLP is gated */
    float *mlp_out;             /* [N,C] if a norm follows the MLP */
    struct norm_stats n1, n2;   /* of the norms before attention and MLP */
    struct norm_stats nq, nk;   /* of q0, k0 */
    struct norm_stats n1p, n2p; /* of att_out, mlp_out */
};

/* Floats that one token takes in one layer's acts. */
size_t layer_floats(const struct model_config *c);
int layer_acts_init(struct layer_acts *l, const struct model_config *c, int n, struct arena *a,
                    struct err *e);

/* Sets the fields of `a` that the configuration decides for layer l; those that tell the sequences
 * stay. */
void layer_attn(const struct model_config *c, int l, struct attn *a);
/* q, k, v of layer l from acts->x [n,C]; queries and keys rotated by pos[n]. norm is scratch [n,C].
 */
void layer_project(const struct model *m, int l, struct layer_acts *s, float *norm, const int *pos,
                   int n);
/* From acts->att to the layer's output `out` [n,C], which must not be acts->x. norm [n,C], act
 * [n,F]: scratch. */
void layer_finish(const struct model *m, int l, struct layer_acts *s, float *norm, float *act,
                  float *out, int n);

/* The norm before the MLP: of x2, or of x where the MLP runs beside attention; there one norm may
 * serve both. */
struct layer_norm {
    enum slot slot;
    const float *x;
    const struct norm_stats *stats;
};
struct layer_norm layer_mlp_norm(const struct model *m, const struct layer_acts *s);

/* Scratch of a backward, for all layers. */
struct layer_scratch {
    float *norm, *act;   /* [N,C], [N,F] as in the forward */
    float *dact;         /* [N,F] */
    float *datt;         /* [N,H*D] */
    float *dq, *dk, *dv; /* [N,H*D], [N,G*D], [N,G*D] */
    float *dnorm;        /* [N,C] */
    float *dout;         /* [N,C] if the MLP runs beside attention */
};

/* Floats a token of what layer_scratch_init takes, which is all but norm and act. */
size_t layer_scratch_floats(const struct model_config *c);
int layer_scratch_init(struct layer_scratch *r, const struct model_config *c, int n,
                       struct arena *a, struct err *e);
/* dx [N,C]: from the gradient of the layer's output to that of its input. Adds to grads. shape is
 * the forward's. Uses the acts up. */
void layer_backward(const struct model *m, int l, struct layer_acts *s, struct layer_scratch *r,
                    const struct attn *shape, const int *pos, int n, float *dx, float *grads);

#endif
