/* The training loop: micro-batches, accumulation, clipping, schedule, optimiser step; log,
 * checkpoints, resume.
 *
 * OUT/train.jsonl gets one object per step (train/log.h). OUT/checkpoint.safetensors holds
 * weights, optimiser state and the step; resuming from it is bit-for-bit
 * identical to an uninterrupted run. Checkpoints that are kept have names of their own,
 * OUT/step-N.safetensors, and stay. A step whose micro-batches hold no rows changes nothing.
 */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include <jansson.h>
#include <signal.h>

#include "train/engine.h"
#include "train/cost.h"
#include "train/optim.h"
#include "train/options.h"
#include "train/private.h"
#include "train/validation.h"
#include "train/weighting.h"
#include "train/wrapper.h"

struct trainer {
    struct engine *engine;               /* borrowed; sets, objectives and reference in place */
    struct choice optim, wrapper;        /* borrowed; wrapper: may be none */
    const struct weighting *weighting;   /* NULL: the term weights are constant */
    const struct validation *validation; /* NULL: none */
    const json_t *options; /* borrowed object: the run's options, which a resumed run must share */
    const json_t *files;   /* borrowed {path: SHA-256} of the input files, likewise; NULL: none */
    const struct train_options *o;
    const struct order *order; /* borrowed */
    struct train_cost *cost;   /* borrowed, written with each checkpoint; NULL: none */
    double model_bytes;        /* size of the result on disk; 0: not known */
    const char *out;           /* directory, created */
    bool dry_run;              /* memory is taken and noted, disk space checked; no step, no file */
    const char *what;          /* for the progress bar: "forget" */
    const volatile sig_atomic_t *stop; /* when set: abandon the step, save, return; may be NULL */
    /* Checkpoints to keep: after these steps [n_keep], and after every keep_every (0: none). */
    const long *keep;
    int n_keep;
    long keep_every;
    const struct private_rule *dp; /* steps are private, and clip is of an example; NULL: no */
    const char *from; /* resumes from this checkpoint; NULL: OUT/checkpoint.safetensors */
};

/* OUT/step-N.safetensors, owned by the caller. */
char *train_kept_path(const char *out, long step, struct err *e);
/* Whether the checkpoint after this step is one to keep. */
bool train_keeps(const struct trainer *t, long step);

struct train_report {
    long steps, tokens;
    double loss, grad_norm; /* of the last step */
    long clipped;           /* steps whose gradient was clipped */
    double seconds;
    double
        bytes; /* of a dry run: the memory planned; its tokens are those of steps as its largest */
    bool interrupted;                    /* a checkpoint was written */
    struct validation_result validation; /* the last one; `stop` is the reason for early stopping */
};

/* A loss or gradient that is not finite is an error; the last checkpoint of this run is kept, or
 * one with the weights before that step is written. */
int train_run(struct trainer *t, struct train_report *report, struct err *e);

#endif
