/* Types of values; truth, equality, order and containment. */
#include <math.h>
#include <string.h>

#include "text/jinja_value.h"

enum { MOST_DEPTH = 200 };

const char *jv_type(const struct jv *v)
{
    static const char *const names[JV_KINDS] = {
        [JV_UNDEFINED] = "Undefined",   [JV_NONE] = "None",          [JV_BOOL] = "bool object",
        [JV_INT] = "int object",        [JV_REAL] = "float object",  [JV_STR] = "str object",
        [JV_LIST] = "list object",      [JV_TUPLE] = "tuple object", [JV_RANGE] = "range object",
        [JV_VIEW] = "dict view object", [JV_ITER] = "iterator",      [JV_DICT] = "dict object",
        [JV_SPACE] = "namespace",       [JV_LOOP] = "loop",          [JV_FUNC] = "function",
        [JV_METHOD] = "method",         [JV_MACRO] = "macro"};
    return v->kind < JV_KINDS ? names[v->kind] : "nothing";
}

bool jv_is_list(const struct jv *v)
{
    return v->kind >= JV_LIST && v->kind <= JV_ITER;
}

int jv_fail_undefined(struct jv_run *r, const struct jv *v)
{
    struct jv of = {.kind = v->of ? v->of - 1 : JV_UNDEFINED};
    if (!v->str)
        return jv_fail(r, "there is no such value");
    if (!v->of)
        return jv_fail(r, "'%.64s' is undefined", v->str->s);
    return jv_fail(r, "'%s' has no attribute '%.64s'", jv_type(&of), v->str->s);
}

bool jv_truth(const struct jv *v)
{
    switch (v->kind) {
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
        return v->b;
    case JV_INT:
        return v->i != 0;
    case JV_REAL:
        return v->d != 0;
    case JV_STR:
        return v->str->n > 0;
    case JV_LIST:
    case JV_TUPLE:
    case JV_RANGE:
    case JV_VIEW:
        return v->list->n > 0;
    case JV_DICT:
        return v->dict->n > 0;
    default:
        return true;
    }
}

static bool is_number(const struct jv *v)
{
    return v->kind == JV_BOOL || v->kind == JV_INT || v->kind == JV_REAL;
}

static int64_t whole(const struct jv *v)
{
    return v->kind == JV_BOOL ? v->b : v->i;
}

/* -1, 0, 1; 2: not comparable (a NaN). Exact also between integers and reals. */
static int compare_numbers(const struct jv *a, const struct jv *b)
{
    if (a->kind != JV_REAL && b->kind != JV_REAL)
        return whole(a) < whole(b) ? -1 : whole(a) > whole(b);
    if (a->kind == JV_REAL && b->kind == JV_REAL)
        return isnan(a->d) || isnan(b->d) ? 2 : a->d < b->d ? -1 : a->d > b->d;
    if (a->kind == JV_REAL) {
        int c = compare_numbers(b, a);
        return c == 2 ? 2 : -c;
    }
    double d = b->d, down;
    if (isnan(d))
        return 2;
    if (fabs(d) >= 0x1p63)
        return d > 0 ? -1 : 1;
    down = floor(d);
    if (whole(a) != (int64_t)down)
        return whole(a) < (int64_t)down ? -1 : 1;
    return down < d ? -1 : 0;
}

static int compare_strings(const struct jv_str *a, const struct jv_str *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->s, b->s, n) : 0;
    return c ? (c < 0 ? -1 : 1) : a->n < b->n ? -1 : a->n > b->n;
}

static bool equal(const struct jv *a, const struct jv *b, int depth);

static bool lists_equal(const struct jv_list *a, const struct jv_list *b, int depth)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!equal(&a->v[i], &b->v[i], depth))
            return false;
    return true;
}

static bool dicts_equal(const struct jv_dict *a, const struct jv_dict *b, int depth)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct jv *v = jv_dict_get(b, &a->key[i]);
        if (!v || !equal(&a->value[i], v, depth))
            return false;
    }
    return true;
}

static bool equal(const struct jv *a, const struct jv *b, int depth)
{
    if (is_number(a) && is_number(b))
        return compare_numbers(a, b) == 0;
    if (a->kind != b->kind || depth > MOST_DEPTH)
        return false;
    switch (a->kind) {
    case JV_UNDEFINED:
    case JV_NONE:
        return true;
    case JV_STR:
        return a->str->n == b->str->n && !memcmp(a->str->s, b->str->s, a->str->n);
    case JV_LIST:
    case JV_TUPLE:
    case JV_RANGE:
        return a->list == b->list || lists_equal(a->list, b->list, depth + 1);
    case JV_DICT:
        return a->dict == b->dict || dicts_equal(a->dict, b->dict, depth + 1);
    default:
        return a->list == b->list;
    }
}

int jv_hashable(struct jv_run *r, const struct jv *v)
{
    if (v->kind == JV_LIST || v->kind == JV_DICT || v->kind == JV_VIEW)
        return jv_fail(r, "a %s cannot be a key", jv_type(v));
    for (size_t i = 0; v->kind == JV_TUPLE && i < v->list->n; i++)
        if (jv_step(r, 1) || jv_hashable(r, &v->list->v[i]))
            return -1;
    return 0;
}

bool jv_equal(const struct jv *a, const struct jv *b)
{
    return equal(a, b, 0);
}

int jv_less(struct jv_run *r, const struct jv *a, const struct jv *b, bool *less)
{
    if (jv_step(r, 1))
        return -1;
    if (a->kind == JV_UNDEFINED || b->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, a->kind == JV_UNDEFINED ? a : b);
    if (is_number(a) && is_number(b)) {
        *less = compare_numbers(a, b) == -1;
        return 0;
    }
    if (a->kind == JV_STR && b->kind == JV_STR) {
        *less = compare_strings(a->str, b->str) < 0;
        return 0;
    }
    if (a->kind == b->kind && (a->kind == JV_LIST || a->kind == JV_TUPLE)) {
        size_t i = 0, n = a->list->n < b->list->n ? a->list->n : b->list->n;
        while (i < n && jv_equal(&a->list->v[i], &b->list->v[i]))
            i++;
        if (i < n)
            return jv_less(r, &a->list->v[i], &b->list->v[i], less);
        *less = a->list->n < b->list->n;
        return 0;
    }
    return jv_fail(r, "'%s' and '%s' have no order", jv_type(a), jv_type(b));
}

int jv_contains(struct jv_run *r, const struct jv *v, const struct jv *x, bool *is)
{
    struct jv_list *l;
    *is = false;
    if (v->kind == JV_STR) {
        if (x->kind != JV_STR)
            return x->kind == JV_UNDEFINED ? jv_fail_undefined(r, x)
                                           : jv_fail(r, "'%s' cannot be in a string", jv_type(x));
        *is = memmem(v->str->s, v->str->n, x->str->s, x->str->n) != NULL;
        return jv_step(r, v->str->n / 16);
    }
    if (v->kind == JV_DICT) {
        if (jv_hashable(r, x))
            return -1;
        *is = jv_dict_get(v->dict, x) != NULL;
        return jv_step(r, v->dict->n);
    }
    if (jv_iterate(r, v, &l))
        return -1;
    for (size_t i = 0; i < l->n && !*is; i++)
        *is = jv_equal(&l->v[i], x);
    return jv_step(r, l->n);
}
