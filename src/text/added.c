#include "text/added.h"

#include <string.h>

#include "base/mem.h"
#include "text/space.h"

static int by_first_byte(const void *a, const void *b, void *texts)
{
    const struct added_token *s = a, *t = b;
    int diff = (unsigned char)((char *)texts)[s->at] - (unsigned char)((char *)texts)[t->at];
    return diff ? diff : (s->n < t->n) - (s->n > t->n);
}

static bool belongs(const struct vocab *v, int id, bool after)
{
    return v->flags[id] & TOKEN_ADDED && !(v->flags[id] & TOKEN_NORMAL) == !after;
}

static int add(struct added *a, int id, const struct normal *normal, struct err *e)
{
    struct added_token t = {.id = id, .at = a->texts.len};
    const char *s = vocab_text(a->vocab, id, &t.n);
    if (normal && !(a->vocab->flags[id] & TOKEN_AS_IS) ? normal_run(normal, s, t.n, &a->texts, e)
                                                       : buf_add(&a->texts, s, t.n, e))
        return -1;
    if ((t.n = a->texts.len - t.at))
        a->v[a->n++] = t;
    return 0;
}

int added_init(struct added *a, const struct vocab *v, bool after, const struct normal *normal,
               struct err *e)
{
    *a = (struct added){.vocab = v};
    size_t n = 0;
    for (int id = 0; id < v->n; id++)
        n += belongs(v, id, after);
    if (!(a->v = mem_alloc(n, sizeof *a->v, e)))
        return -1;
    for (int id = 0; id < v->n; id++)
        if (belongs(v, id, after) && add(a, id, normal, e))
            return -1;
    qsort_r(a->v, (size_t)a->n, sizeof *a->v, by_first_byte, a->texts.data);
    for (int k = 0; k < a->n; k++)
        a->first[(unsigned char)a->texts.data[a->v[k].at] + 1]++;
    for (int b = 0; b < 256; b++)
        a->first[b + 1] += a->first[b];
    return 0;
}

void added_fini(struct added *a)
{
    free(a->v);
    buf_fini(&a->texts);
    *a = (struct added){0};
}

/* The longest token at s[at..n) that is allowed at this position. */
static bool stands_at(const struct added *a, const char *s, size_t n, size_t at, bool specials,
                      struct added_hit *hit)
{
    unsigned char b = (unsigned char)s[at];
    for (int k = a->first[b]; k < a->first[b + 1]; k++) {
        const struct added_token *t = &a->v[k];
        unsigned flags = a->vocab->flags[t->id];
        if (t->n > n - at || memcmp(a->texts.data + t->at, s + at, t->n) ||
            (flags & TOKEN_SPECIAL && !specials) ||
            (flags & TOKEN_WORD && (word_before(s, at) || word_at(s, n, at + t->n))))
            continue;
        *hit = (struct added_hit){t->id, at, t->n, at, at + t->n};
        return true;
    }
    return false;
}

bool added_find(const struct added *a, const char *s, size_t n, size_t from, bool specials,
                struct added_hit *hit)
{
    for (size_t i = a->n ? from : n; i < n; i++) {
        if (!stands_at(a, s, n, i, specials, hit))
            continue;
        unsigned flags = a->vocab->flags[hit->id];
        if (flags & TOKEN_LSTRIP)
            hit->from -= space_trailing(s + from, i - from);
        if (flags & TOKEN_RSTRIP)
            hit->to += space_leading(s + hit->to, n - hit->to);
        return true;
    }
    return false;
}
