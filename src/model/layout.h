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
/* A tensor of numbers that belong to a weight, itself or its gradient, for an HF file: `memory` if
 * it stands in HF's order, else `room`, filled with it; layout_hf_room floats serve all weights of
 * a table. */
const float *layout_hf(const struct model_config *c, const struct weight *w, const float *memory,
                       float *room);
/* Back: `file` or `room`, filled with it in memory's order. */
const float *layout_hf_load(const struct model_config *c, const struct weight *w, const float *file,
                            float *room);
size_t layout_hf_room(const struct model_config *c, const struct weight_table *t);
void layout_hf_shape(const struct model_config *c, const struct weight *w, int64_t shape[2]);

#endif
