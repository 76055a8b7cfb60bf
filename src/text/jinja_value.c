/* Memory, strings with marks, lists and dicts of a running template. */
#include <stdarg.h>
#include <string.h>

#include "base/sizes.h"
#include "base/utf8.h"
#include "text/jinja_value.h"

enum { BLOCK = SIZE(16 << 10, 64), MOST_MEMORY = 256 << 20, MOST_DEPTH = 200 };

int jv_fail(struct jv_run *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(r->e, "line %d of the chat template: %s", r->line, text);
}

int jv_step(struct jv_run *r, size_t n)
{
    r->steps += n > INT32_MAX ? INT32_MAX : (long)n;
    return r->steps > r->max_steps ? jv_fail(r, "it takes more than %ld steps", r->max_steps) : 0;
}

void *jv_alloc(struct jv_run *r, size_t n, size_t size)
{
    if (n > MOST_MEMORY / size || r->taken + n * size > MOST_MEMORY) {
        jv_fail(r, "it takes more than %d MB of memory", MOST_MEMORY >> 20);
        return NULL;
    }
    size_t want = (n * size + 15) & ~(size_t)15;
    if (want > r->left) {
        size_t take = want > BLOCK / 4 ? want : BLOCK;
        char *p = arena_take(&r->arena, take, 1, r->e);
        if (!p)
            return NULL;
        r->taken += take;
        if (take == want)
            return memset(p, 0, want);
        r->block = p;
        r->left = take;
    }
    char *p = r->block;
    r->block += want;
    r->left -= want;
    return memset(p, 0, want);
}

/* Makes room in an array of the arena. */
static int grow(struct jv_run *r, void *array, size_t used, size_t *cap, size_t need, size_t size)
{
    void *old, *wide;
    if (need <= *cap)
        return 0;
    size_t more = need < 2 * *cap ? 2 * *cap : need < SIZE(8, 2) ? SIZE(8, 2) : need;
    if (!(wide = jv_alloc(r, more, size)))
        return -1;
    memcpy(&old, array, sizeof old);
    if (used)
        memcpy(wide, old, used * size);
    memcpy(array, &wide, sizeof wide);
    *cap = more;
    return 0;
}

int jv_str_new(struct jv_run *r, const char *s, size_t n, bool marked, struct jv *out)
{
    struct jv_str *x = jv_alloc(r, 1, sizeof *x);
    char *copy = x ? jv_alloc(r, n + 1, 1) : NULL;
    struct text_span *mark = copy && marked && n ? jv_alloc(r, 1, sizeof *mark) : NULL;
    if (!copy || (marked && n && !mark))
        return -1;
    memcpy(copy, s, n);
    *x = (struct jv_str){.s = copy, .n = n, .chars = -1};
    if (mark) {
        *mark = (struct text_span){0, n};
        x->mark = mark;
        x->n_marks = 1;
    }
    *out = jv_of_str(x);
    return 0;
}

int jv_str_lit(struct jv_run *r, const char *s, struct jv *out)
{
    struct jv_str *x = jv_alloc(r, 1, sizeof *x);
    if (!x)
        return -1;
    *x = (struct jv_str){.s = s, .n = strlen(s), .chars = -1};
    *out = jv_of_str(x);
    return 0;
}

bool jv_str_is(const struct jv_str *s, const char *text)
{
    return s->n == strlen(text) && !memcmp(s->s, text, s->n);
}

size_t jv_char(const char *s, size_t n)
{
    size_t k = utf8_char(s, n);
    return k ? k : 1;
}

long jv_str_chars(struct jv_str *s)
{
    if (s->chars >= 0)
        return s->chars;
    long n = 0;
    for (size_t at = 0; at < s->n; at += jv_char(s->s + at, s->n - at))
        n++;
    return s->chars = n;
}

size_t jv_str_at(struct jv_str *s, long i)
{
    size_t at = 0;
    if (jv_str_chars(s) == (long)s->n)
        return (size_t)i;
    while (i-- > 0 && at < s->n)
        at += jv_char(s->s + at, s->n - at);
    return at;
}

