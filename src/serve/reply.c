#include "serve/reply.h"

#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/mem.h"

/* --- errors --- */

static const struct {
    int http;
    const char *type;
} types[] = {
    {400, "invalid_request_error"}, {401, "authentication_error"},  {403, "permission_error"},
    {404, "not_found_error"},       {405, "invalid_request_error"}, {408, "timeout_error"},
    {413, "invalid_request_error"}, {415, "invalid_request_error"}, {429, "rate_limit_error"},
    {503, "unavailable_error"},     {504, "timeout_error"}};

json_t *reply_error(int http, const struct err *e)
{
    const char *type = "server_error";
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        type = types[i].http == http ? types[i].type : type;
    json_t *message = json_string(e->msg);
    if (!message) /* not UTF-8 */
        message = json_string("the request is not valid UTF-8");
    return json_pack("{s:{s:o, s:s, s:s?, s:i}}", "error", "message", message, "type", type,
                     "param", e->subject, "code", http);
}

int reply_status(const struct err *e)
{
    return e->code == ERR_BUSY          ? 429
           : e->code == ERR_INTERRUPTED ? 503
           : e->code == ERR_NO_MEMORY   ? 500
                                        : 400;
}

/* --- events and bodies --- */

static const char *const reasons[] = {
    [JOB_STOP] = "stop", [JOB_ENOUGH] = "stop", [JOB_LENGTH] = "length"};

static const char *reason(const struct serve_answer *a)
{
    if (a->guard_answered)
        return "content_filter";
    return a->end < sizeof reasons / sizeof *reasons ? reasons[a->end] : NULL;
}

static void send_text(struct reply *r, const char *before, const json_t *j, const char *after)
{
    struct buf text = {0};
    struct err e = {.msg = ""};
    if (!buf_str(&text, before, &e) && !json_write_buf(j, &text, JSON_COMPACT, &e) &&
        !buf_str(&text, after, &e))
        r->sink.bytes(r->sink.ctx, text.data, text.len);
    buf_fini(&text);
}

static json_t *usage(const struct reply *r)
{
    json_int_t read = 0, made = 0;
    for (int i = 0; i < r->n_prompts; i++)
        read += (json_int_t)r->prompts[i].n;
    for (int i = 0; i < r->n; i++)
        made += (json_int_t)r->answers[i].completion.ids.n;
    return json_pack("{s:I, s:I, s:I}", "prompt_tokens", read, "completion_tokens", made,
                     "total_tokens", read + made);
}

/* The object around choices; takes them over. */
static json_t *envelope(const struct reply *r, json_t *choices)
{
    const bool chat = r->request.kind == REQUEST_CHAT;
    const char *object = !chat               ? "text_completion"
                         : r->request.stream ? "chat.completion.chunk"
                                             : "chat.completion";
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", r->id, "object", object, "created",
                     (json_int_t)r->created, "model", r->served->name, "choices", choices);
}

