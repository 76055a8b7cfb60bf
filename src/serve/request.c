#include "serve/request.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

/* Keys that change an answer and are not implemented, with the value that changes nothing. */
static const struct {
    const char *key;
    enum { ZERO, ONE, NOTHING, OFF } neutral;
} unsupported[] = {{"best_of", ONE},           {"frequency_penalty", ZERO},
                   {"presence_penalty", ZERO}, {"logit_bias", NOTHING},
                   {"suffix", NOTHING},        {"tools", NOTHING},
                   {"functions", NOTHING},     {"response_format", NOTHING},
                   {"use_beam_search", OFF},   {"audio", NOTHING}};

static bool is_neutral(const json_t *v, int neutral)
{
    const char *text = json_string_value(v), *type = json_string_value(json_object_get(v, "type"));
    switch (neutral) {
    case ZERO:
        return json_is_number(v) && json_number_value(v) == 0;
    case ONE:
        return json_is_number(v) && json_number_value(v) == 1;
    case OFF:
        return json_is_false(v);
    default: /* {}, [], "" or {"type": "text"} */
        return (text && !*text) || (json_is_array(v) && !json_array_size(v)) ||
               (json_is_object(v) && (!json_object_size(v) || (type && !strcmp(type, "text"))));
    }
}

static int refuse(struct err *e, const char *key, const char *why)
{
    err_code(e, ERR_ARGUMENT, "'%s': %s", key, why);
    return err_subject(e, key);
}

static int check_unsupported(const json_t *body, struct err *e)
{
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        const json_t *v = json_object_get(body, unsupported[i].key);
        if (v && !json_is_null(v) && !is_neutral(v, unsupported[i].neutral))
            return refuse(e, unsupported[i].key, "this server does not implement it");
    }
    return 0;
}

/* --- numbers, flags and texts, by a table --- */

static const struct field {
    const char *key;
    enum { INT, REAL, BOOL } type;
    double lo, hi;
    size_t at;
    int kinds; /* bits 1 << enum request_kind */
} fields[] = {
#define BOTH  (1 << REQUEST_COMPLETION | 1 << REQUEST_CHAT)
#define AT(f) offsetof(struct serve_request, f)
    {"n", INT, 1, REQUEST_N, AT(n), BOTH},
    {"max_tokens", INT, 0, INT32_MAX, AT(max_tokens), BOTH},
    {"max_completion_tokens", INT, 0, INT32_MAX, AT(max_tokens), 1 << REQUEST_CHAT},
    {"seed", INT, -9e18, 9e18, AT(seed), BOTH},
    {"temperature", REAL, 0, 1e6, AT(temperature), BOTH},
    {"top_p", REAL, 1e-9, 1, AT(top_p), BOTH},
    {"top_logprobs", INT, 0, REQUEST_TOP, AT(top), 1 << REQUEST_CHAT},
    {"logprobs", BOOL, 0, 1, AT(logprobs), 1 << REQUEST_CHAT},
    {"echo", BOOL, 0, 1, AT(echo), 1 << REQUEST_COMPLETION},
    {"stream", BOOL, 0, 1, AT(stream), BOTH},
    {"ignore_eos", BOOL, 0, 1, AT(ignore_eos), BOTH},
    {"return_token_ids", BOOL, 0, 1, AT(token_ids), BOTH},
};

static int read_field(struct serve_request *r, const struct field *f, struct err *e)
{
    const json_t *v = json_object_get(r->body, f->key);
    char brief[JSON_BRIEF], *at = (char *)r + f->at;
    const bool fits =
        f->type == BOOL ? json_is_boolean(v)
        : f->type == INT
            ? json_is_integer(v) && (double)json_integer_value(v) >= f->lo &&
                  (double)json_integer_value(v) <= f->hi
            : json_is_number(v) && json_number_value(v) >= f->lo && json_number_value(v) <= f->hi;
    if (!v || json_is_null(v))
        return 0;
    if (!fits) {
        err_code(e, ERR_ARGUMENT, "'%s' is %s; it takes %s", f->key, json_brief(v, brief),
                 f->type == BOOL ? "true or false" : "");
        if (f->type != BOOL)
            snprintf(e->msg + strlen(e->msg), sizeof e->msg - strlen(e->msg),
                     "%s from %.10g to %.10g", f->type == INT ? "an integer" : "a number", f->lo,
                     f->hi);
        return err_subject(e, f->key);
    }
    if (f->type == BOOL)
        *(bool *)at = json_is_true(v);
    else if (f->type == INT)
        *(int64_t *)at = json_integer_value(v);
    else
        *(double *)at = json_number_value(v);
    return 0;
}

/* Of completions `logprobs` is the number of alternatives. */
static int read_logprobs(struct serve_request *r, struct err *e)
{
    const json_t *v = json_object_get(r->body, "logprobs");
    const int64_t n = json_integer_value(v);
    if (r->kind == REQUEST_CHAT)
        return r->top && !r->logprobs ? refuse(e, "top_logprobs", "it needs logprobs: true") : 0;
    if (!v || json_is_null(v) || json_is_false(v))
        return 0;
    if (!json_is_true(v) && (!json_is_integer(v) || n < 0 || n > REQUEST_TOP))
        return refuse(e, "logprobs", "it takes an integer from 0 to 20");
    r->logprobs = true;
    r->top = n;
    return 0;
}

