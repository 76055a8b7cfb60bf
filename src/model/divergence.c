#include "model/divergence.h"

#include <math.h>

#include "model/head.h"
#include "model/label_batches.h"

/* KL(p || q) of the softmaxes of two rows of logits: sum p (zp - zq) - (lse p - lse q). */
static double row_kl(const float *zp, const float *zq, int vocab)
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
struct said {
    double *kl;
    float *logp[2]; /* of the model, of the other */
    int *best[2];
};

static int said_init(struct said *s, int rows, struct arena *a, struct err *e)
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

static void ask_heads(struct said *s, struct head *h)
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
            s->kl[first + r] = row_kl(z[1] + at, z[0] + at, vocab);
        }
        for (int k = 0; k < 2; k++)
            o->unmap(row[k]);
    }
}

static void keep(struct divergence *d, const struct said *s, const int *row)
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
    struct said said;
    struct pass p[2];
    for (int k = 0; k < 2; k++)
        if (label_batch_forward(m[k], b, &p[k], a, e) ||
            head_init(&h[k], &p[k], &b->rows, false, a, e))
            return -1;
    if (said_init(&said, b->rows.n, a, e))
        return -1;
    ask_heads(&said, h);
    const int *row = b->row;
    for (int i = 0; i < b->n; i++) {
        struct divergence *d = &out[b->items[i].index];
        keep(d, &said, row);
        row += d->n;
    }
    return 0;
}

static int do_batch(struct divergence *out, struct model *const *m, const struct label_batch *b,
                    const struct divergence_options *o, bool *recalled, struct arena *a,
                    struct err *e)
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
    arena_init(&a);
    int rc = label_batches_init(&batches, seqs, n, 0, e);
    o = o ? o : &defaults;
    while (!rc && batches.next < batches.n) {
        struct label_batch b;
        bool recalled = false;
        if (!(rc = label_batches_take(&batches, &b, &c, &a, e)))
            rc = do_batch(out, both, &b, o, &recalled, &a, e);
        if (!rc && bar)
            (recalled ? progress_skip(bar, batches.next)
                      : progress_step(bar, batches.next, 0, NULL));
    }
    arena_fini(&a);
    label_batches_fini(&batches);
    return rc;
}
