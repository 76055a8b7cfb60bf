/* The parts of a pass: a decoder layer, forward (layer.c) and backward (layer_back.c), and what it
 * consists of: products with the model's weights and norms (linear.c), experts (moe.c).
 */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

#include "model/forward.h"

/* --- norms: RMSNorm or LayerNorm, as the configuration says, wherever the model has one --- */

/* Numbers of all stats together for `rows` rows, and the taking of them. */
size_t norm_floats(const struct model_config *c, size_t rows);
int norm_stats_init(struct norm_stats *s, const struct model *m, size_t rows, struct arena *a,
                    struct err *e);

/* The normalised x, in `out`; x itself, untouched, if the model lacks this norm. x is `count`
 * numbers; a row is as long as the norm's weight, so that the norms of q and k take a head by
 * itself or all heads together. */
const device float *norm_forward(const struct model *m, enum slot slot, int layer,
                                 device float *out, const struct norm_stats *s,
                                 const device float *x, size_t count);
/* dx += ..., and the gradients of weight and bias where they are wanted; dx += dy without norm.
 * Calls the pass's norm tap. */
void norm_backward(const struct pass *p, enum slot slot, int layer, device float *grads,
                   device float *dx, const device float *dy, const struct norm_stats *s,
                   const device float *x, size_t count);

/* --- products with weights ---
 *
 * The one place where a matrix of a layer is applied. It finds the weight of a slot, its rows if q,
 * k, v or gate, up are fused into one weight, its bias if there is one, the embedding where the
 * head is tied to it, adds its adapter's product (lora.h), and calls the pass's linear tap. */

/* y[n,out] = x[n,in] W^T + b + beta y. */
void linear_forward(const struct pass *p, enum slot slot, int layer, device float *y,
                    const device float *x, int n, float beta);
/* The same for one expert of a layer, with rows of x that went to it. */
void linear_expert(const struct pass *p, enum slot slot, int layer, int expert, device float *y,
                   const device float *x, int n, float beta);
/* dx = dy W + beta dx (dx may be NULL);  dW += dy^T x and db += sum of dy, where they are wanted.
 * grads: flat, by weight.at. */
void linear_backward(const struct pass *p, enum slot slot, int layer, device float *grads,
                     device float *dx, const device float *dy, const device float *x, int n,
                     float beta);
void linear_expert_back(const struct pass *p, enum slot slot, int layer, int expert,
                        device float *grads, device float *dx, const device float *dy,
                        const device float *x, int n, float beta);

/* --- experts ---
 *
 * The MLP of a layer with experts: a router sends each token to K of E small MLPs, whose outputs
 * are added, weighted by what the router gave them (arXiv 2101.03961, 2401.04088). Rows of tokens
 * are kept sorted by expert, so that each expert is three products. */

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

/* --- a layer --- */

/* Floats that one token takes in one layer's acts. */
size_t layer_floats(const struct model_config *c);
int layer_acts_init(struct layer_acts *l, const struct model *m, int n, struct arena *a,
                    struct err *e);

/* G*D. */
size_t layer_keys_width(const struct model_config *c);
/* How layer l attends, and to which k and v: the batch's own, or what the pass's keys hold once
 * rows of the batch's own are copied there, as this does. */
struct attn layer_attn(const struct pass *p, int l, const struct layer_acts *s,
                       const device float **k, const device float **v);
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
    device float *dact;              /* [N,F] */
    device float *datt;              /* [N,H*D] */
    device float *dq, *dk, *dv;      /* [N,H*D], [N,G*D], [N,G*D] */
    device float *path_dk, *path_dv; /* [places,G*D] of the sequences' paths, if some are shared */
    device float *dnorm;             /* [N,C] */
    device float *dout;              /* [N,C] if the MLP runs in parallel to attention */
};

/* Floats a token of what layer_scratch_init takes. */
size_t layer_scratch_floats(const struct model_config *c);
int layer_scratch_init(struct layer_scratch *r, const struct pass *p, struct arena *a,
                       struct err *e);
/* dx [N,C]: from the gradient of the layer's output to that of its input. Adds to grads. Uses the
 * acts up. */
void layer_backward(const struct pass *p, int l, struct layer_acts *s, struct layer_scratch *r,
                    device float *dx, device float *grads);

#endif
