/* The decoder: forward over packed sequences, backward through what the forward kept.
 *
 * Shapes: N tokens, C width, H heads, G kv heads, D head width, F feed-forward width. What is kept
 * per layer is the least from which the backward can be computed; the outputs of norms and of the
 * activation are recomputed, which is cheaper than their memory.
 */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/layer.h"

struct pass {
    const struct batch *batch; /* borrowed */
    int layers;                /* how many were run */
    bool keep;                 /* a backward can follow */
    struct layer_acts *acts;   /* [layers] if keep */
    float *x;                  /* [N,C] output of the last layer run */
    int frozen_id;             /* this token's input embedding gets no gradient; -1: none */
    float *norm, *act;         /* scratch [N,C], [N,F] */
};

/* Runs the first n_layers layers (all: cfg.layers). Everything lives in `a`. hidden.l of HF is
 * acts[l].x, and x for l = layers. */
int decoder_forward(struct model *m, const struct batch *b, int n_layers, bool keep, struct pass *p,
                    struct arena *a, struct err *e);

/* Adds to grads (flat, by weight.at; weights that do not want it are skipped,
 * and so are the layers below the lowest that does; NULL: none does) the gradient
 * for dx [N,C] = d loss / d p->x. dx is overwritten. dhidden[l] (NULL, or [layers] pointers that
 * may be NULL) is added at the input of layer l. The pass is used up: its activations are
 * overwritten. */
int decoder_backward(const struct model *m, struct pass *p, float *dx, float *const *dhidden,
                     float *grads, struct arena *a, struct err *e);

/* Bytes that a forward takes for N tokens, with the [N,C] gradient of its output where it is kept;
 * and those that a backward takes on top. For planning. */
size_t decoder_bytes(const struct model_config *c, int n_tokens, bool keep);
size_t decoder_back_bytes(const struct model_config *c, int n_tokens);

#endif