static json_t *ids_json(const int *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

/* What is new of an answer, or all of it: text[sent..to), tokens from `told` on. */
static json_t *choice_json(struct reply *r, struct serve_answer *a, size_t to, bool ends)
{
    const bool chat = r->request.kind == REQUEST_CHAT, stream = r->request.stream;
    struct err e = {.msg = ""};
    struct completion *c = &a->completion;
    json_t *text = json_stringn(c->text.data ? c->text.data + a->sent : "", to - a->sent);
    json_t *j =
        json_pack("{s:i, s:s?}", "index", a->index, "finish_reason", ends ? reason(a) : NULL);
    json_t *logprobs = !r->request.logprobs ? json_null()
                       : chat               ? completion_chat_logprobs(c, a->told, &e)
                                            : completion_logprobs(c, a->told, &a->offset, &e);
    json_object_set_new(j, "logprobs", logprobs);
    if (!chat) {
        json_object_set_new(j, "text", text);
    } else {
        json_t *message = json_pack("{s:o}", "content", text);
        if (!stream || !a->begun)
            json_object_set_new(message, "role", json_string("assistant"));
        json_object_set_new(j, stream ? "delta" : "message", message);
    }
    if (r->request.token_ids) {
        json_object_set_new(j, "token_ids",
                            ids_json(c->ids.v + a->ids_told, c->ids.n - a->ids_told));
        if (!a->begun)
            json_object_set_new(j, "prompt_token_ids", ids_json(a->job.ids, (size_t)a->job.n));
    }
    if (r->guarded && ends)
        json_object_set_new(j, "guard", reply_guard_notes(a));
    a->begun = true;
    a->sent = to;
    a->told = c->n_tokens;
    a->ids_told = c->ids.n;
    return j;
}

static void send_event(struct reply *r, struct serve_answer *a, bool ends)
{
    const size_t to = ends ? a->completion.text.len : completion_settled(&a->completion);
    if (!ends && to <= a->sent && a->begun && !r->request.token_ids)
        return;
    json_t *j = envelope(r, json_pack("[o]", choice_json(r, a, to > a->sent ? to : a->sent, ends)));
    send_text(r, "data: ", j, "\n\n");
    json_decref(j);
}

static void send_body(struct reply *r)
{
    json_t *choices = json_array();
    for (int i = 0; i < r->n; i++)
        json_array_append_new(
            choices, choice_json(r, &r->answers[i], r->answers[i].completion.text.len, true));
    json_t *j = envelope(r, choices);
    json_object_set_new(j, "usage", usage(r));
    send_text(r, "", j, "\n");
    json_decref(j);
}

/* All answers ended. */
static void end(struct reply *r)
{
    static const struct err late = {.msg = "the time that a request may take is over"},
                            stopped = {.msg = "the request was cancelled, as the server stops"};
    const bool stream = r->request.stream, failed = r->failed.msg[0];
    int http = r->late ? 504 : failed ? reply_status(&r->failed) : r->cancelled ? 503 : 200;
    if (http == 400 && !r->guarded) /* else what the client asked for was checked before */
        http = 500;
    if (http != 200) {
        json_t *j = reply_error(http, r->late ? &late : failed ? &r->failed : &stopped);
        send_text(r, stream ? "data: " : "", j, stream ? "\n\n" : "\n");
        json_decref(j);
    } else if (!stream) {
        send_body(r);
    } else {
        json_t *j = r->request.usage ? envelope(r, json_array()) : NULL;
        if (j) {
            json_object_set_new(j, "usage", usage(r));
            send_text(r, "data: ", j, "\n\n");
            json_decref(j);
        }
        r->sink.bytes(r->sink.ctx, "data: [DONE]\n\n", 14);
    }
    r->sink.end(r->sink.ctx, http);
}

/* --- what the scheduler tells --- */

static bool on_token(void *ctx, const struct job_token *t)
{
    struct serve_answer *a = ctx;
    struct reply *r = a->of;
    struct err *e = &r->failed;
    if (r->failed.msg[0])
        return true;
    if (r->request.logprobs && completion_note(&a->completion, t->id, t, e))
        return true;
    if (t->prompt)
        return false;
    if (completion_add(&a->completion, t->id, e))
        return true;
    if (r->request.stream && !r->guarded && !a->completion.stopped)
        send_event(r, a, false);
    return a->completion.stopped;
}

static void on_done(void *ctx, enum job_end how, const struct err *e)
{
    struct serve_answer *a = ctx;
    struct reply *r = a->of;
    a->end = how;
    if (e && !r->failed.msg[0])
        r->failed = *e;
    const bool fine = how != JOB_CANCELLED && how != JOB_FAILED && !r->failed.msg[0] &&
                      !completion_end(&a->completion, &r->failed) &&
                      !(r->guarded && reply_guard_output(a, &r->failed));
    if (!fine)
        reply_cancel(r, false);
    else if (r->request.stream)
        send_event(r, a, true);
    if (!--r->left)
        end(r);
}

void reply_cancel(struct reply *r, bool late)
{
    r->late |= late;
    r->cancelled = true;
    for (int i = 0; i < r->n; i++)
        r->answers[i].job.cancelled = true;
}

void reply_start(struct reply *r)
{
    struct err e = {.msg = ""};
    const bool failed = r->served->setup.guards && reply_guard_begin(r, &e);
    for (int i = 0, n = r->n; i < n; i++) { /* the last one may end the reply */
        struct serve_answer *a = &r->answers[i];
        if (failed)
            on_done(a, JOB_FAILED, &e);
        else if (a->guard_answered)
            on_done(a, JOB_STOP, NULL);
        else if (scheduler_add(&r->served->scheduler, &a->job, &e))
            on_done(a, JOB_FAILED, &e);
    }
}

/* --- making one --- */

/* The text that an echoed prompt shows. */
static int echo(struct reply *r, struct serve_answer *a, struct err *e)
{
    const json_t *prompt = json_array_get(r->request.prompts, (size_t)a->prompt);
    struct buf text = {0};
    int rc = json_is_string(prompt)
                 ? completion_echo(&a->completion, json_string_value(prompt),
                                   json_string_length(prompt), e)
                 : tokenizer_decode(a->completion.tokenizer, a->job.ids, (size_t)a->job.n, false,
                                    &text, e) ||
                       completion_echo(&a->completion, text.data ? text.data : "", text.len, e);
    buf_fini(&text);
    return rc || (r->request.logprobs && completion_note(&a->completion, a->job.ids[0], NULL, e));
}

/* As asked for, or what a client expects that asks for nothing. */
static int new_tokens(const struct reply *r, int n_prompt)
{
    const int room = r->served->scheduler.o.context - n_prompt;
    const int usual = r->request.kind == REQUEST_CHAT ? r->limits.new_tokens : 16;
    if (r->request.max_tokens >= 0)
        return (int)r->request.max_tokens;
    return usual < room ? usual : room < 1 ? 1 : room;
}

static int make_answer(struct reply *r, int i, struct err *e)
{
    struct serve_answer *a = &r->answers[i];
    const struct serve_request *q = &r->request;
    const int prompt = i / (int)q->n;
    const struct ids *ids = &r->prompts[prompt];
    *a = (struct serve_answer){.of = r, .index = i, .prompt = prompt};
    completion_init(&a->completion, r->served->setup.tokenizer, q->stops[0] ? q->stops : NULL);
    a->job = (struct serve_job){.ids = ids->v,
                                .n = (int)ids->n,
                                .how = {.max_new_tokens = new_tokens(r, (int)ids->n),
                                        .temperature = q->temperature,
                                        .top_p = q->top_p,
                                        .seed = q->seed >= 0 ? (unsigned)q->seed : r->limits.seed,
                                        .prompt = prompt,
                                        .sample = i % (int)q->n,
                                        .ignore_eos = q->ignore_eos,
                                        .logp = q->logprobs,
                                        .top = (int)q->top,
                                        .score_prompt = q->echo && q->logprobs},
                                .token = on_token,
                                .done = on_done,
                                .ctx = a};
    if (scheduler_check(&r->served->scheduler, &a->job, e))
        return err_subject(e, q->kind == REQUEST_CHAT ? "messages" : "prompt");
    if (q->echo && q->logprobs && r->served->setup.guards) {
        err_code(e, ERR_ARGUMENT, "the prompt of a guarded model is not scored");
        return err_subject(e, "echo");
    }
    return q->echo ? echo(r, a, e) : 0;
}

static int make(struct reply *r, struct err *e)
{
    const size_t n = json_array_size(r->request.prompts);
    if (!(r->prompts = mem_alloc(n, sizeof *r->prompts, e)))
        return -1;
    r->n_prompts = (int)n;
    for (size_t i = 0; i < n; i++)
        if (served_encode(r->served, &r->request, i, &r->prompts[i], e))
            return err_subject(e, r->request.kind == REQUEST_CHAT ? "messages" : "prompt");
    const int answers = (int)(n * (size_t)r->request.n);
    if (!(r->answers = mem_alloc((size_t)answers, sizeof *r->answers, e)))
        return -1;
    for (; r->n < answers; r->n++)
        if (make_answer(r, r->n, e)) {
            r->n++;
            return -1;
        }
    r->left = answers;
    return 0;
}

struct reply *reply_open(struct serve_request *q, struct served *s, const struct reply_limits *l,
                         const struct reply_sink *sink, struct err *e)
{
    static _Atomic unsigned long long count;
    struct reply *r = mem_alloc(1, sizeof *r, e);
    if (!r) {
        serve_request_fini(q);
        return NULL;
    }
    r->request = *q;
    *q = (struct serve_request){.prompts = NULL};
    r->served = s;
    r->limits = *l;
    r->sink = *sink;
    r->created = (long)time(NULL);
    snprintf(r->id, sizeof r->id, "%s-%lx%06llx",
             r->request.kind == REQUEST_CHAT ? "chatcmpl" : "cmpl", (unsigned long)r->created,
             ++count & 0xffffff);
    if (!make(r, e))
        return r;
    reply_free(r);
    return NULL;
}

void reply_free(struct reply *r)
{
    for (int i = 0; r && i < r->n; i++)
        completion_fini(&r->answers[i].completion);
    for (int i = 0; r && i < r->n_prompts; i++)
        free(r->prompts[i].v);
    if (r) {
        reply_guard_end(r);
        free(r->answers);
        free(r->prompts);
        serve_request_fini(&r->request);
    }
    free(r);
}
