/* Filters of lists, numbers and values of any kind; which filter a name stands for. */
#include <math.h>
#include <string.h>

#include "text/jinja_ast.h"

#define FILTER(name)                                                                               \
    static int name(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)
#define UNUSED ((void)r, (void)arg, (void)all)

static struct jv undefined(void)
{
    return (struct jv){.kind = JV_UNDEFINED};
}

/* v.a.b of an attribute "a.b" or number; what is missing is `other` unless JV_ABSENT. */
static int get_path(struct jv_run *r, const struct jv *v, const struct jv *path,
                    const struct jv *other, struct jv *out)
{
    *out = *v;
    if (path->kind == JV_ABSENT || path->kind == JV_NONE)
        return 0;
    if (path->kind != JV_STR)
        return jv_get_item(r, v, path, out);
    for (size_t at = 0, to; at <= path->str->n; at = to + 1) {
        const char *s = path->str->s + at, *dot = memchr(s, '.', path->str->n - at);
        struct jv part, from = *out;
        to = dot ? (size_t)(dot - path->str->s) : path->str->n;
        bool number = to > at;
        for (size_t i = at; i < to; i++)
            number &= path->str->s[i] >= '0' && path->str->s[i] <= '9';
        if (jv_str_part(r, path->str, at, to, &part))
            return -1;
        if (number && to - at < 18)
            part = jv_int(strtoll(part.str->s, NULL, 10));
        if (jv_get_item(r, &from, &part, out))
            return -1;
        if (out->kind == JV_UNDEFINED && other->kind != JV_ABSENT && other->kind != JV_NONE)
            *out = *other;
    }
    return 0;
}

/* Keys to compare by: attributes, in lower case unless case counts. */
static int make_keys(struct jv_run *r, const struct jv_list *l, const struct jv *path,
                     const struct jv *other, bool cased, struct jv **out)
{
    if (!(*out = jv_alloc(r, l->n + 1, sizeof **out)))
        return -1;
    for (size_t i = 0; i < l->n; i++) {
        struct jv *k = &(*out)[i], v;
        if (get_path(r, &l->v[i], path, other, &v))
            return -1;
        *k = v;
        if (!cased && v.kind == JV_STR && jv_lower(r, &v, k))
            return -1;
    }
    return 0;
}

/* Stable merge sort of order[0..n) by keys. */
static int sort(struct jv_run *r, const struct jv *key, bool down, size_t *order, size_t *spare,
                size_t n)
{
    size_t half = n / 2, a = 0, b = half, k = 0;
    bool less;
    if (n < 2)
        return 0;
    if (sort(r, key, down, order, spare, half) || sort(r, key, down, order + half, spare, n - half))
        return -1;
    while (a < half && b < n) {
        size_t x = order[a], y = order[b];
        if (jv_less(r, &key[down ? x : y], &key[down ? y : x], &less))
            return -1;
        spare[k++] = less ? order[b++] : order[a++];
    }
    while (a < half)
        spare[k++] = order[a++];
    memcpy(order, spare, k * sizeof *order);
    return 0;
}

static int sort_list(struct jv_run *r, const struct jv_list *l, const struct jv *key, bool down,
                     struct jv_list **out)
{
    size_t *order = jv_alloc(r, l->n + 1, sizeof *order);
    size_t *spare = jv_alloc(r, l->n + 1, sizeof *spare);
    if (!order || !spare || !(*out = jv_list_new(r, l->n)))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        order[i] = i;
    if (sort(r, key, down, order, spare, l->n))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if (jv_list_add(r, *out, &l->v[order[i]]))
            return -1;
    return 0;
}

FILTER(f_sort)
{
    struct jv_list *l, *sorted;
    struct jv none = {.kind = JV_ABSENT}, *key;
    (void)all;
    if (arg[3].kind == JV_STR && memchr(arg[3].str->s, ',', arg[3].str->n))
        return jv_fail(r, "sorting by several attributes is not supported in a chat template");
    if (jv_iterate(r, &arg[0], &l) ||
        make_keys(r, l, &arg[3], &none, jv_arg_bool(&arg[2], false), &key) ||
        sort_list(r, l, key, jv_arg_bool(&arg[1], false), &sorted))
        return -1;
    *out = jv_of(JV_LIST, sorted);
    return 0;
}

