/* Filters that take or make strings, and the methods of lists and dicts. */
#include <math.h>
#include <string.h>

#include "text/jinja_ast.h"
#include "text/space.h"

#define FILTER(name)                                                                               \
    static int name(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)

/* str(value) through the string method of this name. */
static int by_method(struct jv_run *r, const struct jv_function *table, const char *name,
                     const struct jv_args *all, struct jv *out)
{
    struct jv_str key = {.s = name, .n = strlen(name)};
    struct jv_args a = *all;
    if (!(a.v = jv_alloc(r, all->n + 1, sizeof *a.v)))
        return -1;
    memcpy(a.v, all->v, all->n * sizeof *a.v);
    return jv_to_str(r, &all->v[0], &a.v[0]) ||
           jv_call_function(r, jv_function_find(table, &key), &a, out);
}

/* As many spaces as an integer says. */
static int spaces(struct jv_run *r, const struct jv *n, struct jv *out)
{
    struct jv one, count;
    int64_t i;
    if (jv_arg_int(r, n, 0, &i) || jv_str_lit(r, " ", &one))
        return -1;
    count = jv_int(i);
    return jv_binary(r, &one, "*", &count, out);
}

FILTER(f_lower)
{
    (void)arg;
    return by_method(r, jinja_word_methods, "lower", all, out);
}

FILTER(f_upper)
{
    (void)arg;
    return by_method(r, jinja_word_methods, "upper", all, out);
}

FILTER(f_capitalize)
{
    (void)arg;
    return by_method(r, jinja_word_methods, "capitalize", all, out);
}

FILTER(f_title)
{
    (void)all;
    return jv_title_words(r, &arg[0], out);
}

FILTER(f_trim)
{
    (void)arg;
    return by_method(r, jinja_text_methods, "strip", all, out);
}

FILTER(f_center)
{
    struct jv_args a = *all;
    struct jv v[2] = {arg[0], arg[1].kind == JV_ABSENT ? jv_int(80) : arg[1]};
    a.v = v;
    a.n = 2;
    a.n_named = 0;
    return by_method(r, jinja_form_methods, "center", &a, out);
}

FILTER(f_replace)
{
    struct jv v[4];
    struct jv_args a = {.v = v, .n = arg[3].kind == JV_ABSENT || arg[3].kind == JV_NONE ? 3 : 4};
    (void)all;
    v[0] = arg[0];
    v[3] = arg[3];
    return jv_to_str(r, &arg[1], &v[1]) || jv_to_str(r, &arg[2], &v[2]) ||
           by_method(r, jinja_text_methods, "replace", &a, out);
}

FILTER(f_string)
{
    (void)all;
    return jv_to_str(r, &arg[0], out);
}

FILTER(f_safe)
{
    struct jv s;
    (void)all;
    if (jv_to_str(r, &arg[0], &s) || jv_str_part(r, s.str, 0, s.str->n, out))
        return -1;
    out->str->safe = true;
    return 0;
}

FILTER(f_format)
{
    struct jv s, rest = jv_of(JV_TUPLE, jv_list_new(r, all->n));
    if (!rest.list || jv_to_str(r, &arg[0], &s))
        return -1;
    if (all->n_named)
        return jv_fail(r, "'format' by name is not supported in a chat template");
    for (size_t i = 1; i < all->n; i++)
        if (jv_list_add(r, rest.list, &all->v[i]))
            return -1;
    return jv_format(r, s.str, &rest, out);
}

