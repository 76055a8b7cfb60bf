/* Strings: Python's methods and the filters that are like them. Bytes of messages stay marked. */
#include <string.h>

#include "text/jinja_ast.h"

#define METHOD(name)                                                                               \
    static int name(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)

size_t jv_space(const char *s, size_t n)
{
    static const char *const wide[] = {"\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001",
                                       "\u2002",   "\u2003", "\u2004", "\u2005", "\u2006",
                                       "\u2007",   "\u2008", "\u2009", "\u200a", "\u2028",
                                       "\u2029",   "\u202f", "\u205f", "\u3000"};
    if (!n)
        return 0;
    if (*s == ' ' || (*s >= '\t' && *s <= '\r') || (*s >= 0x1c && *s <= 0x1f))
        return 1;
    for (size_t i = 0; *s & 0x80 && i < sizeof wide / sizeof *wide; i++)
        if (strlen(wide[i]) <= n && !memcmp(s, wide[i], strlen(wide[i])))
            return strlen(wide[i]);
    return 0;
}

/* The start of the character that ends at byte `end`. */
static size_t char_before(const char *s, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && end - at < 4 && (s[at] & 0xc0) == 0x80)
        at--;
    return jv_char(s + at, end - at) == end - at ? at : end - 1;
}

static bool is_cut(const char *s, size_t n, const struct jv_str *chars)
{
    return chars ? memmem(chars->s, chars->n, s, n) != NULL : jv_space(s, n) == n;
}

/* Cuts characters of `chars` (NULL: white space) off the sides of s[*from..*to). */
static void strip(const struct jv_str *s, const struct jv_str *chars, bool left, bool right,
                  size_t *from, size_t *to)
{
    *from = 0;
    *to = s->n;
    for (size_t n; left && *from < *to; *from += n)
        if (!is_cut(s->s + *from, n = jv_char(s->s + *from, *to - *from), chars))
            break;
    for (size_t at; right && *to > *from; *to = at)
        if (!is_cut(s->s + (at = char_before(s->s, *to)), *to - char_before(s->s, *to), chars))
            break;
}

static int strip_into(struct jv_run *r, struct jv *arg, bool left, bool right, struct jv *out)
{
    struct jv_str *s, *chars = NULL;
    size_t from, to;
    if (jv_arg_str(r, &arg[0], &s) ||
        (arg[1].kind != JV_ABSENT && arg[1].kind != JV_NONE && jv_arg_str(r, &arg[1], &chars)))
        return -1;
    strip(s, chars, left, right, &from, &to);
    return jv_step(r, s->n / 64) || jv_str_part(r, s, from, to, out);
}

METHOD(m_strip)
{
    (void)all;
    return strip_into(r, arg, true, true, out);
}

METHOD(m_lstrip)
{
    (void)all;
    return strip_into(r, arg, true, false, out);
}

METHOD(m_rstrip)
{
    (void)all;
    return strip_into(r, arg, false, true, out);
}

static int add_part(struct jv_run *r, struct jv_list *l, const struct jv_str *s, size_t from,
                    size_t to)
{
    struct jv v;
    return jv_str_part(r, s, from, to, &v) || jv_list_add(r, l, &v);
}

/* Where `part` is found first in s[from..to), last if `back`; to + 1: nowhere. */
static size_t find(const struct jv_str *s, size_t from, size_t to, const struct jv_str *part,
                   bool back)
{
    if (to - from < part->n)
        return to + 1;
    if (!back) {
        const char *at = memmem(s->s + from, to - from, part->s, part->n);
        return at ? (size_t)(at - s->s) : to + 1;
    }
    for (size_t at = to - part->n + 1; at-- > from;)
        if (!memcmp(s->s + at, part->s, part->n))
            return at;
    return to + 1;
}

static int split_space(struct jv_run *r, const struct jv_str *s, int64_t most, struct jv_list *l)
{
    size_t at = 0, n, from;
    for (;;) {
        while (at < s->n && (n = jv_space(s->s + at, s->n - at)))
            at += n;
        if (at >= s->n)
            return 0;
        if (!most--) {
            struct jv_str rest = {.s = s->s + at, .n = s->n - at};
            size_t a, b;
            strip(&rest, NULL, false, true, &a, &b);
            return add_part(r, l, s, at, at + b);
        }
        for (from = at; at < s->n && !jv_space(s->s + at, s->n - at);)
            at += jv_char(s->s + at, s->n - at);
        if (add_part(r, l, s, from, at))
            return -1;
    }
}

