/* Values as text: Python's str() and repr(), and json.dumps(). */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/jinja_value.h"

enum { MOST_DEPTH = 100 };

void jv_real_text(double d, char *text)
{
    if (isfinite(d))
        json_real_text(d, text);
    else
        snprintf(text, JV_REAL_TEXT, "%s", isnan(d) ? "nan" : d > 0 ? "inf" : "-inf");
}

static int put(struct jv_run *r, struct jv_text *t, const char *s)
{
    return jv_text_put(r, t, s, strlen(s));
}

/* The code point of the character of n bytes at s. */
static utf8proc_int32_t code_at(const char *s, size_t n)
{
    utf8proc_int32_t c;
    return utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c) > 0 ? c : -1;
}

/* Whether Python's repr() shows the character itself. */
static bool printable(utf8proc_int32_t c)
{
    if (c < 0x7f)
        return c >= 0x20;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

static int repr_str(struct jv_run *r, struct jv_text *t, const struct jv_str *s)
{
    bool twice = s->n && memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n);
    char quote = twice ? '"' : '\'', e[16];
    size_t from = 0, n;
    if (jv_text_put(r, t, &quote, 1))
        return -1;
    for (size_t at = 0; at < s->n; at += n) {
        n = jv_char(s->s + at, s->n - at);
        utf8proc_int32_t c = code_at(s->s + at, n);
        if (c != quote && c != '\\' && printable(c))
            continue;
        if (c == '\n' || c == '\r' || c == '\t')
            snprintf(e, sizeof e, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c == quote || c == '\\')
            snprintf(e, sizeof e, "\\%c", (char)c);
        else
            snprintf(e, sizeof e,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     c < 0 ? (unsigned char)s->s[at] : (unsigned)c);
        if (jv_text_part(r, t, s, from, at) || jv_text_for(r, t, s, at, e, strlen(e)))
            return -1;
        from = at + n;
    }
    return jv_text_part(r, t, s, from, s->n) || jv_text_put(r, t, &quote, 1);
}

static int repr(struct jv_run *r, struct jv_text *t, const struct jv *v, int depth);

static int repr_list(struct jv_run *r, struct jv_text *t, const struct jv *v, int depth)
{
    const struct jv_list *l = v->list;
    bool tuple = v->kind == JV_TUPLE;
    if ((v->kind == JV_VIEW && (put(r, t, l->view) || put(r, t, "("))) ||
        put(r, t, tuple ? "(" : "["))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if ((i && put(r, t, ", ")) || repr(r, t, &l->v[i], depth + 1))
            return -1;
    if (tuple && l->n == 1 && put(r, t, ","))
        return -1;
    return put(r, t, tuple ? ")" : "]") || (v->kind == JV_VIEW && put(r, t, ")")) ? -1 : 0;
}

static int repr_range(struct jv_run *r, struct jv_text *t, const struct jv_list *l)
{
    char s[96];
    int64_t step = l->n > 1 ? l->v[1].i - l->v[0].i : 1;
    if (l->view)
        return put(r, t, l->view);
    int64_t from = l->n ? l->v[0].i : 0, to = l->n ? l->v[l->n - 1].i + step : 0;
    snprintf(s, sizeof s,
             step == 1 ? "range(%" PRId64 ", %" PRId64 ")"
                       : "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
             from, to, step);
    return put(r, t, s);
}

static int repr_dict(struct jv_run *r, struct jv_text *t, const struct jv_dict *d, int depth)
{
    if (put(r, t, "{"))
        return -1;
    for (size_t i = 0; i < d->n; i++)
        if ((i && put(r, t, ", ")) || repr(r, t, &d->key[i], depth + 1) || put(r, t, ": ") ||
            repr(r, t, &d->value[i], depth + 1))
            return -1;
    return put(r, t, "}");
}

static int repr(struct jv_run *r, struct jv_text *t, const struct jv *v, int depth)
{
    char s[JV_REAL_TEXT];
    if (depth > MOST_DEPTH)
        return jv_fail(r, "a value is nested more than %d deep", MOST_DEPTH);
    if (jv_step(r, 1))
        return -1;
    switch (v->kind) {
    case JV_UNDEFINED:
        return put(r, t, "Undefined");
    case JV_NONE:
        return put(r, t, "None");
    case JV_BOOL:
        return put(r, t, v->b ? "True" : "False");
    case JV_INT:
        snprintf(s, sizeof s, "%" PRId64, v->i);
        return put(r, t, s);
    case JV_REAL:
        jv_real_text(v->d, s);
        return put(r, t, s);
    case JV_STR:
        return repr_str(r, t, v->str);
    case JV_LIST:
    case JV_TUPLE:
    case JV_VIEW:
        return repr_list(r, t, v, depth);
    case JV_RANGE:
        return repr_range(r, t, v->list);
    case JV_DICT:
        return repr_dict(r, t, v->dict, depth);
    default:
        return jv_fail(r, "a %s cannot be printed", jv_type(v));
    }
}

int jv_text_repr(struct jv_run *r, struct jv_text *t, const struct jv *v)
{
    return repr(r, t, v, 0);
}

int jv_text_add(struct jv_run *r, struct jv_text *t, const struct jv *v)
{
    if (v->kind == JV_UNDEFINED)
        return 0;
    return v->kind == JV_STR ? jv_text_part(r, t, v->str, 0, v->str->n) : repr(r, t, v, 0);
}

int jv_to_str(struct jv_run *r, const struct jv *v, struct jv *out)
{
    struct jv_text t = {0};
    if (v->kind == JV_STR) {
        *out = *v;
        return 0;
    }
    return jv_text_add(r, &t, v) || jv_text_done(r, &t, out);
}

