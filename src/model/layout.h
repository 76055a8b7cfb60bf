/* The order of a weight's numbers in a file against that in memory (enum layout in family.h). */
#ifndef MODEL_LAYOUT_H
#define MODEL_LAYOUT_H

#include "model/family.h"

/* The shape of the tensor in a file; as many dimensions as the weight has. */
void layout_shape(enum layout y, const struct weight *w, int64_t shape[2]);
/* memory [w->count] = file, and back; the two do not overlap. */
void layout_load(enum layout y, const struct model_config *c, const struct weight *w, float *memory,
                 const float *file);
void layout_store(enum layout y, const struct model_config *c, const struct weight *w, float *file,
                  const float *memory);
/* Of HF's files: numbers that stand beside the weight, such as its gradient, in HF's order. Returns
 * `memory` itself if that is HF's order; else `room`, which holds w->count floats. */
const float *layout_hf(const struct model_config *c, const struct weight *w, const float *memory,
                       float *room);

#endif
