/* Filters of lists, numbers and values of any kind; lookup of filters by name. */
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
            jv_get_path(r, &l->v[i], &arg[2], &none, &v) || jv_text_add(r, &t, &v))
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
                        : jv_get_path(r, &l->v[i], &path, &fallback, &v)) ||
            jv_list_add(r, some, &v))
            return -1;
    }
    return 0;
}

/* select, reject, selectattr, rejectattr: `at` is the position of the test's name. */
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
        if (jv_get_path(r, &l->v[i], at > 1 ? &all->v[1] : &none, &none, &v))
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
    {"first", "value", f_first},
    {"items", "value", f_items},
    {"join", "value d? attribute?", f_join},
    {"last", "value", f_last},
    {"length", "value", f_length},
    {"list", "value", f_list},
    {"map", "value *", f_map},
    {"reject", "value *", f_reject},
    {"rejectattr", "value *", f_rejectattr},
    {"reverse", "value", f_reverse},
    {"round", "value precision? method?", f_round},
    {"select", "value *", f_select},
    {"selectattr", "value *", f_selectattr},
    {0}};

int jinja_filter(struct jv_run *r, const struct jv_str *name, const struct jv_args *a,
                 struct jv *out)
{
    const struct jv_function *f = jv_function_find(jinja_list_filters, name);
    if (!f)
        f = jv_function_find(jinja_sort_filters, name);
    if (!f)
        f = jv_function_find(jinja_text_filters, name);
    if (!f)
        return jv_fail(r, "the filter '%.64s' is not supported in a chat template", name->s);
    return jv_call_function(r, f, a, out);
}