static int read_stops(struct serve_request *r, struct err *e)
{
    json_t *v = json_object_get(r->body, "stop"), *one;
    size_t i, n = 0;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v) && (!json_is_array(v) || json_array_size(v) > REQUEST_STOPS))
        return refuse(e, "stop", "it takes a text, or a list of 16 texts at most");
    if (json_is_string(v)) {
        r->stops[n] = json_string_value(v);
        return *r->stops[n] ? 0 : refuse(e, "stop", "a text is empty");
    }
    json_array_foreach(v, i, one)
    {
        if (!json_is_string(one) || !json_string_length(one))
            return refuse(e, "stop", "a text of the list is empty, or no text");
        r->stops[n++] = json_string_value(one);
    }
    return 0;
}

/* --- prompts --- */

static bool is_ids(const json_t *v)
{
    size_t i;
    json_t *one;
    if (!json_is_array(v) || !json_array_size(v))
        return false;
    json_array_foreach(v, i, one)
    {
        if (!json_is_integer(one) || json_integer_value(one) < 0 ||
            json_integer_value(one) > INT32_MAX)
            return false;
    }
    return true;
}

static bool is_text(const json_t *v)
{
    return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

/* A text, a list of texts, a list of ids or a list of lists of ids. */
static int read_prompts(struct serve_request *r, struct err *e)
{
    json_t *v = json_object_get(r->body, "prompt"), *one;
    size_t i;
    if (!v || json_is_null(v))
        return refuse(e, "prompt", "it is missing");
    if (json_is_string(v) || is_ids(v))
        r->prompts = json_pack("[O]", v);
    else if (json_is_array(v))
        r->prompts = json_incref(v);
    else
        return refuse(e, "prompt", "it takes a text, a list of texts, or token ids");
    if (!r->prompts)
        return err_no_memory(e, "prompt");
    const size_t n = json_array_size(r->prompts);
    if (!n || n > REQUEST_PROMPTS)
        return refuse(e, "prompt", "it takes 1 to 256 prompts");
    json_array_foreach(r->prompts, i, one)
    {
        if (!is_text(one) && !is_ids(one))
            return refuse(
                e, "prompt",
                "each prompt is a text without the character NUL, or a list of token ids");
    }
    return 0;
}

/* The text of a message: a text, or OpenAI's list of parts, of which only texts are read. */
static json_t *content_of(const json_t *v, struct err *e)
{
    json_t *part;
    size_t i;
    struct buf text = {0};
    if (is_text(v))
        return json_copy((json_t *)v);
    if (!json_is_array(v)) {
        refuse(e, "messages",
               "the content of a message is a text, or a list of parts that are texts");
        return NULL;
    }
    int rc = buf_str(&text, "", e);
    json_array_foreach(v, i, part)
    {
        const json_t *s = json_object_get(part, "text");
        if (!rc)
            rc = is_text(s) ? buf_str(&text, json_string_value(s), e)
                            : refuse(e, "messages",
                                     "a part of a message is no text; others are not "
                                     "implemented");
    }
    json_t *out = rc ? NULL : json_stringn(text.data, text.len);
    if (!rc && !out)
        err_no_memory(e, "messages");
    buf_fini(&text);
    return out;
}

static int read_messages(struct serve_request *r, struct err *e)
{
    json_t *v = json_object_get(r->body, "messages"), *one;
    size_t i;
    if (!json_is_array(v) || !json_array_size(v))
        return refuse(e, "messages", "it takes a list of messages {role, content}");
    json_t *turns = json_array();
    r->prompts = turns ? json_pack("[o]", turns) : NULL;
    if (!r->prompts)
        return err_no_memory(e, "messages");
    json_array_foreach(v, i, one)
    {
        const json_t *role = json_object_get(one, "role");
        if (!is_text(role) || !json_string_length(role))
            return refuse(e, "messages", "a message has no role");
        json_t *content = content_of(json_object_get(one, "content"), e);
        if (!content)
            return -1;
        if (json_array_append_new(turns, json_pack("{s:O, s:o}", "role", role, "content", content)))
            return err_no_memory(e, "messages");
    }
    return 0;
}

int serve_request_read(struct serve_request *r, enum request_kind kind, const char *text,
                       size_t len, struct err *e)
{
    *r = (struct serve_request){
        .kind = kind, .n = 1, .max_tokens = -1, .seed = -1, .temperature = 1, .top_p = 1};
    if (!(r->body = json_read_text(text, len, "the body", e)))
        return -1;
    if (!json_is_object(r->body))
        return err_code(e, ERR_ARGUMENT, "the body is no JSON object");
    if (check_unsupported(r->body, e))
        return -1;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].kinds >> kind & 1 && read_field(r, &fields[i], e))
            return -1;
    const json_t *model = json_object_get(r->body, "model"),
                 *usage =
                     json_object_get(json_object_get(r->body, "stream_options"), "include_usage");
    if (model && !json_is_null(model) && !is_text(model))
        return refuse(e, "model", "it takes a name");
    r->model = json_string_value(model);
    r->usage = json_is_true(usage);
    if (read_logprobs(r, e) || read_stops(r, e) ||
        (kind == REQUEST_CHAT ? read_messages : read_prompts)(r, e))
        return -1;
    if ((int64_t)json_array_size(r->prompts) * r->n > REQUEST_ANSWERS)
        return refuse(e, "n", "prompts times answers are more than 1024");
    return 0;
}

void serve_request_fini(struct serve_request *r)
{
    json_decref(r->prompts);
    json_decref(r->body);
    *r = (struct serve_request){.prompts = NULL};
}
