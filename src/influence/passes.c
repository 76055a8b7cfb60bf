#include "influence/passes.h"

int row_pass_forward(struct row_pass *p, struct model *m, const struct seq *seqs, int n, bool keep,
                     const struct linear_tap *tap, struct err *e)
{
    const struct model_config *c = &m->cfg;
    const struct forward how = {.keep = keep, .linear = tap};
    arena_reset(&p->arena);
    p->dx = NULL;
    if (batch_pack(&p->batch, seqs, n, c->vocab, c->positions, &p->arena, e) ||
        batch_label_rows(&p->rows, &p->batch, seqs, &p->arena, e) ||
        model_forward(m, &p->batch, &how, &p->pass, &p->arena, e) ||
        head_init(&p->head, &p->pass, &p->rows, keep, &p->arena, e))
        return -1;
    if (!keep)
        return 0;
    const size_t nc = (size_t)p->batch.n_tokens * (size_t)c->width;
    if (!(p->dx = m->ops->take(&p->arena, nc, e)))
        return -1;
    m->ops->fill(p->dx, 0, nc);
    return 0;
}

void row_pass_draw(struct row_pass *p, struct rng *r)
{
    const struct model *m = p->pass.m;
    const size_t vocab = (size_t)m->cfg.vocab;
    for (int first = 0, n; first < p->rows.n; first += n) {
        const device float *block = head_logits(&p->head, first, &n);
        const float *z = m->ops->map_read(block, (size_t)n * vocab);
        for (int i = 0; i < n; i++)
            p->rows.label[first + i] =
                head_draw(z + (size_t)i * vocab, m->cfg.vocab, (double)rng_float(r));
        m->ops->unmap(block);
    }
}

int row_pass_back_nll(struct row_pass *p, device float *grads, double *loss, struct err *e)
{
    const size_t n = (size_t)p->rows.n;
    float *logp = arena_zeros(&p->arena, n + 1, sizeof *logp, e),
          *lse = logp ? arena_zeros(&p->arena, n + 1, sizeof *lse, e) : NULL,
          *g = lse ? arena_zeros(&p->arena, n + 1, sizeof *g, e) : NULL;
    if (!g)
        return -1;
    head_logp(&p->head, logp, lse, NULL);
    *loss = 0;
    for (size_t i = 0; i < n; i++) {
        *loss -= (double)logp[i];
        g[i] = -1;
    }
    head_logp_back(&p->head, g, lse, grads);
    return row_pass_back(p, grads, e);
}

int row_pass_back(struct row_pass *p, device float *grads, struct err *e)
{
    return head_finish_back(&p->head, p->dx, grads, &p->arena, e) ||
           pass_backward(&p->pass, p->dx, grads, &p->arena, e);
}

void row_pass_fini(struct row_pass *p)
{
    arena_fini(&p->arena);
}