FILTER(f_dictsort)
{
    struct jv items, by = jv_int(0), none = {.kind = JV_ABSENT}, *key;
    struct jv_list *sorted;
    (void)all;
    if (arg[0].kind != JV_DICT)
        return jv_fail(r, "dictsort needs a dict, not a %s", jv_type(&arg[0]));
    if (arg[2].kind == JV_STR && jv_str_is(arg[2].str, "value"))
        by = jv_int(1);
    else if (arg[2].kind != JV_ABSENT && !(arg[2].kind == JV_STR && jv_str_is(arg[2].str, "key")))
        return jv_fail(r, "dictsort goes by 'key' or 'value'");
    if (jv_dict_view(r, arg[0].dict, "items", &items) ||
        make_keys(r, items.list, &by, &none, jv_arg_bool(&arg[1], false), &key) ||
        sort_list(r, items.list, key, jv_arg_bool(&arg[3], false), &sorted))
        return -1;
    *out = jv_of(JV_LIST, sorted);
    return 0;
}

FILTER(f_groupby)
{
    struct jv_list *l, *groups = jv_list_new(r, 0), *pair = NULL;
    struct jv *key, name;
    bool cased = jv_arg_bool(&arg[3], false);
    (void)all;
    if (!groups || jv_iterate(r, &arg[0], &l) || make_keys(r, l, &arg[1], &arg[2], cased, &key) ||
        sort_list(r, l, key, false, &l) || make_keys(r, l, &arg[1], &arg[2], cased, &key))
        return -1;
    for (size_t i = 0; i < l->n; i++) {
        if (!i || !jv_equal(&key[i], &key[i - 1])) {
            struct jv_list *members = jv_list_new(r, 0);
            struct jv list = jv_of(JV_LIST, members);
            if (!members || !(pair = jv_list_new(r, 2)) ||
                get_path(r, &l->v[i], &arg[1], &arg[2], &name) || jv_list_add(r, pair, &name) ||
                jv_list_add(r, pair, &list))
                return -1;
            pair->group = true;
            list = jv_of(JV_TUPLE, pair);
            if (jv_list_add(r, groups, &list))
                return -1;
        }
        if (jv_list_add(r, pair->v[1].list, &l->v[i]))
            return -1;
    }
    *out = jv_of(JV_LIST, groups);
    return 0;
}

FILTER(f_unique)
{
    struct jv_list *l, *some = jv_list_new(r, 0);
    struct jv none = {.kind = JV_ABSENT}, *key;
    (void)all;
    if (!some || jv_iterate(r, &arg[0], &l) ||
        make_keys(r, l, &arg[2], &none, jv_arg_bool(&arg[1], false), &key))
        return -1;
    for (size_t i = 0; i < l->n; i++) {
        size_t k = 0;
        while (k < i && !jv_equal(&key[k], &key[i]))
            k++;
        if (jv_hashable(r, &key[i]) || jv_step(r, k) || (k == i && jv_list_add(r, some, &l->v[i])))
            return -1;
    }
    *out = jv_of(JV_ITER, some);
    return 0;
}

static int extreme(struct jv_run *r, const struct jv *arg, bool most, struct jv *out)
{
    struct jv_list *l;
    struct jv none = {.kind = JV_ABSENT}, *key;
    size_t best = 0;
    bool less;
    if (jv_iterate(r, &arg[0], &l) ||
        make_keys(r, l, &arg[2], &none, jv_arg_bool(&arg[1], false), &key))
        return -1;
    for (size_t i = 1; i < l->n; i++) {
        if (jv_less(r, &key[most ? best : i], &key[most ? i : best], &less))
            return -1;
        best = less ? i : best;
    }
    *out = l->n ? l->v[best] : undefined();
    return 0;
}

FILTER(f_min)
{
    (void)all;
    return extreme(r, arg, false, out);
}

FILTER(f_max)
{
    (void)all;
    return extreme(r, arg, true, out);
}

FILTER(f_sum)
{
    struct jv_list *l;
    struct jv none = {.kind = JV_ABSENT}, v;
    (void)all;
    *out = arg[2].kind == JV_ABSENT ? jv_int(0) : arg[2];
    if (jv_iterate(r, &arg[0], &l))
        return -1;
    for (size_t i = 0; i < l->n; i++) {
        struct jv sum = *out;
        if (get_path(r, &l->v[i], &arg[1], &none, &v) || jv_binary(r, &sum, "+", &v, out))
            return -1;
    }
    return 0;
}

