/* The ledger of a run, OUT/run.json: what was run and what it cost, so far or in all. Written with
 * each checkpoint and when the model is saved; a run that is resumed goes on adding. One object:
 *
 *   command, options ...  what `about` holds: also seed, version, isa, threads, access, and files,
 *                         {path: SHA-256} of all that the run read
 *   finished              false: these are the costs up to a checkpoint
 *   parameters            N, the numbers in all weights; embeddings count, a tied head once
 *   touched               those that move, of the weights or of adapters beside them
 *   tokens                read in passes with a backward; a wrapper makes several
 *   tokens_by_role        the same, {role: tokens}
 *   forward_tokens        read in passes without: of the reference and other frozen models, and
 *                         of looks at the run (train/watch.h), once a row and figure
 *   flops                 6 N tokens + 2 N forward_tokens (arXiv 2001.08361), as if every token
 *                         went through all weights, and back
 *   seconds               wall time, from the reading of the model on
 *   peak_bytes            the largest resident size of the process
 *   state_bytes           {what: bytes} beside weights and gradients: weights of frozen models,
 *                         unless they are used from their files; log-probabilities by the
 *                         reference; arrays of the optimiser and of the wrapper
 */
#ifndef TRAIN_LEDGER_H
#define TRAIN_LEDGER_H

#include <jansson.h>

#include "train/engine.h"

struct ledger {
    const char *out;                  /* borrowed: the directory */
    json_t *about;                    /* owned; an object */
    const struct engine *engine;      /* borrowed; counts tokens */
    int optim_states, wrapper_copies; /* arrays of a number for each that moves */
    double start;                     /* log_seconds() */
    /* Of what went before: the run up to its interruption, its stages. */
    struct engine_tokens tokens;
    double seconds, flops, peak;
};

/* Adds the costs of another ledger's object; NULL is fine. */
void ledger_add(struct ledger *l, const json_t *run);
/* What ledger_write writes, a new reference: kept in a checkpoint, so that both are of one step. */
json_t *ledger_json(const struct ledger *l, bool finished);
int ledger_write(const struct ledger *l, bool finished, struct err *e);
void ledger_fini(struct ledger *l);

/* DIR/run.json, a new reference; NULL if there is none. One that is damaged is as good as none, but
 * a warning says so. */
json_t *ledger_read(const char *dir);

#endif