/* The escape of a character in JSON; NULL: none is needed. */
static const char *json_escape(utf8proc_int32_t c, bool ascii, char *e, size_t n)
{
    static const char *const named[] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\r'] = "\\r",
        ['\t'] = "\\t", ['\f'] = "\\f",  ['\b'] = "\\b"};
    if (c >= 0 && c < (int)(sizeof named / sizeof *named) && named[c])
        return named[c];
    if ((c >= 0x20 && c < 0x7f) || (c >= 0x7f && !ascii) || c < 0 || c == 0x7f)
        return NULL;
    if (c >= 0x10000)
        snprintf(e, n, "\\u%04x\\u%04x", 0xd800 + ((unsigned)(c - 0x10000) >> 10),
                 0xdc00 + ((unsigned)(c - 0x10000) & 0x3ff));
    else
        snprintf(e, n, "\\u%04x", (unsigned)c);
    return e;
}

static int json_str(struct jv_run *r, struct jv_text *t, const struct jv_str *s, bool ascii)
{
    size_t from = 0, n;
    char e[16];
    if (put(r, t, "\""))
        return -1;
    for (size_t at = 0; at < s->n; at += n) {
        n = jv_char(s->s + at, s->n - at);
        const char *text = json_escape(code_at(s->s + at, n), ascii, e, sizeof e);
        if (!text)
            continue;
        if (jv_text_part(r, t, s, from, at) || jv_text_for(r, t, s, at, text, strlen(text)))
            return -1;
        from = at + n;
    }
    return jv_text_part(r, t, s, from, s->n) || put(r, t, "\"");
}

static int new_line(struct jv_run *r, struct jv_text *t, const struct jv_json *how, int level)
{
    if (!how->indent)
        return 0;
    if (put(r, t, "\n"))
        return -1;
    for (int i = 0; i < level; i++)
        if (jv_text_part(r, t, how->indent, 0, how->indent->n))
            return -1;
    return 0;
}

/* The separator of two items. */
static int comma(struct jv_run *r, struct jv_text *t, const struct jv_json *how, int level)
{
    if (how->item ? jv_text_part(r, t, how->item, 0, how->item->n)
                  : put(r, t, how->indent ? "," : ", "))
        return -1;
    return new_line(r, t, how, level);
}

static int json_key(struct jv_run *r, struct jv_text *t, const struct jv *k,
                    const struct jv_json *how)
{
    struct jv_text plain = {0};
    struct jv s;
    if (k->kind == JV_STR)
        return json_str(r, t, k->str, how->ascii);
    if (k->kind > JV_STR || k->kind == JV_UNDEFINED)
        return jv_fail(r, "a %s cannot be a key of JSON", jv_type(k));
    return jv_text_json(r, &plain, k, how, 0) || jv_text_done(r, &plain, &s) ||
           json_str(r, t, s.str, how->ascii);
}

static int json_dict(struct jv_run *r, struct jv_text *t, const struct jv_dict *d,
                     const struct jv_json *how, int level)
{
    size_t *order = jv_alloc(r, d->n + 1, sizeof *order);
    if (!order || put(r, t, "{") || (d->n && new_line(r, t, how, level + 1)))
        return -1;
    for (size_t i = 0; i < d->n; i++) {
        size_t k = i;
        bool less = true;
        for (; how->sort && k > 0; k--) {
            if (jv_less(r, &d->key[i], &d->key[order[k - 1]], &less))
                return -1;
            if (!less)
                break;
            order[k] = order[k - 1];
        }
        order[k] = i;
    }
    for (size_t i = 0; i < d->n; i++) {
        if ((i && comma(r, t, how, level + 1)) || json_key(r, t, &d->key[order[i]], how) ||
            (how->key ? jv_text_part(r, t, how->key, 0, how->key->n) : put(r, t, ": ")) ||
            jv_text_json(r, t, &d->value[order[i]], how, level + 1))
            return -1;
    }
    return (d->n && new_line(r, t, how, level)) || put(r, t, "}") ? -1 : 0;
}

static int json_list(struct jv_run *r, struct jv_text *t, const struct jv_list *l,
                     const struct jv_json *how, int level)
{
    if (put(r, t, "[") || (l->n && new_line(r, t, how, level + 1)))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if ((i && comma(r, t, how, level + 1)) || jv_text_json(r, t, &l->v[i], how, level + 1))
            return -1;
    return (l->n && new_line(r, t, how, level)) || put(r, t, "]");
}

int jv_text_json(struct jv_run *r, struct jv_text *t, const struct jv *v, const struct jv_json *how,
                 int level)
{
    if (level > MOST_DEPTH)
        return jv_fail(r, "a value is nested more than %d deep", MOST_DEPTH);
    if (jv_step(r, 1))
        return -1;
    switch (v->kind) {
    case JV_NONE:
        return put(r, t, "null");
    case JV_BOOL:
        return put(r, t, v->b ? "true" : "false");
    case JV_REAL:
        if (!isfinite(v->d))
            return put(r, t, isnan(v->d) ? "NaN" : v->d > 0 ? "Infinity" : "-Infinity");
        return repr(r, t, v, 0);
    case JV_INT:
        return repr(r, t, v, 0);
    case JV_STR:
        return json_str(r, t, v->str, how->ascii);
    case JV_LIST:
    case JV_TUPLE:
        return json_list(r, t, v->list, how, level);
    case JV_DICT:
        return json_dict(r, t, v->dict, how, level);
    default:
        return jv_fail(r, "a %s has no JSON", jv_type(v));
    }
}
