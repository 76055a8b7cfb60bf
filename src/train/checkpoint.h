/* Everything the loop needs to go on: the weights that move, optimiser state, the step, and the
 * options of the run. One safetensors file, replaced atomically.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include <jansson.h>

#include "train/engine.h"

struct checkpoint {
    const char *path;
    struct model *model;
    float **state; /* [n_states] flat arrays by weight.at */
    int n_states;
    struct engine *engine; /* whose weights of terms are kept; NULL: none */
    const json_t *options; /* an object; NULL: none */
};

int checkpoint_save(const struct checkpoint *c, long step, struct err *e);
/* Fills the weights that move and the states. Refuses a file of another model, and one of a run
 * with other options, naming the first that differs. */
int checkpoint_load(const struct checkpoint *c, long *step, struct err *e);
/* The same refusal alone: `then` and `now` are options. */
int checkpoint_compare(const json_t *then, const json_t *now, struct err *e);

#endif
