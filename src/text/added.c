#include "text/added.h"

#include <string.h>

#include "base/mem.h"

static int by_first_byte(const void *a, const void *b, void *vocab)
{
    size_t n, m;
    const char *s = vocab_text(vocab, *(const int *)a, &n);
    const char *t = vocab_text(vocab, *(const int *)b, &m);
    int diff = (unsigned char)*s - (unsigned char)*t;
    return diff ? diff : (n < m) - (n > m);
}

static bool belongs(const struct vocab *v, int id, bool after)
{
    return v->flags[id] & TOKEN_ADDED && !(v->flags[id] & TOKEN_NORMAL) == !after;
}

int added_init(struct added *a, const struct vocab *v, bool after, struct err *e)
{
    *a = (struct added){.vocab = v};
    for (int id = 0; id < v->n; id++)
        a->n += belongs(v, id, after);
    if (!(a->ids = mem_alloc((size_t)a->n, sizeof *a->ids, e)))
        return -1;
    for (int id = 0, k = 0; id < v->n; id++)
        if (belongs(v, id, after))
            a->ids[k++] = id;
    qsort_r(a->ids, (size_t)a->n, sizeof *a->ids, by_first_byte, (void *)v);
    for (int k = 0; k < a->n; k++) {
        size_t n;
        a->first[(unsigned char)*vocab_text(v, a->ids[k], &n) + 1]++;
    }
    for (int b = 0; b < 256; b++)
        a->first[b + 1] += a->first[b];
    return 0;
}

void added_fini(struct added *a)
{
    free(a->ids);
    *a = (struct added){0};
}

int added_find(const struct added *a, const char *s, size_t n, size_t from, bool specials,
               size_t *at)
{
    for (size_t i = a->n ? from : n; i < n; i++) {
        unsigned char b = (unsigned char)s[i];
        for (int k = a->first[b]; k < a->first[b + 1]; k++) {
            int id = a->ids[k];
            size_t len;
            const char *text = vocab_text(a->vocab, id, &len);
            if ((specials || !(a->vocab->flags[id] & TOKEN_SPECIAL)) && len <= n - i &&
                !memcmp(text, s + i, len)) {
                *at = i;
                return id;
            }
        }
    }
    return -1;
}
