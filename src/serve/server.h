/* The server: HTTP by libmicrohttpd in a thread of its own, answers by the worker in the caller's.
 * The API is OpenAI's: /v1/models, /v1/completions, /v1/chat/completions; further /health,
 * /metrics (Prometheus) and the page at /.
 *
 * Without libmicrohttpd at build time server_run says so.
 */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <signal.h>

#include "base/err.h"
#include "serve/served.h"

struct server_options {
    const char *host;   /* an address, or "localhost" */
    int port;           /* 0: a free one */
    const char *token;  /* what a client must show; NULL: nothing */
    int waiting;        /* answers that may wait for a slot */
    int new_tokens;     /* of a chat that names none */
    long body;          /* most bytes of a request */
    int connections;    /* most at once */
    double receive;     /* seconds within which a request must arrive */
    double time;        /* seconds that an answer may take */
    double grace;       /* seconds that answers have to end when the server stops */
    const char *forget; /* rows whose questions the page offers; NULL: none */
    const char *question_key, *answer_key; /* their fields */
    const char *ledger;                    /* whose runs it lists; NULL: none */
};

/* Serves the n models, of which requests that name none get the first, until *stop is set.
 * ready(url) is called once it listens. */
int server_run(const struct server_options *o, struct served *served, int n,
               const volatile sig_atomic_t *stop, void (*ready)(const char *url), struct err *e);

/* Fails where the options make a server that anyone on the network could use, or the program was
 * built without libmicrohttpd; to be called before models are opened. */
int server_check(const struct server_options *o, struct err *e);

/* A socket that listens as the options have it, and its URL; -1: a failure. */
int server_listen(const struct server_options *o, char *url, size_t room, struct err *e);

#endif
