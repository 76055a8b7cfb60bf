#include "model/score.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/ensemble.h"
#include "model/head.h"
#include "model/label_batches.h"

/* The labels, and room for what will be said of them. */
static int pools_init(struct scores *out, const struct seq *seqs, int n, bool distribution,
                      struct err *e)
{
    size_t labels = 0, each = distribution ? 3 : 1;
    if (!(out->v = mem_alloc((size_t)n, sizeof *out->v, e)))
        return -1;
    for (int i = 0; i < n; i++)
        labels += (size_t)(out->v[i].n = seq_labels(&seqs[i]));
    if (!(out->floats = mem_alloc(labels * each, sizeof(float), e)) ||
        !(out->ints = mem_alloc(labels * (each < 3 ? 2 : 3), sizeof(int), e)))
        return -1;
    out->n = n;
    for (size_t i = 0, at = 0; i < (size_t)n; at += (size_t)out->v[i++].n) {
        struct score *s = &out->v[i];
        s->logp = out->floats + at;
        s->label = out->ints + at;
        s->best = out->ints + labels + at;
        s->mean = distribution ? out->floats + labels + at : NULL;
        s->variance = distribution ? out->floats + 2 * labels + at : NULL;
        s->rank = distribution ? out->ints + 2 * labels + at : NULL;
        for (int t = 1, k = 0; k < s->n; t++)
            if (seqs[i].labels[t] != LABEL_NONE)
                s->label[k++] = seqs[i].labels[t];
    }
    return 0;
}

/* What the head says of each row. */
struct said {
    float *logp, *lse, *mean, *variance;
    int *best, *rank;
};

/* The next block of logits, of an ensemble's n heads those of the mean probabilities. */
static device float *logits(struct head *h, int n, int first, int *rows)
{
    device float *z = head_logits(h, first, rows);
    const struct model *m = h->p->m;
    if (m->rule) {
        device float *all[ENSEMBLE_RULE_MOST + 1];
        for (int k = 0; k < n; k++)
            all[k] = k ? head_logits(&h[k], first, rows) : z;
        ensemble_apply(m->ops, m->rule, all, n, *rows, m->cfg.vocab);
        return z;
    }
    for (int k = 0; k < n && n > 1; k++)
        ensemble_join(m->ops, z, head_logits(&h[k], first, rows), k, n, *rows, m->cfg.vocab);
    return z;
}

/* Which label a row of logits predicts: that after the first n tokens of a sequence. */
struct label_at {
    int index, n;
};

/* Of every row, where no two sequences share one. */
static struct label_at *find_rows(const struct label_batch *b, struct arena *a, struct err *e)
{
    struct label_at *at = arena_take(a, (size_t)b->rows.n + 1, sizeof *at, e);
    const int *row = b->row;
    for (int i = 0; at && i < b->n; i++)
        for (int t = 1; t <= b->items[i].seq.n; t++)
            if (b->items[i].seq.labels[t] != LABEL_NONE)
                at[*row++] = (struct label_at){b->items[i].index, t};
    return at;
}

static int change_logits(const struct score_options *how, const struct label_at *at,
                         device float *z, int rows, int vocab, const struct ops *o, struct err *e)
{
    float *to = o->map(z, (size_t)rows * (size_t)vocab);
    int rc = 0;
    for (int r = 0; r < rows && !rc; r++)
        rc = how->logits(how->logits_ctx, at[r].index, at[r].n, to + (size_t)r * (size_t)vocab, e);
    o->unmap(z);
    return rc ? -1 : 0;
}

/* h [heads]: of the members of an ensemble, or one. */
static int ask_head(struct said *s, struct head *h, int heads, const struct label_at *at,
                    const struct score_options *how, struct arena *a, struct err *e)
{
    const bool distribution = how->distribution;
    size_t n = (size_t)h->rows->n + 1;
    *s = (struct said){0};
    if (!(s->logp = arena_take(a, n, sizeof(float), e)) ||
        !(s->best = arena_take(a, n, sizeof(int), e)) ||
        !(s->lse = arena_take(a, n, sizeof(float), e)))
        return -1;
    if (distribution && (!(s->mean = arena_take(a, n, sizeof(float), e)) ||
                         !(s->variance = arena_take(a, n, sizeof(float), e)) ||
                         !(s->rank = arena_take(a, n, sizeof(int), e))))
        return -1;
    const struct ops *o = h->p->m->ops;
    int v = h->p->m->cfg.vocab, rows;
    for (int r = 0; r < h->rows->n; r += rows) {
        device float *z = logits(h, heads, r, &rows);
        if (how->logits && change_logits(how, &at[r], z, rows, v, o, e))
            return -1;
        const int *label = h->rows->label + r;
        o->label_logp(s->logp + r, s->lse + r, s->best + r, z, label, rows, v);
        if (distribution)
            o->label_spread(s->mean + r, s->variance + r, s->rank + r, z, s->lse + r, label, rows,
                            v);
    }
    return 0;
}

