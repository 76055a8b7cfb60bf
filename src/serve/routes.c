#ifdef HAVE_HTTP
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "serve/http.h"

/* --- answers of the models --- */

static struct served *find_model(struct http *h, const char *name, struct err *e)
{
    for (int i = 0; i < h->worker.n; i++)
        if (!name || !strcmp(name, h->worker.served[i].name))
            return &h->worker.served[i];
    err_code(e, ERR_NO_FILE, "the model '%s' is not served here; see /v1/models", name);
    err_subject(e, "model");
    return NULL;
}

/* Another one for each request. */
static unsigned fresh_seed(void)
{
    static unsigned count;
    return (unsigned)time(NULL) * 2654435761u + ++count * 0x9e3779b9u;
}

static enum MHD_Result generate(struct exchange *x, enum request_kind kind)
{
    struct http *h = x->http;
    struct serve_request q;
    struct err e = {.msg = ""};
    const struct reply_limits limits = {.new_tokens = h->o->new_tokens,
                                        .seed = fresh_seed(),
                                        .deadline = log_seconds() + h->o->time};
    const struct reply_sink sink = http_sink(x);
    struct served *s = NULL;
    x->started = true;
    if (serve_request_read(&q, kind, x->body.data ? x->body.data : "", x->body.len, &e) ||
        !(s = find_model(h, q.model, &e))) {
        serve_request_fini(&q);
        return http_send_error(x, e.code == ERR_NO_FILE ? 404 : reply_status(&e), &e);
    }
    x->stream = q.stream;
    struct reply *r = reply_open(&q, s, &limits, &sink, &e);
    buf_fini(&x->body);
    pthread_mutex_lock(&h->worker.lock);
    x->reply = r;
    pthread_mutex_unlock(&h->worker.lock);
    if (r && !worker_submit(&h->worker, r, &e))
        return http_await(x);
    pthread_mutex_lock(&h->worker.lock);
    x->reply = NULL;
    pthread_mutex_unlock(&h->worker.lock);
    reply_free(r);
    return http_send_error(x, reply_status(&e), &e);
}

static enum MHD_Result completions(struct exchange *x)
{
    return generate(x, REQUEST_COMPLETION);
}

static enum MHD_Result chat(struct exchange *x)
{
    return generate(x, REQUEST_CHAT);
}

static json_t *model_json(const struct http *h, const struct served *s)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:i, s:b, s:s?}", "id", s->name, "object", "model",
                     "created", (json_int_t)(time(NULL) - (time_t)(log_seconds() - h->started)),
                     "owned_by", "unlearn", "context", s->scheduler.o.context, "chat", s->chats,
                     "guard", s->setup.o->guard.guard);
}