int jv_str_part(struct jv_run *r, const struct jv_str *s, size_t from, size_t to, struct jv *out)
{
    struct jv_text t = {0};
    return jv_text_part(r, &t, s, from, to) || jv_text_done(r, &t, out);
}

int jv_text_put(struct jv_run *r, struct jv_text *t, const char *s, size_t n)
{
    if (jv_step(r, n / 16) || grow(r, &t->s, t->n, &t->cap, t->n + n + 1, 1))
        return -1;
    if (n)
        memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
    return 0;
}

/* The first mark that ends after byte `at`. */
static size_t find_mark(const struct jv_str *s, size_t at)
{
    size_t lo = 0, hi = s->n_marks;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->mark[mid].to <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int put_mark(struct jv_run *r, struct jv_text *t, size_t from, size_t to)
{
    if (t->n_marks && t->mark[t->n_marks - 1].to == from) {
        t->mark[t->n_marks - 1].to = to;
        return 0;
    }
    if (grow(r, &t->mark, t->n_marks, &t->cap_marks, t->n_marks + 1, sizeof *t->mark))
        return -1;
    t->mark[t->n_marks++] = (struct text_span){from, to};
    return 0;
}

int jv_text_part(struct jv_run *r, struct jv_text *t, const struct jv_str *s, size_t from,
                 size_t to)
{
    size_t base = t->n;
    if (from >= to)
        return 0;
    if (jv_text_put(r, t, s->s + from, to - from))
        return -1;
    for (size_t i = find_mark(s, from); i < s->n_marks && s->mark[i].from < to; i++) {
        size_t a = s->mark[i].from > from ? s->mark[i].from : from;
        size_t b = s->mark[i].to < to ? s->mark[i].to : to;
        if (put_mark(r, t, base + a - from, base + b - from))
            return -1;
    }
    return 0;
}

int jv_text_for(struct jv_run *r, struct jv_text *t, const struct jv_str *s, size_t at,
                const char *text, size_t n)
{
    size_t i = find_mark(s, at), base = t->n;
    bool marked = i < s->n_marks && s->mark[i].from <= at;
    return jv_text_put(r, t, text, n) || (marked && put_mark(r, t, base, base + n));
}

int jv_text_done(struct jv_run *r, struct jv_text *t, struct jv *out)
{
    struct jv_str *x = jv_alloc(r, 1, sizeof *x);
    if (!x)
        return -1;
    *x = (struct jv_str){
        .s = t->s ? t->s : "", .n = t->n, .chars = -1, .mark = t->mark, .n_marks = t->n_marks};
    *out = jv_of_str(x);
    return 0;
}

struct jv_list *jv_list_new(struct jv_run *r, size_t cap)
{
    struct jv_list *l = jv_alloc(r, 1, sizeof *l);
    return l && !grow(r, &l->v, 0, &l->cap, cap, sizeof *l->v) ? l : NULL;
}

int jv_list_add(struct jv_run *r, struct jv_list *l, const struct jv *v)
{
    struct jv kept = *v; /* v may be in the list */
    if (jv_step(r, 1) || grow(r, &l->v, l->n, &l->cap, l->n + 1, sizeof *l->v))
        return -1;
    l->v[l->n++] = kept;
    return 0;
}

static int iterate_str(struct jv_run *r, const struct jv_str *s, struct jv_list *l)
{
    struct jv c;
    for (size_t at = 0, n; at < s->n; at += n) {
        n = jv_char(s->s + at, s->n - at);
        if (jv_str_part(r, s, at, at + n, &c) || jv_list_add(r, l, &c))
            return -1;
    }
    return 0;
}

int jv_iterate(struct jv_run *r, const struct jv *v, struct jv_list **out)
{
    if (jv_is_list(v) && v->kind != JV_ITER) {
        *out = v->list;
        return 0;
    }
    struct jv_list *l = *out = jv_list_new(r, 0);
    if (!l)
        return -1;
    switch (v->kind) {
    case JV_UNDEFINED:
        return 0;
    case JV_STR:
        return iterate_str(r, v->str, l);
    case JV_ITER:
        if ((l->n = v->list->n - v->list->at))
            l->v = v->list->v + v->list->at;
        v->list->at = v->list->n;
        return 0;
    case JV_DICT:
        l->v = v->dict->key;
        l->n = v->dict->n;
        return 0;
    default:
        return jv_fail(r, "'%s' is not iterable", jv_type(v));
    }
}

struct jv_dict *jv_dict_new(struct jv_run *r)
{
    return jv_alloc(r, 1, sizeof(struct jv_dict));
}

struct jv *jv_dict_get(const struct jv_dict *d, const struct jv *key)
{
    for (size_t i = 0; i < d->n; i++)
        if (jv_equal(&d->key[i], key))
            return &d->value[i];
    return NULL;
}

struct jv *jv_dict_get_text(const struct jv_dict *d, const char *key)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->key[i].kind == JV_STR && jv_str_is(d->key[i].str, key))
            return &d->value[i];
    return NULL;
}