static void take(struct score *s, const struct said *said, const int *row)
{
    for (int k = 0; k < s->n; k++) {
        int r = row[k];
        s->logp[k] = said->logp[r];
        s->best[k] = said->best[r];
        if (s->rank) {
            s->mean[k] = said->mean[r];
            s->variance[k] = said->variance[r];
            s->rank[k] = said->rank[r];
        }
    }
}

static int compute(struct scores *out, struct model *m, const struct label_batch *b,
                   const struct score_options *o, struct arena *a, struct err *e)
{
    const int n = 1 + m->n_others;
    struct head *h = arena_take(a, (size_t)n, sizeof *h, e);
    struct pass *p = arena_take(a, (size_t)n, sizeof *p, e);
    struct said said;
    const struct label_at *at = o->logits ? find_rows(b, a, e) : NULL;
    if (!h || !p || (o->logits && !at))
        return -1;
    for (int k = 0; k < n; k++)
        if (label_batch_forward(k ? &m->others[k - 1] : m, b, k ? NULL : o->taps, &p[k], a, e) ||
            head_init(&h[k], &p[k], &b->rows, false, a, e))
            return -1;
    if (ask_head(&said, h, n, at, o, a, e))
        return -1;
    const int *row = b->row;
    for (int i = 0; i < b->n; i++) {
        struct score *s = &out->v[b->items[i].index];
        take(s, &said, row);
        row += s->n;
    }
    return 0;
}

/* The scores of one batch, computed and handed on, or recalled. */
static int score_batch(struct scores *out, struct model *m, const struct label_batch *b,
                       const struct score_options *o, bool *recalled, struct arena *a,
                       struct err *e)
{
    const struct batch_store *store = o->store;
    *recalled = store && store->recall(store->ctx, out, b);
    if (!*recalled && (interrupt_check(o->interrupt, e) || compute(out, m, b, o, a, e) ||
                       (store && store->keep(store->ctx, out, b, e))))
        return -1;
    for (int i = 0; i < b->n; i++) {
        struct score *s = &out->v[b->items[i].index];
        s->nll = 0;
        for (int k = 0; k < s->n; k++)
            s->nll -= (double)s->logp[k];
    }
    return 0;
}

int model_score(struct scores *out, struct model *m, const struct seq *seqs, int n,
                const struct score_options *o, struct progress *bar, struct err *e)
{
    static const struct score_options defaults = {0};
    struct label_batches batches;
    struct label_batch b;
    struct arena a;
    bool recalled;
    o = o ? o : &defaults;
    *out = (struct scores){0};
    if (m->guard && !o->unguarded)
        return m->guard->score(m->guard->ctx, out, m, seqs, n, o, bar, e);
    arena_init(&a);
    int rc = label_batches_init(&batches, seqs, n, o->tokens, e) ||
                     pools_init(out, seqs, n, o->distribution, e)
                 ? -1
                 : 0;
    batches.apart = o->taps || o->logits;
    long done = bar ? bar->done + n - batches.n : 0;
    double seen = bar ? bar->tokens : 0;
    while (!rc && batches.next < batches.n) {
        if ((rc = label_batches_take(&batches, &b, &m->cfg, &a, e)) ||
            (rc = score_batch(out, m, &b, o, &recalled, &a, e)))
            break;
        for (int i = 0; i < b.n && !recalled; i++)
            seen += seqs[b.items[i].index].n;
        if (bar && recalled)
            progress_skip(bar, done + batches.next);
        else if (bar)
            progress_step(bar, done + batches.next, seen, NULL);
    }
    arena_fini(&a);
    label_batches_fini(&batches);
    if (rc)
        scores_fini(out);
    return rc;
}

void scores_fini(struct scores *s)
{
    free(s->v);
    free(s->floats);
    free(s->ints);
    *s = (struct scores){0};
}

/* --- two models --- */

/* KL(p || q) in nats of two rows of logits [vocab], in f64: sum p (zp - zq) - (lse p - lse q). */
static double logits_kl(const float *zp, const float *zq, int vocab)
{
    double top_p = (double)zp[0], top_q = (double)zq[0];
    for (int v = 1; v < vocab; v++) {
        top_p = fmax(top_p, (double)zp[v]);
        top_q = fmax(top_q, (double)zq[v]);
    }
    double sum_p = 0, sum_q = 0, apart = 0;
    for (int v = 0; v < vocab; v++) {
        double p = exp((double)zp[v] - top_p);
        sum_p += p;
        sum_q += exp((double)zq[v] - top_q);
        apart += p * ((double)zp[v] - (double)zq[v]);
    }
    return apart / sum_p - (top_p - top_q) - log(sum_p / sum_q);
}

