#include "text/normal.h"

#include <limits.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/regex.h"
#include "text/pretok.h"
#include "text/space.h"

void normal_fini(struct normal *m)
{
    for (int i = 0; i < m->n; i++) {
        pcre2_code_free(m->steps[i].regex);
        free(m->steps[i].from);
        free(m->steps[i].to);
    }
    m->n = 0;
}

int normal_add(struct normal *m, enum normal_kind kind, const char *from, const char *to,
               bool pattern, struct err *e)
{
    if (m->n == NORMAL_MAX_STEPS)
        return err_set(e, "the normaliser has more than %d steps", NORMAL_MAX_STEPS);
    if (from && !*from)
        return err_set(e, "a normaliser replaces the empty text");
    struct normal_step *s = &m->steps[m->n++];
    *s = (struct normal_step){.kind = kind};
    if ((from && !(s->from = mem_strdup(from, e))) || (to && !(s->to = mem_strdup(to, e))) ||
        (pattern && !(s->regex = pretok_compile(from, false, e))))
        return -1;
    return 0;
}

static int is_ascii(const char *s, size_t n)
{
    unsigned char any = 0;
    for (size_t i = 0; i < n; i++)
        any |= (unsigned char)s[i];
    return any < 0x80;
}

/* The normal forms of Unicode (UAX #15). */
static int unicode_form(enum normal_kind kind, const char *s, size_t n, struct buf *out,
                        struct err *e)
{
    if (is_ascii(s, n))
        return buf_add(out, s, n, e);
    bool compose = kind == NORMAL_NFC || kind == NORMAL_NFKC;
    bool compat = kind == NORMAL_NFKC || kind == NORMAL_NFKD;
    const utf8proc_option_t how = UTF8PROC_STABLE |
                                  (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                  (compat ? UTF8PROC_COMPAT : 0);
    utf8proc_ssize_t need = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n,
                                               NULL, 0, how),
                     k = need;
    utf8proc_int32_t *points = NULL;
    if (need >= 0) { /* room for the NUL that reencode writes */
        if (!(points = mem_alloc((size_t)need + 1, sizeof *points, e)))
            return -1;
        k = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, points, need, how);
        if (k == need)
            k = utf8proc_reencode(points, k, how); /* in place: UTF-8 is no longer than UTF-32 */
    }
    int rc = k < 0 ? err_set(e, "cannot normalise text: %s", utf8proc_errmsg(k))
                   : buf_add(out, points, (size_t)k, e);
    free(points);
    return rc;
}

/* What a step appends to, and how long that may get. */
struct grown {
    struct buf *out;
    size_t most;
    const struct normal_step *step;
};

static int too_long(const struct grown *g, struct err *e)
{
    const struct normal_step *s = g->step;
    static const char *const names[] = {
        [NORMAL_NFC] = "NFC",      [NORMAL_NFD] = "NFD",         [NORMAL_NFKC] = "NFKC",
        [NORMAL_NFKD] = "NFKD",    [NORMAL_PREPEND] = "Prepend", [NORMAL_REPLACE] = "Replace",
        [NORMAL_LSTRIP] = "Strip", [NORMAL_RSTRIP] = "Strip"};
    return err_set(e,
                   "normaliser %s%s%.32s%s makes a text longer than %zu bytes; 64 for each byte of "
                   "the text and 4096 more are accepted",
                   names[s->kind], s->from ? " of '" : "", s->from ? s->from : "",
                   s->from ? "'" : "", g->most);
}

static int put(const struct grown *g, const char *s, size_t n, struct err *e)
{
    return g->out->len > g->most || n > g->most - g->out->len ? too_long(g, e)
                                                              : buf_add(g->out, s, n, e);
}

static int replace_text(const struct normal_step *step, const char *s, size_t n,
                        const struct grown *out, struct err *e)
{
    size_t from = strlen(step->from), to = strlen(step->to);
    for (const char *end = s + n, *hit; s < end; s = hit + from) {
        hit = memmem(s, (size_t)(end - s), step->from, from);
        if (!hit)
            return put(out, s, (size_t)(end - s), e);
        if (put(out, s, (size_t)(hit - s), e) || put(out, step->to, to, e))
            return -1;
    }
    return 0;
}

static int replace_pattern(const struct normal_step *step, const char *s, size_t n,
                           const struct grown *out, struct err *e)
{
    struct pretok_work *w = pretok_work_new(e);
    if (!w)
        return -1;
    size_t at = 0, from, to;
    int rc;
    while (!(rc = pretok_match(step->regex, w, s, n, at, &from, &to, e)) && from < n)
        if ((rc = put(out, s + at, from - at, e) || put(out, step->to, strlen(step->to), e) ? -1
                                                                                            : 0))
            break;
        else
            at = to;
    if (!rc)
        rc = put(out, s + at, n - at, e);
    else
        err_prefix(e, "pattern '%s': ", step->from);
    pretok_work_free(w);
    return rc;
}

static int run_step(const struct normal_step *step, const char *s, size_t n,
                    const struct grown *out, struct err *e)
{
    switch (step->kind) {
    case NORMAL_PREPEND:
        return (n && put(out, step->to, strlen(step->to), e)) || put(out, s, n, e);
    case NORMAL_REPLACE:
        return step->regex ? replace_pattern(step, s, n, out, e) : replace_text(step, s, n, out, e);
    case NORMAL_LSTRIP: {
        size_t k = space_leading(s, n);
        return put(out, s + k, n - k, e);
    }
    case NORMAL_RSTRIP:
        return put(out, s, n - space_trailing(s, n), e);
    default:
        return unicode_form(step->kind, s, n, out->out, e) || put(out, "", 0, e) ? -1 : 0;
    }
}

int normal_run(const struct normal *m, const char *s, size_t n, struct buf *out, struct err *e)
{
    struct buf text[2] = {{0}, {0}};
    const size_t most = normal_most(n);
    int rc = 0;
    for (int i = 0; i < m->n && !rc; i++) {
        struct buf *to = i == m->n - 1 ? out : &text[i & 1];
        if (to != out)
            buf_clear(to);
        const struct grown g = {to, to->len + most, &m->steps[i]};
        rc = run_step(&m->steps[i], s, n, &g, e);
        if (!rc && to != out) {
            s = to->data ? to->data : "";
            n = to->len;
        }
    }
    if (!rc && !m->n)
        rc = buf_add(out, s, n, e);
    buf_fini(&text[0]);
    buf_fini(&text[1]);
    return rc;
}
