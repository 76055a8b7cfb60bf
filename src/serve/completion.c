#include "serve/completion.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "eval/answers.h"

void completion_init(struct completion *c, const struct tokenizer *t, const char *const *stops)
{
    *c = (struct completion){.tokenizer = t, .stops = stops};
}

void completion_fini(struct completion *c)
{
    free(c->ids.v);
    free(c->tokens);
    buf_fini(&c->text);
    *c = (struct completion){.tokenizer = NULL};
}

int completion_echo(struct completion *c, const char *text, size_t n, struct err *e)
{
    if (buf_add(&c->text, text, n, e))
        return -1;
    c->echoed = c->text.len;
    return 0;
}

int completion_note(struct completion *c, int id, const struct job_token *t, struct err *e)
{
    if (mem_reserve(&c->tokens, &c->cap, c->n_tokens + 1, sizeof *c->tokens, e))
        return -1;
    struct completion_token *to = &c->tokens[c->n_tokens++];
    to->id = id;
    to->first = !t;
    to->logp = t ? t->logp : 0;
    to->n_top = t ? t->n_top : 0;
    if (t)
        memcpy(to->top, t->top, (size_t)t->n_top * sizeof *t->top);
    return 0;
}

/* --- text --- */

/* Whether the text ends within a character, which the decoder shows as U+FFFD. */
static bool is_open(const struct buf *text)
{
    return text->len >= 3 && !memcmp(text->data + text->len - 3, "\xEF\xBF\xBD", 3);
}

/* Cuts the text at a stop string that ends after byte `from`. */
static void cut(struct completion *c, size_t from)
{
    size_t reach = 0;
    for (const char *const *s = c->stops; s && *s; s++)
        reach = strlen(*s) > reach ? strlen(*s) : reach;
    from = from > c->echoed + reach ? from - reach : c->echoed;
    if (!reach || from >= c->text.len)
        return;
    const size_t n = c->text.len - from, at = stops_find(c->text.data + from, n, c->stops);
    if (at == n)
        return;
    c->text.len = from + at;
    c->text.data[c->text.len] = 0;
    c->stopped = true;
}

int completion_add(struct completion *c, int id, struct err *e)
{
    struct buf before = {0}, now = {0};
    if (ids_add(&c->ids, id, e))
        return -1;
    const int *ids = c->ids.v + c->from;
    int rc = tokenizer_decode(c->tokenizer, ids, c->read - c->from, true, &before, e) ||
             tokenizer_decode(c->tokenizer, ids, c->ids.n - c->from, true, &now, e);
    if (!rc && now.len > before.len && !is_open(&now)) {
        const size_t had = c->text.len;
        rc = buf_add(&c->text, now.data + before.len, now.len - before.len, e);
        c->from = c->read;
        c->read = c->ids.n;
        if (!rc)
            cut(c, had);
    }
    buf_fini(&before);
    buf_fini(&now);
    return rc;
}

int completion_end(struct completion *c, struct err *e)
{
    struct buf all = {0};
    int rc = tokenizer_decode(c->tokenizer, c->ids.v, c->ids.n, true, &all, e);
    if (!rc && !c->stopped) {
        const size_t had = c->text.len;
        c->text.len = c->echoed;
        rc = buf_add(&c->text, all.data ? all.data : "", all.len, e);
        if (!rc)
            cut(c, had);
    }
    buf_fini(&all);
    return rc;
}

size_t completion_settled(const struct completion *c)
{
    size_t open = 0;
    const size_t n = c->text.len;
    for (const char *const *s = c->stops; !c->stopped && s && *s; s++)
        for (size_t k = strlen(*s) - 1; k > open; k--)
            if (k <= n - c->echoed && !memcmp(c->text.data + n - k, *s, k))
                open = k;
    return n - open;
}