/* Lines but the first are indented, unless they are empty. */
FILTER(f_indent)
{
    struct jv v, lines, by = jv_int(4);
    struct jv_args a = {.v = &v, .n = 1};
    struct jv_text t = {0};
    struct jv_str *s;
    bool first = jv_arg_bool(&arg[2], false), blank = jv_arg_bool(&arg[3], false);
    (void)all;
    if (jv_arg_str(r, &arg[0], &s) || jv_text_add(r, &t, &arg[0]) || jv_text_put(r, &t, "\n", 1) ||
        jv_text_done(r, &t, &v) || by_method(r, jinja_text_methods, "splitlines", &a, &lines))
        return -1;
    if (arg[1].kind != JV_ABSENT)
        by = arg[1];
    if (by.kind != JV_STR && spaces(r, &by, &by))
        return -1;
    t = (struct jv_text){0};
    for (size_t i = 0; i < lines.list->n; i++) {
        struct jv_str *line = lines.list->v[i].str;
        bool indented = i ? blank || line->n : first;
        if ((i && jv_text_put(r, &t, "\n", 1)) || (indented && jv_text_add(r, &t, &by)) ||
            jv_text_part(r, &t, line, 0, line->n))
            return -1;
    }
    return jv_text_done(r, &t, out);
}

/* The number at the start of s without white space around it, as int() or float() read it. */
static bool read_number(const struct jv_str *s, bool real, int64_t *whole, double *value)
{
    char text[64], *end;
    size_t n = 0, from = 0, to = s->n, k;
    while (from < to && (k = jv_space(s->s + from, to - from)))
        from += k;
    while (to > from && strchr(" \n\t\r\f\v", s->s[to - 1]) && s->s[to - 1])
        to--;
    for (size_t i = from; i < to; i++) {
        char c = s->s[i];
        bool digit = c >= '0' && c <= '9';
        if (c == '_' && i > from && i + 1 < to && s->s[i - 1] >= '0' && s->s[i - 1] <= '9' &&
            s->s[i + 1] >= '0' && s->s[i + 1] <= '9')
            continue;
        if (!(digit || ((c == '-' || c == '+') && (real || i == from)) ||
              (real && (c == '.' || strchr("eEinfatyINFATY", c)))) ||
            !c || n + 1 >= sizeof text)
            return false;
        text[n++] = c;
    }
    text[n] = 0;
    if (!n)
        return false;
    if (real)
        *value = strtod(text, &end);
    else
        *whole = strtoll(text, &end, 10);
    return !*end && end > text && (real || strlen(text) < 19);
}

FILTER(f_int)
{
    const struct jv *v = &arg[0];
    double d = 0;
    int64_t i, base;
    (void)all;
    if (jv_arg_int(r, &arg[2], 10, &base))
        return -1;
    if (v->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, v);
    if (base != 10)
        return jv_fail(r, "'int' to another base is not supported in a chat template");
    *out = arg[1].kind == JV_ABSENT ? jv_int(0) : arg[1];
    if (v->kind == JV_INT || v->kind == JV_BOOL) {
        *out = jv_int(v->kind == JV_BOOL ? v->b : v->i);
        return 0;
    }
    if (v->kind == JV_STR && read_number(v->str, false, &i, &d)) {
        *out = jv_int(i);
        return 0;
    }
    if (v->kind == JV_REAL ? (d = v->d, true)
                           : v->kind == JV_STR && read_number(v->str, true, &i, &d)) {
        if (isfinite(d) && fabs(d) >= 0x1p63)
            return jv_fail(r, "an integer beyond 64 bits");
        if (isfinite(d))
            *out = jv_int((int64_t)d);
    }
    return 0;
}

FILTER(f_float)
{
    const struct jv *v = &arg[0];
    double d;
    int64_t i;
    (void)all;
    if (v->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, v);
    *out = arg[1].kind == JV_ABSENT ? jv_real(0) : arg[1];
    if (v->kind == JV_REAL)
        *out = *v;
    else if (v->kind == JV_INT || v->kind == JV_BOOL)
        *out = jv_real(v->kind == JV_BOOL ? v->b : (double)v->i);
    else if (v->kind == JV_STR && read_number(v->str, true, &i, &d))
        *out = jv_real(d);
    return 0;
}

