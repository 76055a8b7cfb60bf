/* Everything the loop needs to go on: the weights that move, optimiser state, the step, and what
 * the run is of. One safetensors file with a check sum, replaced atomically.
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
    const json_t *files;   /* {path: SHA-256} of what the run reads; NULL: not compared */
    bool estimated;        /* saved and loaded: the next step's curvature is in the state */
    json_t *ledger;        /* saved: borrowed, or NULL; loaded: a new reference, or NULL */
};

int checkpoint_save(const struct checkpoint *c, long step, struct err *e);
/* Fills the weights that move and the states. Refuses a file that is damaged or of another model,
 * and one of a run with other options or files, naming the first that differs; warns if it was made
 * with another instruction set or number of threads. */
int checkpoint_load(struct checkpoint *c, long *step, struct err *e);
/* The same refusals alone: `then` and `now` are options, or files. */
int checkpoint_compare(const json_t *then, const json_t *now, struct err *e);
int checkpoint_compare_files(const json_t *then, const json_t *now, struct err *e);

#endif