static int split(struct jv_run *r, struct jv *arg, bool back, struct jv *out)
{
    struct jv_str *s, *by = NULL;
    struct jv_list *l = jv_list_new(r, 0);
    int64_t most;
    bool spaces = arg[1].kind == JV_ABSENT || arg[1].kind == JV_NONE;
    if (!l || jv_arg_str(r, &arg[0], &s) || jv_arg_int(r, &arg[2], -1, &most) ||
        (!spaces && jv_arg_str(r, &arg[1], &by)))
        return -1;
    *out = jv_of(JV_LIST, l);
    if (spaces && back && most >= 0)
        return jv_fail(r, "rsplit by white space with a limit is not supported");
    if (spaces)
        return split_space(r, s, most, l);
    if (!by->n)
        return jv_fail(r, "the separator of split() is empty");
    size_t from = 0, to = s->n, at;
    while (most-- && (at = find(s, from, to, by, back)) <= to) {
        if (back ? add_part(r, l, s, at + by->n, to) : add_part(r, l, s, from, at))
            return -1;
        if (back)
            to = at;
        else
            from = at + by->n;
    }
    if (add_part(r, l, s, from, to))
        return -1;
    for (size_t i = 0; back && i < l->n / 2; i++) {
        struct jv v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
    return jv_step(r, s->n / 16);
}

METHOD(m_split)
{
    (void)all;
    return split(r, arg, false, out);
}

METHOD(m_rsplit)
{
    (void)all;
    return split(r, arg, true, out);
}

static int partition(struct jv_run *r, struct jv *arg, bool back, struct jv *out)
{
    struct jv_str *s, *by;
    struct jv_list *l = jv_list_new(r, 3);
    if (!l || jv_arg_str(r, &arg[0], &s) || jv_arg_str(r, &arg[1], &by))
        return -1;
    if (!by->n)
        return jv_fail(r, "the separator of partition() is empty");
    size_t at = find(s, 0, s->n, by, back);
    bool none = at > s->n;
    size_t a = none ? back ? 0 : s->n : at, b = none ? a : at + by->n;
    *out = jv_of(JV_TUPLE, l);
    return add_part(r, l, s, 0, a) || add_part(r, l, s, a, b) || add_part(r, l, s, b, s->n);
}

METHOD(m_partition)
{
    (void)all;
    return partition(r, arg, false, out);
}

METHOD(m_rpartition)
{
    (void)all;
    return partition(r, arg, true, out);
}

/* Bytes of the line end at s[0..n), or 0. */
static size_t line_end(const char *s, size_t n)
{
    if (*s == '\r' && n > 1 && s[1] == '\n')
        return 2;
    if ((*s >= '\n' && *s <= '\r') || (*s >= 0x1c && *s <= 0x1e))
        return 1;
    if (n > 1 && !memcmp(s, "\xc2\x85", 2))
        return 2;
    return n > 2 && (!memcmp(s, "\u2028", 3) || !memcmp(s, "\u2029", 3)) ? 3 : 0;
}

static int split_lines(struct jv_run *r, const struct jv_str *s, bool keep, struct jv_list *l)
{
    size_t from = 0;
    for (size_t at = 0, n; at < s->n;) {
        if (!(n = line_end(s->s + at, s->n - at))) {
            at++;
            continue;
        }
        if (add_part(r, l, s, from, keep ? at + n : at))
            return -1;
        from = at += n;
    }
    return jv_step(r, s->n / 16) || (from < s->n && add_part(r, l, s, from, s->n)) ? -1 : 0;
}

METHOD(m_splitlines)
{
    struct jv_str *s;
    struct jv_list *l = jv_list_new(r, 0);
    (void)all;
    if (!l || jv_arg_str(r, &arg[0], &s))
        return -1;
    *out = jv_of(JV_LIST, l);
    return split_lines(r, s, jv_arg_bool(&arg[1], false), l);
}

METHOD(m_replace)
{
    struct jv_str *s, *old;
    struct jv with;
    struct jv_text t = {0};
    int64_t most;
    size_t from = 0, at;
    (void)all;
    if (jv_arg_str(r, &arg[0], &s) || jv_arg_str(r, &arg[1], &old) ||
        jv_arg_str(r, &arg[2], &with.str) || jv_arg_int(r, &arg[3], -1, &most))
        return -1;
    with.kind = JV_STR;
    for (size_t n; old->n == 0 && most-- && from <= s->n; from += n) {
        n = from < s->n ? jv_char(s->s + from, s->n - from) : 1;
        if (jv_text_add(r, &t, &with) ||
            jv_text_part(r, &t, s, from, from < s->n ? from + n : from))
            return -1;
    }
    while (old->n && most-- && (at = find(s, from, s->n, old, false)) <= s->n) {
        if (jv_text_part(r, &t, s, from, at) || jv_text_add(r, &t, &with))
            return -1;
        from = at + old->n;
    }
    return jv_step(r, s->n / 16) || jv_text_part(r, &t, s, from, s->n) || jv_text_done(r, &t, out);
}

METHOD(m_join)
{
    struct jv_str *s;
    struct jv_list *l;
    struct jv_text t = {0};
    (void)all;
    if (jv_arg_str(r, &arg[0], &s) || jv_iterate(r, &arg[1], &l))
        return -1;
    for (size_t i = 0; i < l->n; i++) {
        struct jv_str *one;
        if (jv_arg_str(r, &l->v[i], &one) || (i && jv_text_part(r, &t, s, 0, s->n)) ||
            jv_text_part(r, &t, one, 0, one->n))
            return -1;
    }
    return jv_text_done(r, &t, out);
}

/* Whether s starts (ends) with one of the strings of v. */
static int has_end(struct jv_run *r, const struct jv_str *s, const struct jv *v, bool back,
                   bool *has)
{
    struct jv_str *part;
    for (size_t i = 0; v->kind == JV_TUPLE && i < v->list->n && !*has; i++)
        if (v->list->v[i].kind == JV_TUPLE || has_end(r, s, &v->list->v[i], back, has))
            return -1;
    if (v->kind == JV_TUPLE)
        return 0;
    if (jv_arg_str(r, v, &part))
        return -1;
    *has = s->n >= part->n && !memcmp(back ? s->s + s->n - part->n : s->s, part->s, part->n);
    return 0;
}

static int ends(struct jv_run *r, struct jv *arg, bool back, struct jv *out)
{
    struct jv_str *s;
    bool has = false;
    if (jv_arg_str(r, &arg[0], &s) || has_end(r, s, &arg[1], back, &has))
        return -1;
    *out = jv_bool(has);
    return 0;
}

METHOD(m_startswith)
{
    (void)all;
    return ends(r, arg, false, out);
}

METHOD(m_endswith)
{
    (void)all;
    return ends(r, arg, true, out);
}

static int remove_end(struct jv_run *r, struct jv *arg, bool back, struct jv *out)
{
    struct jv_str *s, *part;
    bool has = false;
    if (jv_arg_str(r, &arg[0], &s) || jv_arg_str(r, &arg[1], &part) ||
        has_end(r, s, &arg[1], back, &has))
        return -1;
    size_t cut = has ? part->n : 0;
    return jv_str_part(r, s, back ? 0 : cut, back ? s->n - cut : s->n, out);
}

METHOD(m_removeprefix)
{
    (void)all;
    return remove_end(r, arg, false, out);
}

METHOD(m_removesuffix)
{
    (void)all;
    return remove_end(r, arg, true, out);
}

/* Character number of the first (last) `part`, -1: there is none. */
static int find_number(struct jv_run *r, struct jv *arg, bool back, int64_t *out)
{
    struct jv_str *s, *part;
    if (jv_arg_str(r, &arg[0], &s) || jv_arg_str(r, &arg[1], &part))
        return -1;
    size_t at = find(s, 0, s->n, part, back);
    struct jv_str head = {.s = s->s, .n = at, .chars = -1};
    *out = at > s->n ? -1 : jv_str_chars(&head);
    return jv_step(r, s->n / 16);
}

METHOD(m_find)
{
    (void)all;
    *out = jv_int(0);
    return find_number(r, arg, false, &out->i);
}

METHOD(m_rfind)
{
    (void)all;
    *out = jv_int(0);
    return find_number(r, arg, true, &out->i);
}

METHOD(m_index)
{
    (void)all;
    *out = jv_int(0);
    if (find_number(r, arg, false, &out->i))
        return -1;
    return out->i < 0 ? jv_fail(r, "index(): there is no such part") : 0;
}

METHOD(m_count)
{
    struct jv_str *s, *part;
    int64_t n = 0;
    (void)all;
    if (jv_arg_str(r, &arg[0], &s) || jv_arg_str(r, &arg[1], &part))
        return -1;
    for (size_t at = 0; part->n && (at = find(s, at, s->n, part, false)) <= s->n; at += part->n)
        n++;
    *out = jv_int(part->n ? n : jv_str_chars(s) + 1);
    return jv_step(r, s->n / 16);
}

const struct jv_function jinja_text_methods[] = {{"count", "self sub", m_count},
                                                 {"endswith", "self suffix", m_endswith},
                                                 {"find", "self sub", m_find},
                                                 {"index", "self sub", m_index},
                                                 {"join", "self iterable", m_join},
                                                 {"lstrip", "self chars?", m_lstrip},
                                                 {"partition", "self sep", m_partition},
                                                 {"removeprefix", "self prefix", m_removeprefix},
                                                 {"removesuffix", "self suffix", m_removesuffix},
                                                 {"replace", "self old new count?", m_replace},
                                                 {"rfind", "self sub", m_rfind},
                                                 {"rpartition", "self sep", m_rpartition},
                                                 {"rsplit", "self sep? maxsplit?", m_rsplit},
                                                 {"rstrip", "self chars?", m_rstrip},
                                                 {"split", "self sep? maxsplit?", m_split},
                                                 {"splitlines", "self keepends?", m_splitlines},
                                                 {"startswith", "self prefix", m_startswith},
                                                 {"strip", "self chars?", m_strip},
                                                 {0}};
