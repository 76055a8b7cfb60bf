/* Products with a model's weights: the one place where a matrix of a layer is applied. It finds the
 * weight of a slot, its rows if q, k, v or gate, up are fused into one weight, its bias if there is
 * one, the embedding where the head is tied to it, adds its adapter's product (lora.h), and calls
 * the pass's linear tap.
 */
#ifndef MODEL_LINEAR_H
#define MODEL_LINEAR_H

#include "model/forward.h"

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

#endif
