/* Operators between two values, and "form" % values. */
#include <math.h>
#include <string.h>

#include "text/jinja_ast.h"

static bool is_int(const struct jv *v)
{
    return v->kind == JV_INT || v->kind == JV_BOOL;
}

static int64_t whole(const struct jv *v)
{
    return v->kind == JV_BOOL ? v->b : v->i;
}

static int fail_pair(struct jv_run *r, const struct jv *a, const char *op, const struct jv *b)
{
    if (a->kind == JV_UNDEFINED || b->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, a->kind == JV_UNDEFINED ? a : b);
    return jv_fail(r, "'%s' does not go between '%s' and '%s'", op, jv_type(a), jv_type(b));
}

static int power(int64_t a, int64_t n, int64_t *out)
{
    *out = 1;
    if (n > 64 && a != 0 && a != 1 && a != -1)
        return -1;
    if (n > 64)
        n = 2 + (n & 1);
    for (; n > 0; n--)
        if (__builtin_mul_overflow(*out, a, out))
            return -1;
    return 0;
}

static int whole_math(struct jv_run *r, int64_t a, const char *op, int64_t b, struct jv *out)
{
    int64_t v = 0;
    bool over = false;
    if (strchr("/%", op[0]) && !b)
        return jv_fail(r, "division by zero");
    if (!strcmp(op, "/") || (!strcmp(op, "**") && b < 0)) {
        *out = jv_real(op[0] == '/' ? (double)a / (double)b : pow((double)a, (double)b));
        return op[0] == '*' && !a ? jv_fail(r, "division by zero") : 0;
    }
    if (!strcmp(op, "+"))
        over = __builtin_add_overflow(a, b, &v);
    else if (!strcmp(op, "-"))
        over = __builtin_sub_overflow(a, b, &v);
    else if (!strcmp(op, "*"))
        over = __builtin_mul_overflow(a, b, &v);
    else if (!strcmp(op, "**"))
        over = power(a, b, &v);
    else if (!(over = a == INT64_MIN && b == -1))
        v = op[0] == '%' ? (a % b + b) % b : a / b - (a % b && (a < 0) != (b < 0));
    if (over)
        return jv_fail(r, "an integer beyond 64 bits");
    *out = jv_int(v);
    return 0;
}

static int real_math(struct jv_run *r, double a, const char *op, double b, struct jv *out)
{
    double v, rest;
    if (strchr("/%", op[0]) && b == 0)
        return jv_fail(r, "division by zero");
    if (!strcmp(op, "**")) {
        v = pow(a, b);
        if (isnan(v) && !isnan(a) && !isnan(b))
            return jv_fail(r, "a power that is no real number");
        if ((a == 0 && b < 0) || (isinf(v) && isfinite(a) && isfinite(b)))
            return jv_fail(r, "a power that is out of range");
        *out = jv_real(v);
        return 0;
    }
    rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0))
        rest += b;
    else if (rest == 0)
        rest = copysign(0, b);
    v = (a - rest) / b;
    v = v - floor(v) > 0.5 ? floor(v) + 1 : floor(v);
    *out = jv_real(!strcmp(op, "+")    ? a + b
                   : !strcmp(op, "-")  ? a - b
                   : !strcmp(op, "*")  ? a * b
                   : !strcmp(op, "/")  ? a / b
                   : !strcmp(op, "//") ? v == 0 ? copysign(0, a / b) : v
                                       : rest);
    return 0;
}

/* A string or list n times. */
static int repeat(struct jv_run *r, const struct jv *v, int64_t n, struct jv *out)
{
    struct jv_text t = {0};
    struct jv_list *l = jv_list_new(r, 0);
    if (!l)
        return -1;
    bool empty = v->kind == JV_STR ? !v->str->n : !v->list->n;
    for (int64_t i = 0; i < n && !empty; i++) {
        if (jv_step(r, 1) || (v->kind == JV_STR && jv_text_part(r, &t, v->str, 0, v->str->n)))
            return -1;
        for (size_t k = 0; v->kind != JV_STR && k < v->list->n; k++)
            if (jv_list_add(r, l, &v->list->v[k]))
                return -1;
    }
    *out = jv_of(v->kind, l);
    return v->kind == JV_STR ? jv_text_done(r, &t, out) : 0;
}

static int join(struct jv_run *r, const struct jv *a, const struct jv *b, struct jv *out)
{
    struct jv_text t = {0};
    if (a->kind == JV_STR) {
        if (a->str->safe || b->str->safe)
            return jv_fail(r, "'+' with what the filter 'safe' made is not supported");
        return jv_text_add(r, &t, a) || jv_text_add(r, &t, b) || jv_text_done(r, &t, out);
    }
    struct jv_list *l = jv_list_new(r, a->list->n + b->list->n);
    for (size_t i = 0; l && i < a->list->n; i++)
        if (jv_list_add(r, l, &a->list->v[i]))
            return -1;
    for (size_t i = 0; l && i < b->list->n; i++)
        if (jv_list_add(r, l, &b->list->v[i]))
            return -1;
    *out = jv_of(a->kind, l);
    return l ? 0 : -1;
}

