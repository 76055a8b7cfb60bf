/* Element masks: which elements of the trainable weights may change. A mask is a bit array indexed
 * by weight.offset (struct weight_table). The gradient of masked elements is zeroed before its norm
 * is taken, so that clipping is by the unmasked part alone; weight decay and optimiser updates skip
 * them too, so that they keep their exact bits whatever the optimiser's state.
 */
#ifndef TRAIN_MASK_H
#define TRAIN_MASK_H

#include "model/model.h"

/* 64-bit words of a mask over the table's flat storage. */
size_t mask_words(const struct weight_table *t);
/* Elements of trainable weights that may change under the table's mask. */
size_t mask_count(const struct weight_table *t);
/* Sets the mask, borrowed until training ends; NULL removes it. Fails if no trainable element is
 * left, and with LoRA adapters: a mask covers the model's own weights, which are frozen then. */
int mask_apply(struct model *m, const uint64_t *bits, struct err *e);
/* Tensors of which nothing may change are no longer trainable: they need no optimiser state, and no
 * gradient, unless the clip norm counts all weights. */
void mask_hold_unused(struct weight_table *t, bool count_all);
/* Zeroes the gradient (flat by weight.at) of the masked elements; returns the sum of its squares.
 */
double mask_gradient(const struct model *m, device float *grads);

#endif
