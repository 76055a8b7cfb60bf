/* A model that answers requests: its weights, tokenizer and chat template, and the scheduler that
 * runs its answers. Encoding may run in one thread while the scheduler steps in another.
 */
#ifndef SERVE_SERVED_H
#define SERVE_SERVED_H

#include "run/setup.h"
#include "serve/request.h"
#include "serve/scheduler.h"

struct served {
    const char *name;           /* borrowed: what requests call it */
    struct setup setup;         /* owned */
    bool chats;                 /* it has a chat template */
    struct qa_format plain;     /* owned: prompts of completions */
    struct qa_format chat;      /* owned: and of conversations */
    struct scheduler scheduler; /* owned */
};

/* Opens the model for reading, also an ensemble; it needs a tokenizer. served_close is due after
 * success only. `o` is borrowed. */
int served_open(struct served *s, const char *name, const struct setup_options *o,
                const struct scheduler_options *so, struct err *e);
void served_close(struct served *s);

/* The ids of prompt i of a request, appended to `out`: a text as `unlearn generate --template none`
 * has it, ids as they are, a conversation by the chat template. */
int served_encode(struct served *s, const struct serve_request *r, size_t i, struct ids *out,
                  struct err *e);

/* The ids of a conversation [{"role", "content"}] up to where the answer begins. */
int served_encode_turns(struct served *s, const json_t *turns, struct ids *out, struct err *e);

#endif