static bool repeats(const struct jv *v)
{
    return v->kind == JV_STR || v->kind == JV_LIST || v->kind == JV_TUPLE;
}

int jv_binary(struct jv_run *r, const struct jv *a, const char *op, const struct jv *b,
              struct jv *out)
{
    bool real_a = a->kind == JV_REAL, real_b = b->kind == JV_REAL;
    if (is_int(a) && is_int(b))
        return whole_math(r, whole(a), op, whole(b), out);
    if ((real_a || is_int(a)) && (real_b || is_int(b)))
        return real_math(r, real_a ? a->d : (double)whole(a), op, real_b ? b->d : (double)whole(b),
                         out);
    if (!strcmp(op, "+") && a->kind == b->kind && repeats(a))
        return join(r, a, b, out);
    if (!strcmp(op, "*") && repeats(a) && is_int(b))
        return repeat(r, a, whole(b), out);
    if (!strcmp(op, "*") && is_int(a) && repeats(b))
        return repeat(r, b, whole(a), out);
    if (!strcmp(op, "%") && a->kind == JV_STR)
        return jv_format(r, a->str, b, out);
    return fail_pair(r, a, op, b);
}

int jv_compare(struct jv_run *r, const struct jv *a, const char *op, const struct jv *b, bool *out)
{
    if (!strcmp(op, "==") || !strcmp(op, "!=")) {
        *out = jv_equal(a, b) == (op[0] == '=');
        return jv_step(r, 1 + (a->kind == JV_STR ? a->str->n / 64 : 0));
    }
    if (!strcmp(op, "in") || !strcmp(op, "ni")) {
        if (jv_contains(r, b, a, out))
            return -1;
        *out ^= op[0] == 'n';
        return 0;
    }
    bool swap = op[0] == '>';
    if (jv_less(r, swap ? b : a, swap ? a : b, out))
        return -1;
    *out = *out || (op[1] == '=' && jv_equal(a, b));
    return 0;
}

/* One conversion of "%...": its value at the end of t. */
static int convert(struct jv_run *r, struct jv_text *t, const char *flags, char c,
                   const struct jv *v)
{
    char form[48], text[512];
    if (c == 's' || c == 'r') {
        if (*flags)
            return jv_fail(r, "'%%%s%c' is not supported in a chat template", flags, c);
        return c == 's' ? jv_text_add(r, t, v) : jv_text_repr(r, t, v);
    }
    bool real = strchr("feEgG", c);
    if (v->kind != JV_REAL && !is_int(v))
        return v->kind == JV_UNDEFINED ? jv_fail_undefined(r, v)
                                       : jv_fail(r, "'%%%c' needs a number", c);
    double d = v->kind == JV_REAL ? v->d : (double)whole(v);
    if (!real && v->kind == JV_REAL && (c == 'x' || !(fabs(d) < 0x1p63)))
        return jv_fail(r, "'%%%c' needs an integer", c);
    if (!real && c == 'x' && whole(v) < 0)
        return jv_fail(r, "'%%x' of a negative number is not supported in a chat template");
    snprintf(form, sizeof form, "%%%s%s%c", flags, real ? "" : "ll", c == 'i' ? 'd' : c);
    if (real)
        snprintf(text, sizeof text, form, d);
    else
        snprintf(text, sizeof text, form, v->kind == JV_REAL ? (long long)d : (long long)whole(v));
    return jv_text_put(r, t, text, strlen(text));
}

int jv_format(struct jv_run *r, const struct jv_str *form, const struct jv *v, struct jv *out)
{
    struct jv_text t = {0};
    bool tuple = v->kind == JV_TUPLE;
    size_t n = tuple ? v->list->n : 1, used = 0;
    for (size_t at = 0, to; at < form->n; at = to) {
        const char *s = memchr(form->s + at, '%', form->n - at);
        to = s ? (size_t)(s - form->s) : form->n;
        if (jv_text_part(r, &t, form, at, to))
            return -1;
        if (!s)
            break;
        char flags[16] = "";
        size_t k = 0;
        while (++to < form->n && strchr("-+ 0123456789.#", form->s[to]) && form->s[to])
            if (k < sizeof flags - 1)
                flags[k++] = form->s[to];
        char c = to < form->n ? form->s[to++] : 0;
        if (c == '%') {
            if (jv_text_put(r, &t, "%", 1))
                return -1;
            continue;
        }
        if (!c || !strchr("sdirfeEgGx", c) || k > 5)
            return jv_fail(r, "'%%%s%c' is not supported in a chat template", flags, c ? c : ' ');
        if (used >= n)
            return jv_fail(r, "more than %zu values are wanted by '%%'", n);
        if (convert(r, &t, flags, c, tuple ? &v->list->v[used] : v))
            return -1;
        used++;
    }
    if (used < n && (tuple || v->kind != JV_DICT))
        return jv_fail(r, "not all values are used by '%%'");
    return jv_text_done(r, &t, out);
}
