#ifdef HAVE_HTTP
#include "serve/http.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

/* --- answers --- */

enum { RETRY_AFTER = 1 }; /* seconds */

static void add_headers(struct MHD_Response *m, int status, const char *type)
{
    MHD_add_response_header(m, "Content-Type", type);
    MHD_add_response_header(m, "Cache-Control", "no-store");
    MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
    if (status == 429 || status == 503) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", RETRY_AFTER);
        MHD_add_response_header(m, "Retry-After", seconds);
    }
    if (status == 401)
        MHD_add_response_header(m, "WWW-Authenticate", "Bearer");
    if (!strncmp(type, "text/html", 9)) /* its own script and style, and this server's data */
        MHD_add_response_header(m, "Content-Security-Policy",
                                "default-src 'none'; script-src 'unsafe-inline'; style-src "
                                "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri "
                                "'none'; form-action 'none'; frame-ancestors 'none'");
}

static void count(struct exchange *x, int status)
{
    x->status = status;
    pthread_mutex_lock(&x->http->worker.lock);
    x->http->answered[status < HTTP_COUNTED ? status : 0]++;
    pthread_mutex_unlock(&x->http->worker.lock);
}

enum MHD_Result http_send(struct exchange *x, int status, const char *type, const char *text,
                          size_t n)
{
    struct MHD_Response *m =
        MHD_create_response_from_buffer(n, (void *)text, MHD_RESPMEM_MUST_COPY);
    if (!m)
        return MHD_NO;
    add_headers(m, status, type);
    if (status == 405)
        MHD_add_response_header(m, "Allow", x->route->method[0] == 'G' ? "GET, HEAD" : "POST");
    count(x, status);
    const enum MHD_Result rc = MHD_queue_response(x->connection, (unsigned)status, m);
    MHD_destroy_response(m);
    return rc;
}

static enum MHD_Result send_value(struct exchange *x, int status, json_t *j)
{
    struct buf text = {0};
    struct err e = {.msg = ""};
    const bool fine = j && !json_write_buf(j, &text, JSON_COMPACT, &e) && !buf_str(&text, "\n", &e);
    const enum MHD_Result rc =
        fine ? http_send(x, status, "application/json", text.data, text.len) : MHD_NO;
    buf_fini(&text);
    json_decref(j);
    return rc;
}

enum MHD_Result http_send_json(struct exchange *x, json_t *j)
{
    return send_value(x, 200, j);
}

enum MHD_Result http_send_error(struct exchange *x, int status, const struct err *e)
{
    return send_value(x, status, reply_error(status, e));
}

/* --- a reply and its exchange: the worker's thread and that of HTTP, under the worker's lock ---
 */

static void wake(struct exchange *x)
{
    if (x->suspended)
        MHD_resume_connection(x->connection);
    x->suspended = false;
}

static void on_bytes(void *ctx, const char *bytes, size_t n)
{
    struct exchange *x = ctx;
    struct err e;
    pthread_mutex_lock(&x->http->worker.lock);
    if (!x->gone && buf_add(&x->out, bytes, n, &e))
        x->gone = true; /* no memory: what is there is sent, and the rest not */
    if (x->stream)
        wake(x);
    pthread_mutex_unlock(&x->http->worker.lock);
}

/* Frees what neither side needs; the lock is held. */
static void release(struct exchange *x)
{
    if (x->connection || x->reply)
        return;
    *x->at = x->next;
    if (x->next)
        x->next->at = x->at;
    buf_fini(&x->body);
    buf_fini(&x->out);
    free(x);
}

static void on_end(void *ctx, int status)
{
    struct exchange *x = ctx;
    pthread_mutex_t *lock = &x->http->worker.lock;
    pthread_mutex_lock(lock);
    x->reply = NULL;
    x->ended = true;
    x->status = status;
    wake(x);
    release(x);
    pthread_mutex_unlock(lock);
}

struct reply_sink http_sink(struct exchange *x)
{
    return (struct reply_sink){.bytes = on_bytes, .end = on_end, .ctx = x};
}

/* The bytes of a stream that are there; none: the connection sleeps until there are. */
static ssize_t read_stream(void *ctx, uint64_t at, char *to, size_t room)
{
    struct exchange *x = ctx;
    (void)at;
    pthread_mutex_lock(&x->http->worker.lock);
    ssize_t n = (ssize_t)(x->out.len - x->taken);
    if ((size_t)n > room)
        n = (ssize_t)room;
    if (n) {
        memcpy(to, x->out.data + x->taken, (size_t)n);
        x->taken += (size_t)n;
    }
    if (x->taken == x->out.len) {
        buf_clear(&x->out);
        x->taken = 0;
    }
    if (!n && (x->ended || x->gone)) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (!n) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->http->worker.lock);
    return n;
}