FILTER(f_length)
{
    const struct jv *v = &arg[0];
    (void)all;
    if (v->kind == JV_UNDEFINED || v->kind == JV_STR)
        *out = jv_int(v->kind == JV_STR ? jv_str_chars(v->str) : 0);
    else if (v->kind == JV_DICT || (jv_is_list(v) && v->kind != JV_ITER))
        *out = jv_int((int64_t)(v->kind == JV_DICT ? v->dict->n : v->list->n));
    else
        return jv_fail(r, "a %s has no length", jv_type(v));
    return jv_step(r, v->kind == JV_STR ? v->str->n / 64 : 0);
}

FILTER(f_first)
{
    struct jv_list *l;
    (void)all;
    if (arg[0].kind == JV_ITER) {
        l = arg[0].list;
        *out = l->at < l->n ? l->v[l->at++] : undefined();
        return 0;
    }
    if (jv_iterate(r, &arg[0], &l))
        return -1;
    *out = l->n ? l->v[0] : undefined();
    return 0;
}

FILTER(f_last)
{
    struct jv_list *l;
    (void)all;
    if (arg[0].kind == JV_ITER)
        return jv_fail(r, "'last' needs a list: put 'list' in front of it");
    if (jv_iterate(r, &arg[0], &l))
        return -1;
    *out = l->n ? l->v[l->n - 1] : undefined();
    return 0;
}

FILTER(f_list)
{
    struct jv_list *l, *copy;
    (void)all;
    if (jv_iterate(r, &arg[0], &l) || !(copy = jv_list_new(r, l->n)))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if (jv_list_add(r, copy, &l->v[i]))
            return -1;
    *out = jv_of(JV_LIST, copy);
    return 0;
}

FILTER(f_reverse)
{
    struct jv_list *l, *back = jv_list_new(r, 0);
    struct jv_text t = {0};
    (void)all;
    if (!back || jv_iterate(r, &arg[0], &l))
        return -1;
    for (size_t i = l->n; i-- > 0;)
        if (arg[0].kind == JV_STR ? jv_text_add(r, &t, &l->v[i]) : jv_list_add(r, back, &l->v[i]))
            return -1;
    *out = jv_of(JV_ITER, back);
    return arg[0].kind == JV_STR ? jv_text_done(r, &t, out) : 0;
}

FILTER(f_batch)
{
    struct jv_list *l, *rows = jv_list_new(r, 0), *row = NULL;
    int64_t size;
    (void)all;
    if (!rows || jv_iterate(r, &arg[0], &l) || jv_arg_int(r, &arg[1], 0, &size))
        return -1;
    for (size_t i = 0; i < l->n; i++) {
        if (!row || (int64_t)row->n == size) {
            struct jv v = jv_of(JV_LIST, row = jv_list_new(r, 0));
            if (!row || jv_list_add(r, rows, &v))
                return -1;
        }
        if (jv_list_add(r, row, &l->v[i]))
            return -1;
    }
    while (row && arg[2].kind != JV_ABSENT && arg[2].kind != JV_NONE && (int64_t)row->n < size)
        if (jv_list_add(r, row, &arg[2]))
            return -1;
    *out = jv_of(JV_ITER, rows);
    return 0;
}

FILTER(f_items)
{
    (void)all;
    if (arg[0].kind != JV_DICT && arg[0].kind != JV_UNDEFINED)
        return jv_fail(r, "'items' needs a dict, not a %s", jv_type(&arg[0]));
    struct jv_dict none = {0};
    if (jv_dict_view(r, arg[0].kind == JV_DICT ? arg[0].dict : &none, "items", out))
        return -1;
    out->kind = JV_ITER;
    return 0;
}

FILTER(f_join)
{
    struct jv_list *l;
    struct jv_text t = {0};
    struct jv none = {.kind = JV_ABSENT}, v;
    (void)all;
    if (jv_iterate(r, &arg[0], &l))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if ((i && arg[1].kind != JV_ABSENT && jv_text_add(r, &t, &arg[1])) ||
            get_path(r, &l->v[i], &arg[2], &none, &v) || jv_text_add(r, &t, &v))
            return -1;
    return jv_text_done(r, &t, out);
}

