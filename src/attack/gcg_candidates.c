/* What a step of GCG tries. */
#include <ctype.h>

#include "attack/gcg.h"
#include "base/mem.h"

const char gcg_filters[] = "whole|suffix|none";

static bool is_printable(const struct buf *text)
{
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] < ' ' || text->data[i] > '~')
            return false;
    return true;
}

int gcg_ban(struct gcg *g, struct err *e)
{
    const struct tokenizer *t = g->in->a->s.tokenizer;
    const int vocab = g->in->a->s.model.cfg.vocab;
    struct buf text = {0};
    int rc = !(g->banned = mem_alloc((size_t)vocab, sizeof *g->banned, e)), left = 0;
    for (int id = 0; !rc && id < vocab; id++) {
        if (t && (g->banned[id] = !tokenizer_has_text(t, id) || tokenizer_is_special(t, id)))
            continue;
        buf_clear(&text);
        rc = t && tokenizer_decode(t, &id, 1, false, &text, e);
        g->banned[id] = t && g->p->ascii && !is_printable(&text);
        left += !g->banned[id];
    }
    buf_fini(&text);
    return !rc && !left ? err_about(e, "ascii", "no token of the model is printable ASCII") : rc;
}

void gcg_onehot(const struct model *m, const device float *grad, int n, device float *onehot)
{
    m->ops->linear(onehot, grad, model_weight(m, W_EMBED, -1), n, m->cfg.width, m->cfg.vocab, 0);
}

/* Whether token a is less promising than b. */
static bool is_worse(const float *row, int a, int b)
{
    return row[a] > row[b] || (row[a] <= row[b] && row[a] >= row[b] && a > b);
}

/* Moves heap[at] down to its place; the least promising is on top. */
static void sift(const float *row, int *heap, int n, int at)
{
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_worse(row, heap[child + 1], heap[child]))
            child++;
        if (!is_worse(row, heap[child], heap[at]))
            return;
        const int id = heap[at];
        heap[at] = heap[child];
        heap[child] = id;
    }
}

/* The k ids of least row[v] that are not banned, the least first; returns how many there are. */
static int take_top(const float *row, const bool *banned, int vocab, int k, int *top)
{
    int n = 0;
    for (int id = 0; id < vocab; id++) {
        if (banned[id])
            continue;
        if (n < k) {
            top[n++] = id;
            for (int i = n / 2 - 1; n == k && i >= 0; i--)
                sift(row, top, n, i);
        } else if (is_worse(row, top[0], id)) {
            top[0] = id;
            sift(row, top, n, 0);
        }
    }
    for (int i = n / 2 - 1; n < k && i >= 0; i--)
        sift(row, top, n, i);
    for (int last = n - 1; last > 0; last--) {
        const int id = top[0];
        top[0] = top[last];
        top[last] = id;
        sift(row, top, last, 0);
    }
    return n;
}

int gcg_top(const struct gcg *g, const device float *onehot, int *top, struct err *e)
{
    const struct model *m = &g->in->a->s.model;
    const size_t vocab = (size_t)m->cfg.vocab, k = (size_t)g->p->topk;
    const float *rows = m->ops->map_read(onehot, (size_t)g->n * vocab);
    int least = (int)k;
    for (size_t i = 0; i < (size_t)g->n; i++) {
        const int n = take_top(rows + i * vocab, g->banned, (int)vocab, (int)k, top + i * k);
        least = n < least ? n : least;
    }
    m->ops->unmap(onehot);
    return least == (int)k ? 0
                           : err_about(e, "topk", "only %d tokens may be tried at a place, not %d",
                                       least, (int)k);
}

void gcg_sample(const struct gcg *g, const int *ids, const int *top, struct rng *rng, int *sampled)
{
    const uint32_t n = (uint32_t)g->n, replace = (uint32_t)g->p->replace;
    for (int64_t w = 0; w < g->p->width; w++) {
        int *c = sampled + (size_t)w * n;
        for (uint32_t i = 0; i < n; i++)
            c[i] = -1;
        for (uint32_t r = 0; r < replace && r < n; r++) {
            uint32_t at;
            do
                at = rng_below(rng, n);
            while (c[at] >= 0);
            c[at] = top[(size_t)at * (size_t)g->p->topk + rng_below(rng, (uint32_t)g->p->topk)];
        }
        for (uint32_t i = 0; i < n; i++)
            c[i] = c[i] < 0 ? ids[i] : c[i];
    }
}