/* What is said of each row of a batch. */
struct both_said {
    double *kl;
    float *logp[2]; /* of the model, of the other */
    int *best[2];
};

static int both_init(struct both_said *s, int rows, struct arena *a, struct err *e)
{
    size_t n = (size_t)rows + 1;
    if (!(s->kl = arena_take(a, n, sizeof *s->kl, e)))
        return -1;
    for (int k = 0; k < 2; k++)
        if (!(s->logp[k] = arena_take(a, n, sizeof(float), e)) ||
            !(s->best[k] = arena_take(a, n, sizeof(int), e)))
            return -1;
    return 0;
}

static void ask_both(struct both_said *s, struct head *h)
{
    const struct label_rows *all = h[0].rows;
    int vocab = h[0].p->m->cfg.vocab, rows;
    for (int first = 0; first < all->n; first += rows) {
        const struct ops *o = h[0].p->m->ops;
        const device float *row[2];
        const float *z[2];
        for (int k = 0; k < 2; k++) {
            row[k] = head_logits(&h[k], first, &rows);
            o->label_logp(s->logp[k] + first, NULL, s->best[k] + first, row[k], all->label + first,
                          rows, vocab);
            z[k] = o->map_read(row[k], (size_t)rows * (size_t)vocab);
        }
#pragma omp parallel for schedule(static)
        for (int r = 0; r < rows; r++) {
            size_t at = (size_t)r * (size_t)vocab;
            s->kl[first + r] = logits_kl(z[1] + at, z[0] + at, vocab);
        }
        for (int k = 0; k < 2; k++)
            o->unmap(row[k]);
    }
}

static void add_rows(struct divergence *d, const struct both_said *s, const int *row)
{
    for (int k = 0; k < d->n; k++) {
        int r = row[k];
        d->nll -= (double)s->logp[0][r];
        d->other_nll -= (double)s->logp[1][r];
        d->kl += s->kl[r];
        d->agree += s->best[0][r] == s->best[1][r];
    }
}

static int run_batch(struct divergence *out, struct model *const *m, const struct label_batch *b,
                     struct arena *a, struct err *e)
{
    struct head h[2];
    struct both_said said;
    struct pass p[2];
    for (int k = 0; k < 2; k++)
        if (label_batch_forward(m[k], b, NULL, &p[k], a, e) ||
            head_init(&h[k], &p[k], &b->rows, false, a, e))
            return -1;
    if (both_init(&said, b->rows.n, a, e))
        return -1;
    ask_both(&said, h);
    const int *row = b->row;
    for (int i = 0; i < b->n; i++) {
        struct divergence *d = &out[b->items[i].index];
        add_rows(d, &said, row);
        row += d->n;
    }
    return 0;
}

static int compare_batch(struct divergence *out, struct model *const *m,
                         const struct label_batch *b, const struct divergence_options *o,
                         bool *recalled, struct arena *a, struct err *e)
{
    const struct batch_store *store = o->store;
    *recalled = store && store->recall(store->ctx, out, b);
    if (*recalled)
        return 0;
    if (interrupt_check(o->interrupt, e) || run_batch(out, m, b, a, e))
        return -1;
    return store ? store->keep(store->ctx, out, b, e) : 0;
}

int model_divergence(struct divergence *out, struct model *m, struct model *other,
                     const struct seq *seqs, int n, const struct divergence_options *o,
                     struct progress *bar, struct err *e)
{
    static const struct divergence_options defaults = {0};
    struct model *const both[] = {m, other};
    struct model_config c = m->cfg; /* sequences must fit both */
    struct label_batches batches;
    struct arena a;
    if (m->cfg.vocab != other->cfg.vocab)
        return err_set(e, "one model has %d tokens, the other %d: they must share one tokenizer",
                       m->cfg.vocab, other->cfg.vocab);
    if (other->cfg.positions < c.positions)
        c.positions = other->cfg.positions;
    for (int i = 0; i < n; i++)
        out[i] = (struct divergence){.n = seq_labels(&seqs[i])};
    if (ensemble_refuse(m, "a comparison", e) || ensemble_refuse(other, "a comparison", e))
        return -1;
    arena_init(&a);
    int rc = label_batches_init(&batches, seqs, n, 0, e);
    o = o ? o : &defaults;
    while (!rc && batches.next < batches.n) {
        struct label_batch b;
        bool recalled = false;
        if (!(rc = label_batches_take(&batches, &b, &c, &a, e)))
            rc = compare_batch(out, both, &b, o, &recalled, &a, e);
        if (!rc && bar)
            (recalled ? progress_skip(bar, batches.next)
                      : progress_step(bar, batches.next, 0, NULL));
    }
    arena_fini(&a);
    label_batches_fini(&batches);
    return rc;
}