int jv_dict_set(struct jv_run *r, struct jv_dict *d, const struct jv *key, const struct jv *value)
{
    size_t cap = d->cap;
    if (jv_hashable(r, key) || jv_step(r, d->n / 4))
        return -1;
    struct jv *old = jv_dict_get(d, key);
    if (old) {
        *old = *value;
        return 0;
    }
    if (grow(r, &d->key, d->n, &cap, d->n + 1, sizeof *d->key) ||
        grow(r, &d->value, d->n, &d->cap, d->n + 1, sizeof *d->value))
        return -1;
    d->key[d->n] = *key;
    d->value[d->n++] = *value;
    return 0;
}

int jv_dict_view(struct jv_run *r, const struct jv_dict *d, const char *what, struct jv *out)
{
    bool keys = !strcmp(what, "keys"), items = !strcmp(what, "items");
    struct jv_list *l = jv_list_new(r, d->n), *pair;
    if (!l)
        return -1;
    l->view = keys ? "dict_keys" : items ? "dict_items" : "dict_values";
    for (size_t i = 0; i < d->n; i++) {
        struct jv one = keys ? d->key[i] : d->value[i];
        if (items) {
            if (!(pair = jv_list_new(r, 2)) || jv_list_add(r, pair, &d->key[i]) ||
                jv_list_add(r, pair, &d->value[i]))
                return -1;
            one = jv_of(JV_TUPLE, pair);
        }
        if (jv_list_add(r, l, &one))
            return -1;
    }
    *out = jv_of(JV_VIEW, l);
    return 0;
}

static int object_from_json(struct jv_run *r, const json_t *j, int depth, struct jv *out)
{
    struct jv_dict *d = jv_dict_new(r);
    const char *key;
    json_t *value;
    if (!d)
        return -1;
    json_object_foreach((json_t *)j, key, value)
    {
        struct jv k, v;
        if (jv_str_new(r, key, strlen(key), false, &k) || jv_from_json(r, value, depth + 1, &v) ||
            jv_dict_set(r, d, &k, &v))
            return -1;
    }
    *out = (struct jv){.kind = JV_DICT, .dict = d};
    return 0;
}

int jv_from_json(struct jv_run *r, const json_t *j, int depth, struct jv *out)
{
    struct jv_list *l;
    if (depth > MOST_DEPTH)
        return jv_fail(r, "a variable is nested more than %d deep", MOST_DEPTH);
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return object_from_json(r, j, depth, out);
    case JSON_ARRAY:
        if (!(l = jv_list_new(r, json_array_size(j))))
            return -1;
        for (size_t i = 0; i < json_array_size(j); i++) {
            struct jv v;
            if (jv_from_json(r, json_array_get(j, i), depth + 1, &v) || jv_list_add(r, l, &v))
                return -1;
        }
        *out = jv_of(JV_LIST, l);
        return 0;
    case JSON_STRING:
        return jv_str_new(r, json_string_value(j), json_string_length(j), false, out);
    case JSON_INTEGER:
        *out = jv_int(json_integer_value(j));
        return 0;
    case JSON_REAL:
        *out = jv_real(json_real_value(j));
        return 0;
    default:
        *out = json_is_null(j) ? jv_none() : jv_bool(json_is_true(j));
        return 0;
    }
}
