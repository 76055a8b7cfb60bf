/* What a client asks for: the JSON body of /v1/completions and /v1/chat/completions, in the format
 * of OpenAI's API, checked and in one struct. Unknown keys are ignored, as clients send many; known
 * ones that would change the answer and are not implemented are refused by name.
 *
 * Nothing here knows a model, a tokenizer or HTTP.
 */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum request_kind { REQUEST_COMPLETION, REQUEST_CHAT };

enum {
    REQUEST_PROMPTS = 256,  /* most prompts of a request */
    REQUEST_N = 128,        /* most answers to a prompt */
    REQUEST_ANSWERS = 1024, /* most in all */
    REQUEST_STOPS = 16,
    REQUEST_TOP = 20 /* most alternatives of a token */
};

struct serve_request {
    enum request_kind kind;
    json_t *body;       /* owned; what follows borrows from it */
    const char *model;  /* NULL: the first one */
    json_t *prompts;    /* owned: a list of texts or of lists of ids, or of one conversation
                         * [{"role", "content": text}] */
    int64_t n;          /* answers to each prompt */
    int64_t max_tokens; /* -1: not given */
    int64_t seed;       /* -1: not given */
    double temperature, top_p;
    const char *stops[REQUEST_STOPS + 1]; /* up to NULL */
    bool logprobs;
    int64_t top;                /* alternatives of each token */
    bool echo;                  /* the prompt comes first */
    bool stream, usage;         /* usage: as the last event of a stream */
    bool ignore_eos, token_ids; /* as vLLM has them: token_ids: return them, too */
};

/* Reads text[0..len). ERR_ARGUMENT: the subject of the error is the key, if one is at fault.
 * Release with serve_request_fini, also after a failure. */
int serve_request_read(struct serve_request *r, enum request_kind kind, const char *text,
                       size_t len, struct err *e);
void serve_request_fini(struct serve_request *r);

#endif
