/* Masks by element: of the weights that are trainable, the numbers that may move. A mask is bits by
 * weight.offset (struct weight_table). The gradient of what may not move is zero before its norm is
 * taken, so that clipping sees what moves alone; weight decay and every optimiser's update are kept
 * from it too, so that it keeps its exact bits, whatever the optimiser's state holds.
 */
#ifndef TRAIN_MASK_H
#define TRAIN_MASK_H

#include "model/model.h"

/* Words of a mask over the table's flat storage. */
size_t mask_words(const struct weight_table *t);
/* Numbers of trainable weights that may move under the table's mask. */
size_t mask_count(const struct weight_table *t);
/* Lets the model's weights move under the mask, which stays the caller's and must outlive training;
 * NULL takes it away. Refused if nothing trainable would move, and beside LoRA adapters: a mask is
 * over the model's own weights, and they do not move then. */
int mask_apply(struct model *m, const uint64_t *bits, struct err *e);
/* Zeroes the gradient (flat by weight.at) of what may not move. */
void mask_gradient(const struct weight_table *t, float *grads);
/* to[k] = from[k] of n numbers from weight.offset `first` on: where they may move, or may not. */
void mask_copy(const struct weight_table *t, size_t first, size_t n, bool moving, float *to,
               const float *from);

#endif
