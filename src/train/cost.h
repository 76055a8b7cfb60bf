/* The cost of a run: its record OUT/run.json, and the memory and disk that training will need.
 *
 * The record holds the run's options and its cost, so far or in total. It is written with each
 * checkpoint and when the model is saved; a resumed run continues the sums. One object:
 *
 *   command, options ...  the members of `about`: also seed, version, isa, threads, access, and
 *                         files, {path: SHA-256} of all input files
 *   first_row             {role, tokens, scored, prompt, answer}: the first row as the model gets
 *                         it (text/rendered.h); absent where rows are token ids
 *   finished              false: the costs up to a checkpoint
 *   parameters            N, elements of all weights; embeddings count, a tied head once
 *   touched               trainable elements, of the weights or of the adapters
 *   kept_share            under a mask: touched / parameters
 *   tokens                in passes with a backward; a wrapper makes several
 *   tokens_by_role        the same, {role: tokens}
 *   forward_tokens        in forward-only passes: of the reference and other frozen models, and
 *                         of validation (train/validation.h), once for each row and metric
 *   flops                 6 N tokens + 2 N forward_tokens (arXiv 2001.08361), as if every token
 *                         used all weights, forward and backward
 *   seconds               wall time since the model was opened
 *   peak_bytes            maximum resident set size of the process
 *   state_bytes           {what: bytes} in addition to weights and gradients: weights of frozen
 *                         models, unless mapped from their files; cached reference
 *                         log-probabilities; arrays of the optimiser and of the wrapper
 */
#ifndef TRAIN_COST_H
#define TRAIN_COST_H

#include <jansson.h>

#include "train/engine.h"

struct train_cost {
    const char *out;                  /* borrowed: the directory */
    json_t *about;                    /* owned; an object */
    const struct engine *engine;      /* borrowed; counts tokens */
    int optim_states, wrapper_copies; /* arrays of one float per trainable element */
    double start;                     /* log_seconds() */
    /* Costs of earlier parts: the run before its interruption, its stages. */
    struct engine_tokens tokens;
    double seconds, flops, peak;
};

/* Adds the costs of another record's object; NULL is fine. */
void train_cost_add(struct train_cost *c, const json_t *run);
/* The object that train_cost_write writes, a new reference: also saved in the checkpoint, so that
 * both describe the same step. */
json_t *train_cost_json(const struct train_cost *c, bool finished);
int train_cost_write(const struct train_cost *c, bool finished, struct err *e);
void train_cost_fini(struct train_cost *c);
/* DIR/run.json, a new reference; NULL if it is missing, or, with a warning, damaged. */
json_t *train_cost_read(const char *dir);

/* What is to be saved in a directory. */
struct disk_needs {
    const char *out;
    double model_bytes; /* of the result; 0: not known */
    int n_states;       /* arrays in a checkpoint in addition to the weights */
    bool checkpoints;   /* they are saved during the run */
    bool resumed;       /* a checkpoint exists already */
};

/* Fails if the disk has too little space for the model and its checkpoints; warns if it has too
 * little for the checkpoint of an interrupted run. */
int train_cost_check_disk(const struct model *m, const struct disk_needs *d, struct err *e);

#endif
