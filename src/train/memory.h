/* The memory that training will take, from what the engine will do with the order's micro-batches,
 * and that which is there. All in bytes, before anything of it is allocated.
 */
#ifndef TRAIN_MEMORY_H
#define TRAIN_MEMORY_H

#include "train/engine.h"

struct train_memory {
    double weights, frozen; /* of the model, with the files that it computes with; of others */
    double states;          /* kept of frozen models */
    double gradients, optimiser;
    double activations, logits; /* of the largest micro-batch */
    double total;               /* with the program's own */
    int tokens;                 /* of that micro-batch: those that are computed */
};

/* What may be different from the engine and the order. */
struct memory_choice {
    int batch; /* so many examples of each role at most; 0: all */
    bool recompute;
    size_t keep_bytes;
    bool adapters; /* LoRA adapters move, on weights in their file's type */
};

enum { MEMORY_RANK = 8 }; /* of those adapters */

/* n_arrays: of the optimiser and the wrapper. Packs every micro-batch in the engine's arena. 1: it
 * is not known yet, as some role's examples are not there. */
int train_memory_plan(struct engine *g, const struct order *o, int n_arrays,
                      const struct memory_choice *c, struct train_memory *p, struct err *e);
/* Refuses what is larger than `most`, 0: than what is there, and names the cheapest choice with
 * which it is not: a smaller batch, recomputing, running frozen models again, adapters. */
int train_memory_check(struct engine *g, const struct order *o, int n_arrays, uint64_t most,
                       struct err *e);
/* Logs the plan, and has the engine's arena take at once what a step needs. */
int train_memory_note(struct engine *g, const struct order *o, int n_arrays, struct err *e);

#endif
