/* HTTP's side of the server, between http.c (connections and their requests) and routes.c (what
 * each path answers).
 */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include <microhttpd.h>
#include <stdbool.h>

#include "base/buf.h"
#include "serve/worker.h"
#include "serve/server.h"

/* A connection. All by its lock, the worker's. */
struct client {
    struct client *next, **at; /* in http.clients */
    int fd;
    double since; /* when it was made, or its last request ended */
    bool served;  /* a request has arrived whole, and its answer is not sent yet */
};

enum { HTTP_COUNTED = 600 }; /* statuses */

struct http {
    const struct server_options *o; /* borrowed */
    struct worker worker;
    struct MHD_Daemon *daemon;
    struct client *clients;
    int n_clients;
    struct exchange *exchanges;
    uint64_t answered[HTTP_COUNTED]; /* by status */
    double started;                  /* log_seconds() */
    json_t *questions;               /* owned: of the page; NULL: none */
};

/* A request and its answer. It is freed when neither its connection nor its reply needs it. */
struct exchange {
    struct exchange *next, **at; /* in http.exchanges */
    struct http *http;           /* borrowed */
    struct MHD_Connection *connection;
    struct client *client;
    const struct route *route;
    const char *rest; /* of the path, after the route's */
    struct buf body, out;
    size_t taken; /* bytes of `out` that are sent */
    int refused;  /* a status that was found before the body came; 0: none */
    struct err why;
    struct reply *reply; /* until it ended */
    bool whole, started, stream, suspended, ended, gone;
    int status;
};

struct route {
    const char *method, *path; /* a path that ends with / has more after it */
    bool open;                 /* needs no token */
    enum MHD_Result (*answer)(struct exchange *x);
};

/* What the page at / shows: its text, the questions of a forget set [{"question", "answer"}], and
 * the runs of a ledger. New references. */
extern const char page_text[];
json_t *page_questions(const struct server_options *o, struct err *e);
json_t *page_runs(const char *ledger, struct err *e);

/* The route of a path; NULL and the status that tells why. */
const struct route *route_find(const char *method, const char *path, const char **rest,
                               int *status);

/* Answers of every kind; the text is copied. */
enum MHD_Result http_send(struct exchange *x, int status, const char *type, const char *text,
                          size_t n);
enum MHD_Result http_send_error(struct exchange *x, int status, const struct err *e);
/* Takes j over. */
enum MHD_Result http_send_json(struct exchange *x, json_t *j);
/* Waits for the reply, which the worker has, or sends it as it comes. */
enum MHD_Result http_await(struct exchange *x);
struct reply_sink http_sink(struct exchange *x);

#endif
