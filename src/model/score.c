#include "model/score.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/decoder.h"
#include "model/head.h"

enum { DEFAULT_TOKENS = 1024 };

static int count_labels(const struct seq *s)
{
    int n = 0;
    for (int t = 1; s->labels && t < s->n; t++)
        n += s->labels[t] != LABEL_NONE;
    return n;
}

static int pools_init(struct scores *out, const struct seq *seqs, int n, struct err *e)
{
    size_t labels = 0;
    if (!(out->v = mem_alloc((size_t)n, sizeof *out->v, e)))
        return -1;
    for (int i = 0; i < n; i++)
        labels += (size_t)(out->v[i].n = count_labels(&seqs[i]));
    if (!(out->logp = mem_alloc(labels, sizeof(float), e)) ||
        !(out->best = mem_alloc(labels, sizeof(int), e)))
        return -1;
    out->n = n;
    for (size_t i = 0, at = 0; i < (size_t)n; at += (size_t)out->v[i++].n) {
        out->v[i].logp = out->logp + at;
        out->v[i].best = out->best + at;
    }
    return 0;
}

/* One packed batch: results go to the places of the sequences in `pick`. */
static int score_batch(struct scores *out, struct model *m, const struct seq *seqs, const int *pick,
                       int n, struct arena *a, struct err *e)
{
    struct batch b;
    struct label_rows rows;
    struct pass p;
    struct head h;
    float *logp;
    int *best;
    struct seq *mine = arena_take(a, (size_t)n, sizeof *mine, e);
    if (!mine)
        return -1;
    for (int i = 0; i < n; i++)
        mine[i] = seqs[pick[i]];
    if (batch_pack(&b, mine, n, m->cfg.vocab, m->cfg.positions, a, e) ||
        batch_label_rows(&rows, &b, mine, a, e) ||
        decoder_forward(m, &b, m->cfg.layers, false, &p, a, e) ||
        head_init(&h, m, p.x, &rows, false, a, e) ||
        !(logp = arena_take(a, (size_t)rows.n + 1, sizeof(float), e)) ||
        !(best = arena_take(a, (size_t)rows.n + 1, sizeof(int), e)))
        return -1;
    head_logp(&h, logp, NULL, best);
    for (int i = 0, r = 0; i < n; i++) {
        struct score *s = &out->v[pick[i]];
        memcpy(s->logp, logp + r, (size_t)s->n * sizeof(float));
        memcpy(s->best, best + r, (size_t)s->n * sizeof(int));
        r += s->n;
        s->nll = 0;
        for (int k = 0; k < s->n; k++)
            s->nll -= (double)s->logp[k];
    }
    return 0;
}

struct by_length {
    int n, index;
};

static int longer_first(const void *a, const void *b)
{
    const struct by_length *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : x->index - y->index;
}

static int *sort_by_length(const struct seq *seqs, int n, struct err *e)
{
    struct by_length *l = mem_alloc((size_t)n, sizeof *l, e);
    int *order = l ? mem_alloc((size_t)n, sizeof *order, e) : NULL;
    if (order) {
        for (int i = 0; i < n; i++)
            l[i] = (struct by_length){seqs[i].n, i};
        qsort(l, (size_t)n, sizeof *l, longer_first);
        for (int i = 0; i < n; i++)
            order[i] = l[i].index;
    }
    free(l);
    return order;
}

int model_score(struct scores *out, struct model *m, const struct seq *seqs, int n, int tokens,
                struct progress *bar, struct err *e)
{
    *out = (struct scores){0};
    int *order = sort_by_length(seqs, n, e), rc = -1;
    struct arena a;
    arena_init(&a);
    if (!order || pools_init(out, seqs, n, e))
        goto fail;
    long done = bar ? bar->done : 0;
    double seen = bar ? bar->tokens : 0;
    if (tokens <= 0)
        tokens = DEFAULT_TOKENS;
    for (int i = 0, j; i < n; i = j) {
        int sum = seqs[order[i]].n;
        for (j = i + 1; j < n && sum + seqs[order[j]].n <= tokens; j++)
            sum += seqs[order[j]].n;
        arena_reset(&a);
        if (score_batch(out, m, seqs, order + i, j - i, &a, e))
            goto fail;
        seen += sum;
        if (bar)
            progress_step(bar, done + j, seen, NULL);
    }
    rc = 0;
fail:
    arena_fini(&a);
    free(order);
    if (rc)
        scores_fini(out);
    return rc;
}

void scores_fini(struct scores *s)
{
    free(s->v);
    free(s->logp);
    free(s->best);
    *s = (struct scores){0};
}