FILTER(f_wordcount)
{
    struct jv s;
    int64_t n = 0;
    bool within = false;
    (void)all;
    if (jv_to_str(r, &arg[0], &s))
        return -1;
    for (size_t at = 0; at < s.str->n; at += jv_char(s.str->s + at, s.str->n - at)) {
        bool word = word_at(s.str->s, s.str->n, at);
        n += word && !within;
        within = word;
    }
    *out = jv_int(n);
    return 0;
}

FILTER(f_tojson)
{
    struct jv_text t = {0};
    struct jv_json how = {.ascii = jv_arg_bool(&arg[1], false),
                          .sort = jv_arg_bool(&arg[4], false)};
    struct jv indent;
    (void)all;
    if (arg[2].kind == JV_STR) {
        how.indent = arg[2].str;
    } else if (arg[2].kind != JV_ABSENT && arg[2].kind != JV_NONE) {
        if (spaces(r, &arg[2], &indent))
            return -1;
        how.indent = indent.str;
    }
    if (arg[3].kind == JV_TUPLE || arg[3].kind == JV_LIST) {
        if (arg[3].list->n != 2 || jv_arg_str(r, &arg[3].list->v[0], &how.item) ||
            jv_arg_str(r, &arg[3].list->v[1], &how.key))
            return jv_fail(r, "the separators of tojson are two strings");
    }
    return jv_text_json(r, &t, &arg[0], &how, 0) || jv_text_done(r, &t, out);
}

FILTER(m_keys)
{
    (void)all;
    return jv_dict_view(r, arg[0].dict, "keys", out);
}

FILTER(m_values)
{
    (void)all;
    return jv_dict_view(r, arg[0].dict, "values", out);
}

FILTER(m_items)
{
    (void)all;
    return jv_dict_view(r, arg[0].dict, "items", out);
}

FILTER(m_get)
{
    const struct jv *v = jv_dict_get(arg[0].dict, &arg[1]);
    (void)all;
    if (jv_hashable(r, &arg[1]))
        return -1;
    *out = v ? *v : arg[2].kind == JV_ABSENT ? jv_none() : arg[2];
    return jv_step(r, arg[0].dict->n / 8);
}

FILTER(m_copy)
{
    (void)r;
    (void)all;
    *out = arg[0]; /* values do not change */
    return 0;
}

FILTER(m_index)
{
    size_t i = 0;
    (void)all;
    while (i < arg[0].list->n && !jv_equal(&arg[0].list->v[i], &arg[1]))
        i++;
    *out = jv_int((int64_t)i);
    return i < arg[0].list->n ? jv_step(r, i) : jv_fail(r, "index(): there is no such value");
}

FILTER(m_count)
{
    int64_t n = 0;
    (void)all;
    for (size_t i = 0; i < arg[0].list->n; i++)
        n += jv_equal(&arg[0].list->v[i], &arg[1]);
    *out = jv_int(n);
    return jv_step(r, arg[0].list->n);
}

const struct jv_function jinja_dict_methods[] = {
    {"copy", "self", m_copy}, {"get", "self key default?", m_get}, {"items", "self", m_items},
    {"keys", "self", m_keys}, {"values", "self", m_values},        {0}};
const struct jv_function jinja_list_methods[] = {{"copy", "self", m_copy},
                                                 {"count", "self value", m_count},
                                                 {"index", "self value", m_index},
                                                 {0}};
const struct jv_function jinja_text_filters[] = {
    {"capitalize", "value", f_capitalize},
    {"center", "value width?", f_center},
    {"float", "value default?", f_float},
    {"format", "value *", f_format},
    {"indent", "value width? first? blank?", f_indent},
    {"int", "value default? base?", f_int},
    {"lower", "value", f_lower},
    {"replace", "value old new count?", f_replace},
    {"safe", "value", f_safe},
    {"string", "value", f_string},
    {"title", "value", f_title},
    {"tojson", "value ensure_ascii? indent? separators? sort_keys?", f_tojson},
    {"trim", "value chars?", f_trim},
    {"upper", "value", f_upper},
    {"wordcount", "value", f_wordcount},
    {0}};
