/* How much memory a job will take, told from a model's shape before anything is loaded. */
#ifndef RUN_MEMORY_H
#define RUN_MEMORY_H

#include <stddef.h>

#include "model/model.h"

enum memory_part {
    MEMORY_PROGRAM,   /* code, and what the matrix library takes for itself: as measured */
    MEMORY_FILES,     /* the checkpoint, mapped: the system may take these pages back */
    MEMORY_WEIGHTS,   /* those that are not used from the files as they stand */
    MEMORY_REFERENCE, /* the same of a frozen copy, where a term needs its logits or hidden states
                       */
    MEMORY_GRADIENTS,
    MEMORY_OPTIMISER, /* the two moments of AdamW */
    MEMORY_ACTIVATIONS,
    MEMORY_LOGITS, /* and the rows they are made from */
    MEMORY_PARTS
};

extern const char *const memory_part_name[MEMORY_PARTS];

enum memory_job {
    MEMORY_EVAL, /* scoring: one layer's activations at a time */
    MEMORY_TRAIN,
    MEMORY_FORGET, /* as train, on two roles at once, with a reference */
    MEMORY_LORA,   /* as forget, with adapters: without them the model is its own reference */
    MEMORY_JOBS
};

extern const char *const memory_job_name[MEMORY_JOBS];

struct memory_estimate {
    size_t bytes[MEMORY_PARTS];
    size_t total;
};

/* Weights of models with experts are not trained but by adapters. */
bool memory_job_runs(const struct model *m, enum memory_job job);
/* `m` may be open by its header only. `tokens`: of one micro-batch of one role. `rank`: of adapters
 * on all linear layers. */
struct memory_estimate memory_estimate(const struct model *m, enum memory_job job, int tokens,
                                       int rank);

#endif
