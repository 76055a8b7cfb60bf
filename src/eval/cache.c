#include "eval/cache.h"

#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "model/score.h"
#include "model/label_batches.h"

enum kind { SCORES, DISTANCES, ANSWERS, NUMBER };

static uint64_t key_start(const struct eval_cache *r, enum kind kind, uint64_t how)
{
    return hash_word(hash_word(r->model, kind), how);
}

static uint64_t add_seq(uint64_t h, const struct seq *s)
{
    size_t n = (size_t)s->n;
    h = hash_bytes(h, s->ids, n * sizeof *s->ids);
    h = hash_bytes(h, s->labels, s->labels ? n * sizeof *s->labels : 0);
    return hash_bytes(h, s->mask, s->mask ? n : 0);
}

/* Calls fn(array, bytes) for each array of a batch's scores, in order, until it returns false. */
typedef bool each_array(void *ctx, void *array, size_t bytes);

static bool walk_scores(const struct scores *out, const struct label_batch *b, each_array *fn,
                        void *ctx)
{
    for (int i = 0; i < b->n; i++) {
        const struct score *s = &out->v[b->items[i].index];
        void *const arrays[] = {s->logp, s->best, s->mean, s->variance, s->rank};
        _Static_assert(sizeof(float) == sizeof(int), "all arrays are alike");
        for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++)
            if (arrays[a] && !fn(ctx, arrays[a], (size_t)s->n * sizeof(float)))
                return false;
    }
    return true;
}

/* Labels include the one that follows the item's last token. */
static uint64_t add_batch(uint64_t h, const struct label_batch *b)
{
    for (int i = 0; i < b->n; i++) {
        const struct seq *s = &b->items[i].seq;
        h = hash_word(add_seq(h, s), (uint64_t)s->labels[s->n]);
    }
    return h;
}

static uint64_t scores_key(const struct eval_cache_pass *c, const struct label_batch *b)
{
    return add_batch(key_start(c->cache, SCORES, c->distribution), b);
}

static bool count(void *ctx, void *array, size_t bytes)
{
    (void)array;
    *(size_t *)ctx += bytes;
    return true;
}

static bool fill(void *ctx, void *array, size_t bytes)
{
    const char **at = ctx;
    memcpy(array, *at, bytes);
    *at += bytes;
    return true;
}

bool eval_cache_find_scores(void *ctx, void *scores, const struct label_batch *b)
{
    const struct eval_cache_pass *c = ctx;
    size_t size, wanted = 0;
    const char *bytes = cache_file_find(c->cache->file, scores_key(c, b), &size);
    walk_scores(scores, b, count, &wanted);
    return bytes && size == wanted && walk_scores(scores, b, fill, &bytes);
}

struct writing {
    struct buf b;
    struct err *e;
};

static bool put(void *ctx, void *array, size_t bytes)
{
    struct writing *w = ctx;
    return !buf_add(&w->b, array, bytes, w->e);
}

int eval_cache_add_scores(void *ctx, const void *scores, const struct label_batch *b, struct err *e)
{
    const struct eval_cache_pass *c = ctx;
    struct writing w = {.e = e};
    int rc = walk_scores(scores, b, put, &w)
                 ? cache_file_add(c->cache->file, scores_key(c, b), w.b.data, w.b.len, e)
                 : -1;
    buf_fini(&w.b);
    return rc;
}

static uint64_t distances_key(const struct eval_cache_pass *c, const struct label_batch *b)
{
    return add_batch(key_start(c->cache, DISTANCES, c->other), b);
}

bool eval_cache_find_distances(void *ctx, void *divergences, const struct label_batch *b)
{
    const struct eval_cache_pass *c = ctx;
    struct divergence *out = divergences;
    size_t size;
    const char *at = cache_file_find(c->cache->file, distances_key(c, b), &size);
    if (!at || size != (size_t)b->n * sizeof *out)
        return false;
    for (int i = 0; i < b->n; i++, at += sizeof *out)
        memcpy(&out[b->items[i].index], at, sizeof *out);
    return true;
}

