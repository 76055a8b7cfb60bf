/* Everything the loop needs to go on: the weights that move, optimiser state, the step. One
 * safetensors file, replaced atomically.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "model/model.h"

/* state: n_states flat arrays by weight.at. */
int checkpoint_save(const char *path, const struct model *m, float *const *state, int n_states,
                    long step, struct err *e);
/* Fills the weights that move and the states; refuses a file of another model. */
int checkpoint_load(const char *path, struct model *m, float *const *state, int n_states,
                    long *step, struct err *e);

#endif