enum MHD_Result http_await(struct exchange *x)
{
    pthread_mutex_lock(&x->http->worker.lock);
    const bool ended = x->ended;
    if (!x->stream && !ended) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->http->worker.lock);
    if (!x->stream)
        return !ended ? MHD_YES
                      : http_send(x, x->status, "application/json", x->out.data ? x->out.data : "",
                                  x->out.len);
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1 << 14, read_stream, x, NULL);
    if (!m)
        return MHD_NO;
    add_headers(m, 200, "text/event-stream; charset=utf-8");
    count(x, 200);
    const enum MHD_Result rc = MHD_queue_response(x->connection, 200, m);
    MHD_destroy_response(m);
    return rc;
}

/* --- requests --- */

static const char *header(struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static int refuse(struct exchange *x, int status, const char *why)
{
    err_code(&x->why, ERR_ARGUMENT, "%s", why);
    return x->refused = status;
}

/* Equal, in a time that does not tell how much of it is right. */
static bool same_secret(const char *given, const char *wanted)
{
    const size_t n = strlen(wanted), m = strlen(given);
    unsigned differ = n != m;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(m ? given[i % m] : 0) ^ (unsigned char)wanted[i];
    return !differ;
}

/* A name that only this machine's own pages use: an address or localhost. A page of somebody else
 * whose name was made to point here has its own. */
static bool is_local_host(const char *host)
{
    const size_t n = strcspn(host, ":");
    return host[0] == '[' || (n == 9 && !strncasecmp(host, "localhost", 9)) ||
           strspn(host, "0123456789.") == n;
}

/* Who may ask: whoever knows the token; without one pages of this server and programs. */
static int check_client(struct exchange *x)
{
    const char *token = x->http->o->token, *given = header(x, "Authorization"),
               *host = header(x, "Host"), *origin = header(x, "Origin");
    if (host && !token && !is_local_host(host))
        return refuse(x, 403, "the Host of the request is not this machine");
    if (origin && (!strstr(origin, "://") || !host || strcmp(strstr(origin, "://") + 3, host)))
        return refuse(x, 403, "pages of other servers are not answered");
    if (!token || (x->route && x->route->open))
        return 0;
    if (!given || strncasecmp(given, "Bearer ", 7) || !same_secret(given + 7, token))
        return refuse(x, 401, "the request needs the header 'Authorization: Bearer TOKEN'");
    return 0;
}

static int check_request(struct exchange *x, const char *method, const char *path)
{
    const char *length = header(x, "Content-Length");
    int status = 0;
    x->route = route_find(method, path, &x->rest, &status);
    if (check_client(x))
        return x->refused;
    if (status)
        return refuse(x, status,
                      status == 404 ? "there is no such path" : "the path has another method");
    if (length && strtoull(length, NULL, 10) > (unsigned long long)x->http->o->body) {
        refuse(x, 413, "");
        err_code(&x->why, ERR_ARGUMENT, "the body has %s bytes, more than the %ld allowed", length,
                 x->http->o->body);
    }
    return x->refused;
}

static struct exchange *exchange_new(struct http *h, struct MHD_Connection *c)
{
    struct err e;
    struct exchange *x = mem_alloc(1, sizeof *x, &e);
    if (!x)
        return NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    *x =
        (struct exchange){.http = h, .connection = c, .client = info ? info->socket_context : NULL};
    pthread_mutex_lock(&h->worker.lock);
    x->next = h->exchanges;
    x->at = &h->exchanges;
    if (x->next)
        x->next->at = &x->next;
    h->exchanges = x;
    pthread_mutex_unlock(&h->worker.lock);
    return x;
}

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t *n)
{
    struct err e;
    const size_t most = (size_t)x->http->o->body;
    if (!x->refused && x->body.len + *n > most) { /* it came without its length */
        refuse(x, 413, "the body is longer than is allowed");
        buf_fini(&x->body);
    }
    x->taken += *n;
    if (x->taken > 4 * most) /* it does not end */
        return MHD_NO;
    if (!x->refused && buf_add(&x->body, data, *n, &e))
        refuse(x, 500, "out of memory");
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **state)
{
    struct exchange *x = *state;
    (void)version;
    if (!x) {
        if (!(x = *state = exchange_new(ctx, c)))
            return MHD_NO;
        if (check_request(x, method, path) == 413)
            return http_send_error(x, 413, &x->why);
        return MHD_YES;
    }
    if (*n)
        return take_body(x, data, n);
    if (!x->whole) {
        x->whole = true;
        x->taken = 0;
        if (x->client) {
            pthread_mutex_lock(&x->http->worker.lock);
            x->client->served = true;
            pthread_mutex_unlock(&x->http->worker.lock);
        }
    }
    return x->refused   ? http_send_error(x, x->refused, &x->why)
           : x->started ? http_await(x)
                        : x->route->answer(x);
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *state;
    struct http *h = ctx;
    (void)c, (void)code;
    if (!x)
        return;
    pthread_mutex_lock(&h->worker.lock);
    if (x->client) {
        x->client->served = false;
        x->client->since = log_seconds();
    }
    if (x->reply)
        reply_cancel(x->reply, false);
    x->connection = NULL;
    x->suspended = false;
    x->gone = true;
    release(x);
    pthread_mutex_unlock(&h->worker.lock);
    *state = NULL;
}

