/* Training checkpoints: the trainable weights, the optimiser's state, the step, the run's options
 * and the hashes of its input files. One safetensors file with a checksum, replaced atomically.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include <jansson.h>

#include "train/engine.h"

struct checkpoint {
    const char *path;
    struct model *model;
    device float **state; /* [n_states] flat arrays by weight.at */
    int n_states;
    struct engine *engine; /* its term weights are saved; NULL: none */
    const json_t *options; /* an object; NULL: none */
    const json_t *files;   /* {path: SHA-256} of the input files; NULL: not compared */
    bool estimated;        /* the state holds the curvature estimate of the next step */
    json_t *cost;          /* saved: borrowed, or NULL; loaded: a new reference, or NULL */
};

/* OUT/checkpoint.safetensors, owned by the caller. */
char *checkpoint_path(const char *out, struct err *e);
/* The directory contains the checkpoint of an unfinished run. */
bool checkpoint_exists(const char *out);
/* Deletes it, if it is there, once the final model is saved. */
void checkpoint_drop(const char *out);

int checkpoint_save(const struct checkpoint *c, long step, struct err *e);
/* Loads the trainable weights and the states. Fails on a file that is damaged or belongs to another
 * model, and on one of a run with other options or input files (the error names the first that
 * differs); warns if it was written with another instruction set or number of threads. */
int checkpoint_load(struct checkpoint *c, long *step, struct err *e);
/* Only these comparisons: of the options, and of the input files, `then` and `now`. */
int checkpoint_compare(const json_t *then, const json_t *now, struct err *e);
int checkpoint_compare_files(const json_t *then, const json_t *now, struct err *e);

#endif
