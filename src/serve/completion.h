/* One answer as it grows: its ids, its text token by token, where a stop string ends it, and the
 * log-probabilities in the two forms of OpenAI's API.
 *
 * The text of a token is what it adds to the text of those before it; while the bytes so far end
 * within a character it adds nothing. At the end the text is that of all ids at once.
 */
#ifndef SERVE_COMPLETION_H
#define SERVE_COMPLETION_H

#include <jansson.h>

#include "base/buf.h"
#include "serve/scheduler.h"
#include "text/ids.h"
#include "text/tokenizer.h"

/* What is told of a token. */
struct completion_token {
    int id;
    bool first; /* of the prompt: it has no log-probability */
    double logp;
    struct likely top[JOB_TOP];
    int n_top;
};

struct completion {
    const struct tokenizer *tokenizer; /* borrowed */
    const char *const *stops;          /* borrowed, up to NULL */
    struct ids ids;                    /* owned: generated */
    struct buf text;                   /* owned: so far, with an echoed prompt */
    size_t echoed;                     /* bytes of it that are the prompt's */
    size_t from, read;                 /* ids whose text is decoded again, and those in `text` */
    bool stopped;                      /* by a stop string, at which `text` was cut */
    struct completion_token *tokens;   /* owned: with log-probabilities, prompt first */
    size_t n_tokens, cap;
};

void completion_init(struct completion *c, const struct tokenizer *t, const char *const *stops);
void completion_fini(struct completion *c);
/* The prompt's text comes first. */
int completion_echo(struct completion *c, const char *text, size_t n, struct err *e);
/* Notes a token whose log-probability is wanted; t NULL: id, the first one of a prompt. */
int completion_note(struct completion *c, int id, const struct job_token *t, struct err *e);
/* A generated token; an end token has no text. c->stopped: the answer ends. */
int completion_add(struct completion *c, int id, struct err *e);
/* The answer ends: `text` becomes complete. */
int completion_end(struct completion *c, struct err *e);
/* Bytes of `text` that no later token changes: those that may begin a stop string wait. */
size_t completion_settled(const struct completion *c);
/* The text that id adds after `before` (-1: none), appended. */
int completion_piece(const struct completion *c, int before, int id, struct buf *out,
                     struct err *e);

/* The log-probabilities of tokens first..n_tokens-1: {"tokens", "token_logprobs", "top_logprobs",
 * "text_offset"}, whose first offset is *offset, which is moved; of chats {"content": [{"token",
 * "logprob", "bytes", "top_logprobs"}]}. A new reference. */
json_t *completion_logprobs(const struct completion *c, size_t first, size_t *offset,
                            struct err *e);
json_t *completion_chat_logprobs(const struct completion *c, size_t first, struct err *e);

#endif
