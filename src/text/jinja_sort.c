/* Filters that compare items, or attributes of items. */
#include <string.h>

#include "text/jinja_ast.h"

#define FILTER(name)                                                                               \
    static int name(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)

/* v.a.b of an attribute "a.b" or number; what is missing is `other` unless JV_ABSENT. */
int jv_get_path(struct jv_run *r, const struct jv *v, const struct jv *path, const struct jv *other,
                struct jv *out)
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
        if (jv_get_path(r, &l->v[i], path, other, &v))
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
                jv_get_path(r, &l->v[i], &arg[1], &arg[2], &name) || jv_list_add(r, pair, &name) ||
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
    *out = l->n ? l->v[best] : (struct jv){.kind = JV_UNDEFINED};
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
        if (jv_get_path(r, &l->v[i], &arg[1], &none, &v) || jv_binary(r, &sum, "+", &v, out))
            return -1;
    }
    return 0;
}

const struct jv_function jinja_sort_filters[] = {
    {"dictsort", "value case_sensitive? by? reverse?", f_dictsort},
    {"groupby", "value attribute default? case_sensitive?", f_groupby},
    {"max", "value case_sensitive? attribute?", f_max},
    {"min", "value case_sensitive? attribute?", f_min},
    {"sort", "value reverse? case_sensitive? attribute?", f_sort},
    {"sum", "value attribute? start?", f_sum},
    {"unique", "value case_sensitive? attribute?", f_unique},
    {0}};