/* --- connections --- */

/* The connection that has been sending its request longest. */
static struct client *slowest(struct http *h)
{
    struct client *worst = NULL;
    for (struct client *c = h->clients; c; c = c->next)
        if (!c->served && c->fd >= 0 && (!worst || c->since < worst->since))
            worst = c;
    return worst;
}

static void hang_up(struct client *c)
{
    shutdown(c->fd, SHUT_RDWR); /* HTTP's thread closes it */
    c->fd = -1;
}

static void on_connection(void *ctx, struct MHD_Connection *m, void **socket,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = ctx;
    struct client *c = *socket;
    struct err e;
    pthread_mutex_lock(&h->worker.lock);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED && c) {
        *c->at = c->next;
        if (c->next)
            c->next->at = c->at;
        h->n_clients--;
        free(c);
        *socket = NULL;
    } else if (code == MHD_CONNECTION_NOTIFY_STARTED && (c = mem_alloc(1, sizeof *c, &e))) {
        /* Near the limit those go first that ask nothing, so that a flood of them shuts nobody out.
         */
        if (h->n_clients >= h->o->connections * 3 / 4 && slowest(h))
            hang_up(slowest(h));
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(m, MHD_CONNECTION_INFO_CONNECTION_FD);
        *c = (struct client){.next = h->clients,
                             .at = &h->clients,
                             .fd = info ? info->connect_fd : -1,
                             .since = log_seconds()};
        if (c->next)
            c->next->at = &c->next;
        h->clients = c;
        h->n_clients++;
        *socket = c;
    }
    pthread_mutex_unlock(&h->worker.lock);
}

/* A request that does not arrive is given up; so is one whose client has gone while it waits for
 * its answer, as HTTP's thread does not see that. */
static void on_tick(void *ctx)
{
    struct http *h = ctx;
    const double now = log_seconds();
    char c;
    pthread_mutex_lock(&h->worker.lock);
    for (struct client *k = h->clients; k; k = k->next)
        if (!k->served && k->fd >= 0 && now - k->since > h->o->receive)
            hang_up(k);
    for (struct exchange *x = h->exchanges; x; x = x->next) {
        if (!x->suspended || !x->reply || !x->client || x->client->fd < 0)
            continue;
        const ssize_t n = recv(x->client->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
        if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
            reply_cancel(x->reply, false);
    }
    pthread_mutex_unlock(&h->worker.lock);
}

/* --- the life of the server --- */

static int start(struct http *h, int fd, struct err *e)
{
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL,
        on_request, h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)h->o->connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)h->o->receive + 30,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        h, MHD_OPTION_END);
    return h->daemon ? 0 : err_sys(e, "cannot start the server");
}

/* Nothing may sleep when the daemon ends. */
static void stop(struct http *h)
{
    const MHD_socket fd = MHD_quiesce_daemon(h->daemon);
    pthread_mutex_lock(&h->worker.lock);
    for (struct exchange *x = h->exchanges; x; x = x->next)
        wake(x);
    pthread_mutex_unlock(&h->worker.lock);
    for (int i = 0; i < 50; i++) { /* answers that ended are sent */
        pthread_mutex_lock(&h->worker.lock);
        const bool done = !h->exchanges;
        pthread_mutex_unlock(&h->worker.lock);
        if (done)
            break;
        poll(NULL, 0, 10);
    }
    MHD_stop_daemon(h->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

int server_run(const struct server_options *o, struct served *served, int n,
               const volatile sig_atomic_t *stopped, void (*ready)(const char *url), struct err *e)
{
    struct http h = {.o = o, .started = log_seconds()};
    char url[320];
    if (o->forget && !(h.questions = page_questions(o, e)))
        return -1;
    int fd = server_listen(o, url, sizeof url, e);
    if (fd < 0) {
        json_decref(h.questions);
        return -1;
    }
    worker_init(&h.worker, served, n, o->waiting);
    h.worker.tick = on_tick;
    h.worker.tick_ctx = &h;
    int rc = start(&h, fd, e);
    if (!rc) {
        ready(url);
        worker_run(&h.worker, stopped, o->grace);
        stop(&h);
    } else {
        close(fd);
    }
    worker_fini(&h.worker);
    json_decref(h.questions);
    return rc;
}
#endif
