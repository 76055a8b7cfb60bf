/* The input of the first layer: embeddings, scaled where the model says so, and learned positions
 * where it has them. */
#ifndef MODEL_EMBED_H
#define MODEL_EMBED_H

#include "model/batch.h"
#include "model/model.h"

/* x [N,C]; room [N,C] is scratch. */
void embed_forward(const struct model *m, const struct batch *b, float *x, float *room);
/* Adds what dx [N,C] gives the tables, where it is wanted. Tokens `frozen_id` give the embedding
 * nothing (-1: all do); dx is overwritten. */
void embed_backward(const struct model *m, const struct batch *b, float *grads, float *dx,
                    int frozen_id);

#endif