static enum MHD_Result models(struct exchange *x)
{
    json_t *list = json_array();
    for (int i = 0; i < x->http->worker.n; i++)
        json_array_append_new(list, model_json(x->http, &x->http->worker.served[i]));
    return http_send_json(x, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

static enum MHD_Result one_model(struct exchange *x)
{
    struct err e = {.msg = ""};
    const struct served *s = find_model(x->http, x->rest, &e);
    return s ? http_send_json(x, model_json(x->http, s)) : http_send_error(x, 404, &e);
}

/* --- how the server is --- */

static enum MHD_Result health(struct exchange *x)
{
    static const struct err stops = {.msg = "the server stops"};
    pthread_mutex_lock(&x->http->worker.lock);
    const bool draining = x->http->worker.draining;
    pthread_mutex_unlock(&x->http->worker.lock);
    return draining ? http_send_error(x, 503, &stops)
                    : http_send_json(x, json_pack("{s:s}", "status", "ok"));
}

static const struct {
    const char *name, *type, *help;
} metrics[WORKER_COUNTS] = {
    [COUNT_PROMPT_TOKENS] = {"prompt_tokens_total", "counter", "Tokens of prompts."},
    [COUNT_SHARED_TOKENS] = {"shared_tokens_total", "counter",
                             "Tokens of prompts that were copied from another sequence."},
    [COUNT_NEW_TOKENS] = {"generated_tokens_total", "counter", "Tokens generated."},
    [COUNT_STEPS] = {"steps_total", "counter", "Passes of the models."},
    [COUNT_RUNNING] = {"answers_running", "gauge", "Answers that have a slot."},
    [COUNT_WAITING] = {"answers_waiting", "gauge", "Answers that wait for a slot."},
    [COUNT_SLOTS] = {"slots", "gauge", "Answers that may run at once."},
};

static void write_metric(struct buf *b, const char *name, const char *type, const char *help,
                         struct err *e)
{
    buf_printf(b, e, "# HELP unlearn_%s %s\n# TYPE unlearn_%s %s\n", name, help, name, type);
}

static enum MHD_Result show_metrics(struct exchange *x)
{
    struct http *h = x->http;
    struct buf b = {0};
    struct err e = {.msg = ""};
    pthread_mutex_lock(&h->worker.lock);
    for (int i = 0; i < WORKER_COUNTS; i++) {
        write_metric(&b, metrics[i].name, metrics[i].type, metrics[i].help, &e);
        buf_printf(&b, &e, "unlearn_%s %llu\n", metrics[i].name,
                   (unsigned long long)h->worker.counts[i]);
    }
    write_metric(&b, "connections", "gauge", "Open connections.", &e);
    buf_printf(&b, &e, "unlearn_connections %d\n", h->n_clients);
    write_metric(&b, "uptime_seconds", "gauge", "Seconds since the start.", &e);
    buf_printf(&b, &e, "unlearn_uptime_seconds %.3f\n", log_seconds() - h->started);
    write_metric(&b, "requests_total", "counter", "Requests answered, by status.", &e);
    for (int i = 0; i < HTTP_COUNTED; i++)
        if (h->answered[i])
            buf_printf(&b, &e, "unlearn_requests_total{status=\"%d\"} %llu\n", i,
                       (unsigned long long)h->answered[i]);
    pthread_mutex_unlock(&h->worker.lock);
    const enum MHD_Result rc =
        e.msg[0] ? MHD_NO : http_send(x, 200, "text/plain; version=0.0.4", b.data, b.len);
    buf_fini(&b);
    return rc;
}

/* --- the page --- */

static enum MHD_Result page(struct exchange *x)
{
    return http_send(x, 200, "text/html; charset=utf-8", page_text, strlen(page_text));
}

static enum MHD_Result questions(struct exchange *x)
{
    json_t *list = x->http->questions ? json_incref(x->http->questions) : json_array();
    return http_send_json(x, json_pack("{s:o}", "data", list));
}

static enum MHD_Result runs(struct exchange *x)
{
    struct err e = {.msg = ""};
    json_t *list = x->http->o->ledger ? page_runs(x->http->o->ledger, &e) : json_array();
    return list ? http_send_json(x, json_pack("{s:o}", "data", list)) : http_send_error(x, 500, &e);
}

/* --- which path is whose --- */

static const struct route routes[] = {
    {"POST", "/v1/chat/completions", false, chat},
    {"POST", "/v1/completions", false, completions},
    {"GET", "/v1/models", false, models},
    {"GET", "/v1/models/", false, one_model},
    {"GET", "/health", true, health},
    {"GET", "/metrics", false, show_metrics},
    {"GET", "/", true, page},
    {"GET", "/page/questions", false, questions},
    {"GET", "/page/runs", false, runs},
};

const struct route *route_find(const char *method, const char *path, const char **rest, int *status)
{
    *status = 404;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];
        const size_t n = strlen(r->path);
        const bool more = n > 1 && r->path[n - 1] == '/';
        if (more ? strncmp(path, r->path, n) || !path[n] : strcmp(path, r->path) != 0)
            continue;
        *rest = path + n;
        *status = !strcmp(method, r->method) || (!strcmp(method, "HEAD") && r->method[0] == 'G')
                      ? 0
                      : 405;
        return r;
    }
    return NULL;
}
#endif