int eval_cache_add_distances(void *ctx, const void *divergences, const struct label_batch *b,
                             struct err *e)
{
    const struct eval_cache_pass *c = ctx;
    const struct divergence *v = divergences;
    struct buf bytes = {0};
    int rc = 0;
    for (int i = 0; i < b->n && !rc; i++)
        rc = buf_add(&bytes, &v[b->items[i].index], sizeof *v, e);
    rc = rc || cache_file_add(c->cache->file, distances_key(c, b), bytes.data, bytes.len, e);
    buf_fini(&bytes);
    return rc;
}

static uint64_t answers_key(const struct eval_cache *r, const struct eval_cache_answers *a)
{
    const int options[] = {a->o->max_new_tokens, a->o->batch, a->o->mask_positions};
    uint64_t h = hash_bytes(key_start(r, ANSWERS, 0), options, sizeof options);
    for (int i = 0; i < a->n; i++) {
        h = hash_word(add_seq(h, &a->prompts[i]), (uint64_t)a->limits[i].max_new_tokens);
        for (const char *const *s = a->limits[i].stops; s && *s; s++)
            h = hash_bytes(h, *s, strlen(*s));
    }
    return h;
}

/* An answer is stored as number of tokens, whether it ended with an end token, and the tokens. */
enum { HEAD = 2 };

static bool read_answer(struct generation *g, const char **at, const char *end)
{
    struct err e;
    int head[HEAD];
    if ((size_t)(end - *at) < sizeof head)
        return false;
    memcpy(head, *at, sizeof head);
    *at += sizeof head;
    size_t n = (size_t)head[0];
    if (head[0] < 0 || n > (size_t)(end - *at) / sizeof(int) ||
        !(g->ids = mem_alloc(n, sizeof(int), &e)))
        return false;
    memcpy(g->ids, *at, n * sizeof(int));
    *at += n * sizeof(int);
    g->n = head[0];
    g->ended = head[1];
    return true;
}

bool eval_cache_find_answers(const struct eval_cache *r, const struct eval_cache_answers *a,
                             struct generation *out)
{
    size_t size;
    const char *at = r->file ? cache_file_find(r->file, answers_key(r, a), &size) : NULL;
    if (!at)
        return false;
    const char *end = at + size;
    int n = 0;
    while (n < a->n && read_answer(&out[n], &at, end))
        n++;
    if (n == a->n && at == end)
        return true;
    for (int i = 0; i < a->n; i++)
        generation_fini(&out[i]);
    return false;
}

int eval_cache_add_answers(const struct eval_cache *r, const struct eval_cache_answers *a,
                           const struct generation *g, struct err *e)
{
    struct buf b = {0};
    int rc = 0;
    if (!r->file)
        return 0;
    for (int i = 0; i < a->n && !rc; i++) {
        const int head[HEAD] = {g[i].n, g[i].ended};
        rc = buf_add(&b, head, sizeof head, e) ||
             buf_add(&b, g[i].ids, (size_t)g[i].n * sizeof(int), e);
    }
    rc = rc || cache_file_add(r->file, answers_key(r, a), b.data, b.len, e);
    buf_fini(&b);
    return rc;
}

static uint64_t number_key(const struct eval_cache *r, enum eval_cache_number what, int how,
                           const struct seq *s)
{
    return add_seq(hash_word(key_start(r, NUMBER, what), (uint64_t)how), s);
}

bool eval_cache_find_number(const struct eval_cache *r, enum eval_cache_number what, int how,
                            const struct seq *s, double *out)
{
    size_t size;
    const void *bytes =
        r->file ? cache_file_find(r->file, number_key(r, what, how, s), &size) : NULL;
    if (!bytes || size != sizeof *out)
        return false;
    memcpy(out, bytes, sizeof *out);
    return true;
}

int eval_cache_add_number(const struct eval_cache *r, enum eval_cache_number what, int how,
                          const struct seq *s, double number, struct err *e)
{
    uint64_t key = number_key(r, what, how, s);
    return r->file ? cache_file_add(r->file, key, &number, sizeof number, e) : 0;
}
