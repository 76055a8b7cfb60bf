#include "text/bpe.h"

#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"
#include "base/utf8.h"
#include "text/vocab.h"

struct bpe_node {
    int id; /* -1: joined to the node before it */
    int prev, next;
};

struct bpe_pair {
    int rank, at; /* order of joining; `at` is the left node */
    int merge;
};

static bool before(const struct bpe_pair *a, const struct bpe_pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

/* Offers nodes `at` and its successor, if their pair has a merge. The heap has room (see
 * merge_all). */
static void heap_push(const struct bpe *b, struct bpe_work *w, int at)
{
    const struct bpe_node *l = &w->nodes[at];
    if (l->next < 0)
        return;
    int merge = b->slots[bpe_slot(b, l->id, w->nodes[l->next].id)];
    if (merge < 0)
        return;
    struct bpe_pair p = {b->merges[merge].rank, at, merge};
    size_t i = w->heap_n++;
    for (; i > 0 && before(&p, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = p;
}

static struct bpe_pair heap_pop(struct bpe_work *w)
{
    struct bpe_pair top = w->heap[0], p = w->heap[--w->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heap_n; i = child) {
        if (child + 1 < w->heap_n && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &p))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = p;
    return top;
}

/* Joins nodes 0..n-1. Every join adds at most two pairs to the n-1 of the start: 3n entries at
 * most. */
static void merge_all(const struct bpe *b, struct bpe_work *w, int n)
{
    w->heap_n = 0;
    for (int i = 0; i < n; i++)
        heap_push(b, w, i);
    while (w->heap_n) {
        struct bpe_pair p = heap_pop(w);
        struct bpe_node *l = &w->nodes[p.at];
        const struct bpe_merge *m = &b->merges[p.merge];
        if (l->id != m->left || l->next < 0 || w->nodes[l->next].id != m->right)
            continue; /* the pair changed since */
        struct bpe_node *r = &w->nodes[l->next];
        l->id = m->id;
        l->next = r->next;
        r->id = -1;
        if (l->next >= 0)
            w->nodes[l->next].prev = p.at;
        if (l->prev >= 0)
            heap_push(b, w, l->prev);
        heap_push(b, w, p.at);
    }
}

/* What has no token: unk, once for a run of it if so asked, or nothing. */
static int add_unk(const struct bpe *b, struct bpe_work *w, int k)
{
    if (b->unk < 0 || (b->fuse_unk && k && w->nodes[k - 1].id == b->unk))
        return k;
    w->nodes[k] = (struct bpe_node){b->unk, k - 1, k + 1};
    return k + 1;
}

/* One character of n bytes: its token, those of its bytes, or unk. */
static int add_char(const struct bpe *b, struct bpe_work *w, int k, const char *s, size_t n)
{
    int id = vocab_find_own(b->vocab, s, n);
    bool spelt = id < 0;
    for (size_t i = 0; i < n; i++)
        spelt = spelt && b->byte_id[(uint8_t)s[i]] >= 0;
    if (id < 0 && !spelt)
        return add_unk(b, w, k);
    for (size_t i = 0; i < (spelt ? n : 1); i++, k++)
        w->nodes[k] = (struct bpe_node){spelt ? b->byte_id[(uint8_t)s[i]] : id, k - 1, k + 1};
    return k;
}

static int fill_nodes(const struct bpe *b, struct bpe_work *w, const char *word, size_t n)
{
    int k = 0;
    for (size_t i = 0, len; i < n; i += len) {
        int id = b->byte_id[(uint8_t)word[i]];
        len = b->chars ? utf8_char(word + i, n - i) : 1;
        if (b->chars) {
            k = add_char(b, w, k, word + i, len);
        } else if (id < 0) {
            k = add_unk(b, w, k);
        } else {
            w->nodes[k] = (struct bpe_node){id, k - 1, k + 1};
            k++;
        }
    }
    if (k)
        w->nodes[k - 1].next = -1;
    return k;
}

/* The token that spells the whole word, or -1. */
static int whole_word(const struct bpe *b, struct bpe_work *w, const char *word, size_t n, int *id,
                      struct err *e)
{
    buf_clear(&w->symbols);
    for (size_t i = 0; i < n && !b->chars; i++) {
        char symbol[2];
        if (buf_add(&w->symbols, symbol, bytelevel_symbol((uint8_t)word[i], symbol), e))
            return -1;
    }
    *id = b->chars ? vocab_find_own(b->vocab, word, n)
                   : vocab_find_own(b->vocab, w->symbols.data, w->symbols.len);
    return 0;
}

static int encode(const struct bpe *b, struct bpe_work *w, const char *word, size_t n,
                  struct ids *out, struct err *e)
{
    int id = -1;
    if (b->whole_words && whole_word(b, w, word, n, &id, e))
        return -1;
    if (id >= 0)
        return ids_add(out, id, e);
    if (mem_reserve(&w->nodes, &w->nodes_cap, n, sizeof *w->nodes, e) ||
        mem_reserve(&w->heap, &w->heap_cap, 3 * n, sizeof *w->heap, e))
        return -1;
    int k = fill_nodes(b, w, word, n);
    merge_all(b, w, k);
    for (int i = k ? 0 : -1; i >= 0; i = w->nodes[i].next)
        if (ids_add(out, w->nodes[i].id, e))
            return -1;
    return 0;
}

/* Words seen lately. Text repeats its words, so most are found here; a slot holds one word of at
 * most KEY - 1 bytes and is simply overwritten. The last byte of the key is the word's length. */
enum { KEY = SIZE(32, 8), CACHED_IDS = SIZE(7, 2), CACHE_SLOTS = SIZE(1 << 14, 4) };

struct bpe_cached {
    uint8_t key[KEY];
    int ids[CACHED_IDS];
    int n;
};

static struct bpe_cached *cache_slot(struct bpe_work *w, const uint8_t *key)
{
    uint64_t part[KEY / 8], h = 0;
    memcpy(part, key, KEY);
    for (size_t i = 0; i < KEY / 8; i++)
        h = (h ^ part[i] ^ h >> 29) * 0x9e3779b97f4a7c15u;
    return &w->cache[h >> 32 & (CACHE_SLOTS - 1)];
}

void bpe_work_fini(struct bpe_work *w)
{
    free(w->nodes);
    free(w->heap);
    free(w->cache);
    buf_fini(&w->symbols);
    *w = (struct bpe_work){0};
}

int bpe_word(const struct bpe *b, struct bpe_work *w, const char *word, size_t n, struct ids *out,
             struct err *e)
{
    if (n >= KEY)
        return encode(b, w, word, n, out, e);
    if (!w->cache && !(w->cache = mem_alloc(CACHE_SLOTS, sizeof *w->cache, e)))
        return -1;
    uint8_t key[KEY] = {0};
    memcpy(key, word, n);
    key[KEY - 1] = (uint8_t)n;
    struct bpe_cached *c = cache_slot(w, key);
    if (mem_reserve(&out->v, &out->cap, out->n + CACHED_IDS, sizeof *out->v, e))
        return -1;
    if (!memcmp(c->key, key, KEY)) {
        memcpy(out->v + out->n, c->ids, sizeof c->ids);
        out->n += (size_t)c->n;
        return 0;
    }
    size_t from = out->n;
    if (encode(b, w, word, n, out, e))
        return -1;
    if (out->n - from <= CACHED_IDS) {
        memcpy(c->key, key, KEY);
        c->n = (int)(out->n - from);
        memcpy(c->ids, out->v + from, (size_t)c->n * sizeof *c->ids);
    }
    return 0;
}