FILTER(f_default)
{
    (void)all;
    bool other = arg[0].kind == JV_UNDEFINED || (jv_arg_bool(&arg[2], false) && !jv_truth(&arg[0]));
    if (other && arg[1].kind == JV_ABSENT)
        return jv_str_lit(r, "", out);
    *out = other ? arg[1] : arg[0];
    return 0;
}

FILTER(f_attr)
{
    struct jv_str *name;
    (void)all;
    if (jv_arg_str(r, &arg[1], &name))
        return -1;
    if (arg[0].kind != JV_DICT)
        return jv_get_attr(r, &arg[0], name, out);
    return jv_fail(r, "the filter 'attr' of a dict is not supported: use dict['%.40s']", name->s);
}

/* map('filter', ...), map(attribute='a.b', default=x). */
FILTER(f_map)
{
    struct jv_list *l, *some = jv_list_new(r, 0);
    struct jv_str attribute = {.s = "attribute", .n = 9}, other = {.s = "default", .n = 7}, *name;
    struct jv path = {.kind = JV_ABSENT}, fallback = {.kind = JV_ABSENT}, v;
    struct jv_args a = {.n = all->n > 1 ? all->n - 1 : 1};
    for (size_t i = 0; i < all->n_named; i++) {
        if (jv_str_is(all->names[i], attribute.s))
            path = all->named[i];
        else if (jv_str_is(all->names[i], other.s))
            fallback = all->named[i];
        else if (all->n < 2)
            return jv_fail(r, "'map' does not take the argument '%.40s'", all->names[i]->s);
    }
    *out = jv_of(JV_ITER, some);
    if (some && !jv_truth(&arg[0])) /* as in jinja2, None too */
        return 0;
    if (!some || jv_iterate(r, &arg[0], &l) || !(a.v = jv_alloc(r, a.n, sizeof *a.v)))
        return -1;
    if (path.kind == JV_ABSENT || all->n > 1) {
        if (all->n < 2)
            return jv_fail(r, "'map' needs a filter or an attribute");
        if (jv_arg_str(r, &all->v[1], &name))
            return -1;
        memcpy(a.v, all->v + 1, a.n * sizeof *a.v);
        a.named = all->named;
        a.names = all->names;
        a.n_named = all->n_named;
    }
    for (size_t i = 0; i < l->n; i++) {
        a.v[0] = l->v[i];
        if ((all->n > 1 ? jinja_filter(r, name, &a, &v)
                        : get_path(r, &l->v[i], &path, &fallback, &v)) ||
            jv_list_add(r, some, &v))
            return -1;
    }
    return 0;
}

/* select, reject and their like of attributes: `at` is where the test's name stands. */
static int choose(struct jv_run *r, const struct jv_args *all, size_t at, bool keep, struct jv *out)
{
    struct jv_list *l, *some = jv_list_new(r, 0);
    struct jv none = {.kind = JV_ABSENT}, v;
    struct jv_str *name = NULL;
    struct jv_args a = *all;
    bool is;
    *out = jv_of(JV_ITER, some);
    if (some && !jv_truth(&all->v[0])) /* as in jinja2, None too */
        return 0;
    if (!some || jv_iterate(r, &all->v[0], &l))
        return -1;
    if (all->n < at)
        return jv_fail(r, "the name of an attribute is missing");
    if (all->n > at) {
        if (jv_arg_str(r, &all->v[at], &name))
            return -1;
        a.n = all->n - at;
        if (!(a.v = jv_alloc(r, a.n, sizeof *a.v)))
            return -1;
        memcpy(a.v, all->v + at, a.n * sizeof *a.v);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (get_path(r, &l->v[i], at > 1 ? &all->v[1] : &none, &none, &v))
            return -1;
        if (name) {
            a.v[0] = v;
            if (jinja_test(r, name, &a, &is))
                return -1;
        } else {
            is = jv_truth(&v);
        }
        if (is == keep && jv_list_add(r, some, &l->v[i]))
            return -1;
    }
    return 0;
}

FILTER(f_select)
{
    UNUSED;
    return choose(r, all, 1, true, out);
}

