/* One decoder layer of a pass, forward (layer.c) and backward (layer_back.c).
 */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

#include "model/forward.h"

/* Floats that one token takes in one layer's acts. */
size_t layer_floats(const struct model_config *c);
int layer_acts_init(struct layer_acts *l, const struct model *m, int n, struct arena *a,
                    struct err *e);

/* How layer l attends. */
struct attn layer_attn(const struct pass *p, int l);
/* From s->x to the layer's output `out` [N,C], which must not be s->x. */
void layer_forward(const struct pass *p, int l, struct layer_acts *s, device float *out);

/* The norm before the MLP: of x2, or of x where the MLP runs in parallel to attention; there one
 * norm may serve both. */
struct layer_norm {
    enum slot slot;
    const device float *x;
    const struct norm_stats *stats;
};
struct layer_norm layer_mlp_norm(const struct model *m, const struct layer_acts *s);

/* Scratch of a backward, for all layers. */
struct layer_scratch {
    device float *dact;         /* [N,F] */
    device float *datt;         /* [N,H*D] */
    device float *dq, *dk, *dv; /* [N,H*D], [N,G*D], [N,G*D] */
    device float *dnorm;        /* [N,C] */
    device float *dout;         /* [N,C] if the MLP runs in parallel to attention */
};

/* Floats a token of what layer_scratch_init takes. */
size_t layer_scratch_floats(const struct model_config *c);
int layer_scratch_init(struct layer_scratch *r, const struct model *m, int n, struct arena *a,
                       struct err *e);
/* dx [N,C]: from the gradient of the layer's output to that of its input. Adds to grads. Uses the
 * acts up. */
void layer_backward(const struct pass *p, int l, struct layer_acts *s, struct layer_scratch *r,
                    device float *dx, device float *grads);

#endif
