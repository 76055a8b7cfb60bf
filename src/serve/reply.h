/* The answer to one request: a job of the scheduler for each prompt and sample, and the JSON that
 * the client gets, whole or as server-sent events.
 *
 * A reply is made by one thread (reply_open) and then belongs to the one that runs the scheduler;
 * its sink is called from there.
 */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include "serve/completion.h"
#include "serve/request.h"
#include "serve/served.h"

struct guard_prompt; /* guard/guard.h */

struct reply_sink {
    /* Bytes for the client: an event, or the whole body. */
    void (*bytes)(void *ctx, const char *bytes, size_t n);
    /* Nothing more follows; the last call. http: the status of a body, of a stream only for the
     * record. */
    void (*end)(void *ctx, int http);
    void *ctx;
};

struct reply_limits {
    int new_tokens;  /* of a chat that names none */
    unsigned seed;   /* where the request names none */
    double deadline; /* log_seconds() after which it is given up; 0: never */
};

struct reply {
    struct serve_request request; /* owned */
    struct served *served;        /* borrowed */
    struct reply_limits limits;
    struct reply_sink sink;
    struct serve_answer {
        struct reply *of;
        struct serve_job job;
        struct completion completion;
        int index, prompt;
        size_t sent, told; /* bytes of text and tokens that events have had */
        size_t ids_told;
        size_t offset; /* of the next token, in characters */
        enum job_end end;
        bool begun;
        bool guard_answered;      /* a guard answers instead of the model, or withheld the answer */
    } * answers;                  /* owned [n] */
    struct ids *prompts;          /* owned [n_prompts] */
    struct guard_prompt *guarded; /* owned [n_prompts]; NULL: the model has no guard */
    int n, n_prompts, left;       /* left: answers that have not ended */
    bool late, cancelled;         /* the deadline passed; its jobs were ended */
    struct err failed;            /* why it failed, with a text; else "" */
    struct reply *next;           /* for lists of who owns it */
    char id[48];
    long created; /* seconds of the epoch */
};

/* Takes the request over, also on failure: tokenises its prompts. ERR_ARGUMENT: the client's fault.
 */
struct reply *reply_open(struct serve_request *r, struct served *s, const struct reply_limits *l,
                         const struct reply_sink *sink, struct err *e);
/* Gives the jobs to the scheduler; what it refuses ends the reply. */
void reply_start(struct reply *r);
/* Its jobs end at the next step. late: since the deadline passed. */
void reply_cancel(struct reply *r, bool late);
void reply_free(struct reply *r);

/* {"error": {"message", "type", "param", "code"}} of that status; a new reference. */
json_t *reply_error(int http, const struct err *e);
/* The status for an error: 400 of what the client asked, 429, 500, 503. */
int reply_status(const struct err *e);

/* --- between reply.c and reply_guard.c --- */

/* Fails for guards that work inside of the model: the scheduler's passes do not meet them. */
int reply_guards_check(const struct guards *g, struct err *e);
/* The prompts through the guards; answers of prompts that a guard answers are complete. */
int reply_guard_begin(struct reply *r, struct err *e);
/* An answer that is complete through the guards: what is said then. */
int reply_guard_output(struct serve_answer *a, struct err *e);
/* What the guards did, [{"guard", "action", "why"}]; a new reference. */
json_t *reply_guard_notes(const struct serve_answer *a);
void reply_guard_end(struct reply *r);

#endif
