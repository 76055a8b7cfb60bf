/* The training loop: micro-batches, accumulation, clipping, schedule, optimiser step; log,
 * checkpoints, resume.
 *
 * OUT/train.jsonl gets one object a step (train/journal.h). OUT/checkpoint.safetensors holds
 * weights, optimiser state and the step; going on from it gives the bits of never having stopped.
 */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include <jansson.h>
#include <signal.h>

#include "train/engine.h"
#include "train/ledger.h"
#include "train/optim.h"
#include "train/options.h"
#include "train/watch.h"
#include "train/weighting.h"
#include "train/wrapper.h"

struct trainer {
    struct engine *engine;             /* borrowed; sets, objectives and reference in place */
    struct choice optim, wrapper;      /* borrowed; wrapper: may be none */
    const struct weighting *weighting; /* NULL: the weights of the terms stay */
    const struct watch *watch;         /* NULL: nothing is measured on the way */
    const json_t *options; /* borrowed object: the run's options, which a resumed run must share */
    const json_t *files; /* borrowed {path: SHA-256} of what the run reads, likewise; NULL: none */
    const struct train_options *o;
    const struct order *order;         /* borrowed */
    struct ledger *ledger;             /* borrowed: written with each checkpoint; NULL: none */
    double model_bytes;                /* that the result will take on disk; 0: not known */
    const char *out;                   /* directory, created */
    const char *what;                  /* for the progress bar: "forget" */
    const volatile sig_atomic_t *stop; /* set: give up the step, save, return; may be NULL */
};

struct train_report {
    long steps, tokens;
    double loss, grad_norm; /* of the last step */
    double seconds;
    bool interrupted; /* a checkpoint was written */
    struct look look; /* the last one; why the run ended before its last step, if it did */
};

/* On a loss or gradient that is not finite: an error; the last checkpoint of this run stays, or is
 * made of the weights before that step. */
int train_run(struct trainer *t, struct train_report *report, struct err *e);
/* A run that was to go into this directory left a checkpoint there. */
bool train_is_interrupted(const char *out);
/* Once the trained model is saved: its checkpoint, if there is one, has had its day. */
void train_drop_checkpoint(const char *out);

#endif
