/* How much memory a job will take, told from a model's shape before anything is loaded. */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include <stddef.h>

#include "model/model.h"

enum plan_part {
    PLAN_PROGRAM,   /* code, and what the matrix library takes for itself: as measured */
    PLAN_FILES,     /* the checkpoint, mapped: the system may take these pages back */
    PLAN_WEIGHTS,   /* those that are not used from the files as they stand */
    PLAN_REFERENCE, /* the same of a frozen copy, where a term needs its logits or hidden states */
    PLAN_GRADIENTS,
    PLAN_OPTIMISER, /* the two moments of AdamW */
    PLAN_ACTIVATIONS,
    PLAN_LOGITS, /* and the rows they are made from */
    PLAN_PARTS
};

extern const char *const plan_part_name[PLAN_PARTS];

enum plan_job {
    PLAN_EVAL, /* scoring: one layer's activations at a time */
    PLAN_TRAIN,
    PLAN_FORGET, /* as train, on two roles at once, with a reference */
    PLAN_LORA,   /* as forget, with adapters: without them the model is its own reference */
    PLAN_JOBS
};

extern const char *const plan_job_name[PLAN_JOBS];

struct plan {
    size_t bytes[PLAN_PARTS];
    size_t total;
};

/* Weights of models with experts are not trained but by adapters. */
bool plan_can(const struct model *m, enum plan_job job);
/* `m` may be open by its header only. `tokens`: of one micro-batch of one role. `rank`: of adapters
 * beside all linear layers. */
struct plan plan_memory(const struct model *m, enum plan_job job, int tokens, int rank);

#endif