FILTER(f_reject)
{
    UNUSED;
    return choose(r, all, 1, false, out);
}

FILTER(f_selectattr)
{
    UNUSED;
    return choose(r, all, 2, true, out);
}

FILTER(f_rejectattr)
{
    UNUSED;
    return choose(r, all, 2, false, out);
}

FILTER(f_abs)
{
    struct jv zero = jv_int(0);
    (void)all;
    if (arg[0].kind == JV_REAL) {
        *out = jv_real(fabs(arg[0].d));
        return 0;
    }
    if (arg[0].kind != JV_INT && arg[0].kind != JV_BOOL)
        return jv_fail(r, "'abs' needs a number, not a %s", jv_type(&arg[0]));
    int64_t i = arg[0].kind == JV_BOOL ? arg[0].b : arg[0].i;
    *out = jv_int(i);
    return i < 0 ? jv_binary(r, &zero, "-", &arg[0], out) : 0;
}

FILTER(f_round)
{
    char text[400];
    int64_t digits;
    double x = arg[0].kind == JV_REAL ? arg[0].d : arg[0].kind == JV_BOOL ? arg[0].b : 0;
    (void)all;
    if (arg[0].kind == JV_INT)
        x = (double)arg[0].i;
    else if (arg[0].kind != JV_REAL && arg[0].kind != JV_BOOL)
        return arg[0].kind == JV_UNDEFINED ? jv_fail_undefined(r, &arg[0])
                                           : jv_fail(r, "'round' needs a number");
    if (jv_arg_int(r, &arg[1], 0, &digits))
        return -1;
    if (digits < 0 || digits > 30)
        return jv_fail(r, "'round' to %lld digits is not supported", (long long)digits);
    if (arg[2].kind == JV_ABSENT || (arg[2].kind == JV_STR && jv_str_is(arg[2].str, "common"))) {
        snprintf(text, sizeof text, "%.*f", (int)digits, x);
        *out = arg[0].kind == JV_REAL ? jv_real(strtod(text, NULL)) : jv_int((int64_t)x);
        if (arg[0].kind == JV_INT)
            *out = arg[0];
        return 0;
    }
    bool up = arg[2].kind == JV_STR && jv_str_is(arg[2].str, "ceil");
    if (!up && !(arg[2].kind == JV_STR && jv_str_is(arg[2].str, "floor")))
        return jv_fail(r, "'round' goes by common, ceil or floor");
    double by = pow(10, (double)digits);
    *out = jv_real((up ? ceil(x * by) : floor(x * by)) / by);
    return 0;
}

const struct jv_function jinja_list_filters[] = {
    {"abs", "value", f_abs},
    {"attr", "value name", f_attr},
    {"batch", "value linecount fill_with?", f_batch},
    {"count", "value", f_length},
    {"d", "value default_value? boolean?", f_default},
    {"default", "value default_value? boolean?", f_default},
    {"dictsort", "value case_sensitive? by? reverse?", f_dictsort},
    {"first", "value", f_first},
    {"groupby", "value attribute default? case_sensitive?", f_groupby},
    {"items", "value", f_items},
    {"join", "value d? attribute?", f_join},
    {"last", "value", f_last},
    {"length", "value", f_length},
    {"list", "value", f_list},
    {"map", "value *", f_map},
    {"max", "value case_sensitive? attribute?", f_max},
    {"min", "value case_sensitive? attribute?", f_min},
    {"reject", "value *", f_reject},
    {"rejectattr", "value *", f_rejectattr},
    {"reverse", "value", f_reverse},
    {"round", "value precision? method?", f_round},
    {"select", "value *", f_select},
    {"selectattr", "value *", f_selectattr},
    {"sort", "value reverse? case_sensitive? attribute?", f_sort},
    {"sum", "value attribute? start?", f_sum},
    {"unique", "value case_sensitive? attribute?", f_unique},
    {0}};

int jinja_filter(struct jv_run *r, const struct jv_str *name, const struct jv_args *a,
                 struct jv *out)
{
    const struct jv_function *f = jv_function_find(jinja_list_filters, name);
    if (!f)
        f = jv_function_find(jinja_text_filters, name);
    if (!f)
        return jv_fail(r, "the filter '%.64s' is not supported in a chat template", name->s);
    return jv_call_function(r, f, a, out);
}
