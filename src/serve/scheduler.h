/* Continuous batching over one model. A scheduler has slots, each a sequence of a session
 * (model/session.h). A step is one pass of the model: running answers get one token each, and
 * prompts enter in pieces, so that a long one does not hold up the others. An answer that ends
 * leaves its slot at once, and the next job that waits takes it. What a prompt has in common with
 * what any slot holds, such as a system turn, earlier turns of a conversation or the same prompt of
 * another answer, is copied, not computed.
 *
 * The tokens are those of model_generate with the same seed. A scheduler belongs to one thread;
 * only job.cancelled may be set by others.
 */
#ifndef SERVE_SCHEDULER_H
#define SERVE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "model/generate.h"
#include "model/session.h"

enum { JOB_TOP = 20 }; /* most alternatives of a token */

enum job_end {
    JOB_OPEN,   /* waiting or running */
    JOB_STOP,   /* an end token */
    JOB_ENOUGH, /* the token callback wanted no more tokens */
    JOB_LENGTH, /* max_new_tokens */
    JOB_CANCELLED,
    JOB_FAILED
};

struct sampling {
    int max_new_tokens; /* 0: the prompt is only scored */
    double temperature; /* 0: greedy, ties to the lowest id */
    double top_p;       /* nucleus, (0,1] */
    unsigned seed;
    int prompt, sample; /* numbers among those of one request: each has its own stream, as in
                         * model_generate */
    bool ignore_eos;
    bool logp;         /* log-probabilities of tokens are wanted, ... */
    int top;           /* ... and of so many alternatives, at most JOB_TOP */
    bool score_prompt; /* also of the prompt's tokens but the first */
};

/* A token that was chosen, or one of the prompt; lasts for the call. The log-probabilities are the
 * model's, before temperature, top_p and the ban of ids without text. */
struct job_token {
    int id;
    bool prompt; /* read, not generated */
    bool end;    /* an end token */
    double logp; /* 0 if not asked for */
    const struct likely *top;
    int n_top;
};

/* One answer to one prompt. */
struct serve_job {
    const int *ids; /* [n] borrowed until done: the prompt, at least one token */
    int n;
    struct sampling how;
    /* Called in order for every token. True: the answer ends here. May be NULL. */
    bool (*token)(void *ctx, const struct job_token *t);
    /* Called once, last; the job is the caller's again. e: why it failed, else NULL. */
    void (*done)(void *ctx, enum job_end end, const struct err *e);
    void *ctx;
    _Atomic bool cancelled; /* set by any thread: ends before the next step */

    /* The scheduler's. */
    struct serve_job *next;
    struct rng rng;
    int held; /* tokens of the prompt that are in the slot */
    int made; /* tokens generated */
    int last; /* of these */
};

struct scheduler_options {
    int slots;   /* answers at once; 0: as many as a cache of 1 GiB holds, at most 16 */
    int context; /* tokens of a prompt and its answer; 0: the model's positions, at most 2048 */
    int waiting; /* jobs that may wait */
};

struct scheduler {
    struct model *m; /* borrowed */
    struct scheduler_options o;
    struct session s;
    struct serve_lane {
        struct serve_job *job;       /* NULL: free */
        uint64_t used;               /* the step that used it last */
    } * lanes;                       /* owned [o.slots] */
    struct serve_job *first, **last; /* the jobs that wait */
    int running, waiting;
    int *slot, *rows; /* owned [o.slots] of a step: what is fed, and the logits wanted of it */
    struct seq *seqs; /* owned, as many */
    uint64_t steps;
    uint64_t prompt_tokens, shared_tokens, new_tokens; /* read, of these copied; generated */
};

/* Takes the memory of the cache: o->slots * o->context tokens (0 is replaced in s->o). */
int scheduler_init(struct scheduler *s, struct model *m, const struct scheduler_options *o,
                   struct err *e);
/* Jobs that are still there are cancelled. */
void scheduler_fini(struct scheduler *s);
/* Fails, with ERR_ARGUMENT, where the job's prompt and answer do not fit into a slot, or an id is
 * outside the vocabulary. */
int scheduler_check(const struct scheduler *s, const struct serve_job *j, struct err *e);
/* Adds a job, which is zeroed but for what its caller sets. ERR_BUSY: too many wait. */
int scheduler_add(struct scheduler *s, struct serve_job *j, struct err *e);
/* One pass. Returns how many jobs are left. */
int scheduler_step(struct scheduler *s);

#endif
