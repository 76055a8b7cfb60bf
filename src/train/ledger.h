/* The ledger of a run, OUT/run.json: its options and its cost, so far or in total. Written with
 * each checkpoint and when the model is saved; a resumed run continues the sums. One object:
 *
 *   command, options ...  the members of `about`: also seed, version, isa, threads, access, and
 * files, {path: SHA-256} of all input files finished              false: the costs up to a
 * checkpoint parameters            N, elements of all weights; embeddings count, a tied head once
 *   touched               trainable elements, of the weights or of the adapters
 *   tokens                in passes with a backward; a wrapper makes several
 *   tokens_by_role        the same, {role: tokens}
 *   forward_tokens        in forward-only passes: of the reference and other frozen models, and
 *                         of validation (train/watch.h), once for each row and metric
 *   flops                 6 N tokens + 2 N forward_tokens (arXiv 2001.08361), as if every token
 *                         used all weights, forward and backward
 *   seconds               wall time since the model was opened
 *   peak_bytes            maximum resident set size of the process
 *   state_bytes           {what: bytes} in addition to weights and gradients: weights of frozen
 *                         models, unless mapped from their files; cached reference
 *                         log-probabilities; arrays of the optimiser and of the wrapper
 */
#ifndef TRAIN_LEDGER_H
#define TRAIN_LEDGER_H

#include <jansson.h>

#include "train/engine.h"

struct ledger {
    const char *out;                  /* borrowed: the directory */
    json_t *about;                    /* owned; an object */
    const struct engine *engine;      /* borrowed; counts tokens */
    int optim_states, wrapper_copies; /* arrays of one float per trainable element */
    double start;                     /* log_seconds() */
    /* Costs of earlier parts: the run before its interruption, its stages. */
    struct engine_tokens tokens;
    double seconds, flops, peak;
};

/* Adds the costs of another ledger's object; NULL is fine. */
void ledger_add(struct ledger *l, const json_t *run);
/* The object that ledger_write writes, a new reference: also saved in the checkpoint, so that both
 * describe the same step. */
json_t *ledger_json(const struct ledger *l, bool finished);
int ledger_write(const struct ledger *l, bool finished, struct err *e);
void ledger_fini(struct ledger *l);

/* DIR/run.json, a new reference; NULL if it is missing, or, with a warning, damaged. */
json_t *ledger_read(const char *dir);

#endif