int completion_piece(const struct completion *c, int before, int id, struct buf *out, struct err *e)
{
    const int both[] = {before, id};
    struct buf one = {0}, two = {0};
    int rc = 0;
    if (before >= 0)
        rc = tokenizer_decode(c->tokenizer, both, 1, false, &one, e) ||
             tokenizer_decode(c->tokenizer, both, 2, false, &two, e);
    if (!rc && before >= 0 && two.len > one.len &&
        !memcmp(two.data, one.data ? one.data : "", one.len) && !is_open(&one))
        rc = buf_add(out, two.data + one.len, two.len - one.len, e);
    else if (!rc)
        rc = tokenizer_decode(c->tokenizer, &id, 1, false, out, e);
    buf_fini(&one);
    buf_fini(&two);
    return rc;
}

/* --- log-probabilities --- */

static json_t *piece_json(const struct completion *c, int before, int id, struct err *e)
{
    struct buf text = {0};
    json_t *s = completion_piece(c, before, id, &text, e)
                    ? NULL
                    : json_stringn(text.data ? text.data : "", text.len);
    buf_fini(&text);
    return s;
}

/* {token: log-probability} of the alternatives, and of the token if it is none of them. */
static json_t *top_json(const struct completion *c, const struct completion_token *t, int before,
                        json_t *token, struct err *e)
{
    json_t *top = json_object();
    for (int k = 0; top && k < t->n_top; k++) {
        json_t *s = piece_json(c, before, t->top[k].id, e);
        if (s && !json_object_get(top, json_string_value(s)))
            json_object_set_new(top, json_string_value(s), json_finite(t->top[k].logp));
        json_decref(s);
    }
    const char *own = json_string_value(token);
    if (top && !json_object_get(top, own))
        json_object_set_new(top, own, json_finite(t->logp));
    return top;
}

static int id_before(const struct completion *c, size_t k)
{
    return k ? c->tokens[k - 1].id : -1;
}

json_t *completion_logprobs(const struct completion *c, size_t first, size_t *offset, struct err *e)
{
    json_t *tokens = json_array(), *logps = json_array(), *tops = json_array(), *at = json_array();
    for (size_t k = first; k < c->n_tokens; k++) {
        const struct completion_token *t = &c->tokens[k];
        json_t *s = piece_json(c, id_before(c, k), t->id, e);
        json_array_append_new(at, json_integer((json_int_t)*offset));
        json_array_append_new(logps, t->first ? json_null() : json_finite(t->logp));
        json_array_append_new(tops, t->first || !t->n_top ? json_null()
                                                          : top_json(c, t, id_before(c, k), s, e));
        *offset += s ? (size_t)buf_columns(json_string_value(s), json_string_length(s)) : 0;
        json_array_append_new(tokens, s);
    }
    json_t *out = json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", logps,
                            "top_logprobs", tops, "text_offset", at);
    if (!out)
        err_no_memory(e, "logprobs");
    return out;
}

static json_t *bytes_json(const json_t *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_string_length(s); i++)
        json_array_append_new(list, json_integer((unsigned char)json_string_value(s)[i]));
    return list;
}

static json_t *chat_token(const struct completion *c, int before, int id, double logp,
                          struct err *e)
{
    json_t *s = piece_json(c, before, id, e);
    return json_pack("{s:o, s:o, s:o}", "token", s, "logprob", json_finite(logp), "bytes",
                     bytes_json(s));
}

json_t *completion_chat_logprobs(const struct completion *c, size_t first, struct err *e)
{
    json_t *list = json_array();
    for (size_t k = first; k < c->n_tokens; k++) {
        const struct completion_token *t = &c->tokens[k];
        const int before = id_before(c, k);
        json_t *one = chat_token(c, before, t->id, t->logp, e), *top = json_array();
        for (int i = 0; i < t->n_top; i++)
            json_array_append_new(top, chat_token(c, before, t->top[i].id, t->top[i].logp, e));
        json_object_set_new(one, "top_logprobs", top);
        json_array_append_new(list, one);
    }
    json_t *out = json_pack("{s:o}", "content", list);
    if (!out)
        err_no_memory(e, "logprobs");
    return out;
}
