/* String methods that fill up to a width or into a form. */
#include <string.h>

#include "text/jinja_ast.h"

#define METHOD(name)                                                                               \
    static int name(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)

/* Fills up to `width` characters on both sides, or one. */
static int pad(struct jv_run *r, struct jv *arg, int side, int64_t other, struct jv *out)
{
    struct jv_str *s, *fill = NULL;
    struct jv_text t = {0};
    int64_t width, missing, left;
    if (jv_arg_str(r, &arg[0], &s) || jv_arg_int(r, &arg[1], other, &width) ||
        (arg[2].kind != JV_ABSENT && jv_arg_str(r, &arg[2], &fill)))
        return -1;
    if (fill && jv_str_chars(fill) != 1)
        return jv_fail(r, "a string is filled up with one character");
    missing = width - jv_str_chars(s);
    left = side < 0 ? missing : side > 0 ? 0 : missing / 2 + (missing & width & 1);
    for (int64_t i = 0; i < missing; i++) {
        if (i == left && jv_text_part(r, &t, s, 0, s->n))
            return -1;
        if (jv_step(r, 1) ||
            (fill ? jv_text_part(r, &t, fill, 0, fill->n) : jv_text_put(r, &t, " ", 1)))
            return -1;
    }
    if ((missing <= 0 || left >= missing) && jv_text_part(r, &t, s, 0, s->n))
        return -1;
    return jv_text_done(r, &t, out);
}

METHOD(w_center)
{
    (void)all;
    return pad(r, arg, 0, 80, out);
}

METHOD(w_ljust)
{
    (void)all;
    return pad(r, arg, 1, 0, out);
}

METHOD(w_rjust)
{
    (void)all;
    return pad(r, arg, -1, 0, out);
}

METHOD(w_zfill)
{
    struct jv_str *s;
    struct jv_text t = {0};
    int64_t width;
    (void)all;
    if (jv_arg_str(r, &arg[0], &s) || jv_arg_int(r, &arg[1], 0, &width))
        return -1;
    size_t sign = s->n && (s->s[0] == '-' || s->s[0] == '+');
    if (jv_text_part(r, &t, s, 0, sign))
        return -1;
    for (int64_t i = jv_str_chars(s); i < width; i++)
        if (jv_step(r, 1) || jv_text_put(r, &t, "0", 1))
            return -1;
    return jv_text_part(r, &t, s, sign, s->n) || jv_text_done(r, &t, out);
}

/* "{} {0} {name}".format(...): fields without a form of their own. */
METHOD(w_format)
{
    struct jv_str *s;
    struct jv_text t = {0};
    size_t next = 1;
    bool counted = false, numbered = false; /* {} and {0} do not go together */
    if (jv_arg_str(r, &arg[0], &s))
        return -1;
    for (size_t at = 0; at < s->n;) {
        char c = s->s[at];
        if ((c == '{' || c == '}') && at + 1 < s->n && s->s[at + 1] == c) {
            if (jv_text_put(r, &t, &c, 1))
                return -1;
            at += 2;
            continue;
        }
        if (c != '{') {
            if (c == '}')
                return jv_fail(r, "format(): a '}' without its '{'");
            if (jv_text_part(r, &t, s, at, at + 1))
                return -1;
            at++;
            continue;
        }
        const char *end = memchr(s->s + at, '}', s->n - at);
        if (!end)
            return jv_fail(r, "format(): a '{' without its '}'");
        struct jv_str name = {.s = s->s + at + 1, .n = (size_t)(end - s->s) - at - 1};
        const struct jv *v = NULL;
        bool number = name.n && name.n < 6;
        for (size_t i = 0; i < name.n; i++)
            number &= name.s[i] >= '0' && name.s[i] <= '9';
        counted |= !name.n;
        numbered |= number;
        if (counted && numbered)
            return jv_fail(r, "format(): '{}' and '{0}' do not go together");
        size_t k = !name.n ? next++ : number ? 1 + strtoul(name.s, NULL, 10) : all->n;
        if (k < all->n)
            v = &all->v[k];
        for (size_t i = 0; i < all->n_named && !v && name.n; i++)
            if (all->names[i]->n == name.n && !memcmp(all->names[i]->s, name.s, name.n))
                v = &all->named[i];
        if (!v)
            return jv_fail(r, "format(): the field '{%.*s}' is not supported", (int)name.n, name.s);
        if (jv_text_add(r, &t, v))
            return -1;
        at = (size_t)(end - s->s) + 1;
    }
    return jv_text_done(r, &t, out);
}

const struct jv_function jinja_form_methods[] = {{"center", "self width fillchar?", w_center},
                                                 {"ljust", "self width fillchar?", w_ljust},
                                                 {"rjust", "self width fillchar?", w_rjust},

                                                 {"format", "self *", w_format},
                                                 {"zfill", "self width", w_zfill},
                                                 {0}};
