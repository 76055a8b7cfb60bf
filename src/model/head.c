#include "model/head.h"

enum { BLOCK_FLOATS = 16 << 20 }; /* 64 MiB of logits */

static int block_rows(const struct model_config *c, int n)
{
    int block = BLOCK_FLOATS / c->vocab;
    return block < 16 ? 16 : block > n ? n : block;
}

size_t head_bytes(const struct model_config *c, int n_rows, bool backward)
{
    size_t per_row = (backward ? 4 : 2) * (size_t)c->width + 1; /* x, norm; dnorm, dx; rstd */
    return (per_row * (size_t)n_rows + (size_t)block_rows(c, n_rows) * (size_t)c->vocab) *
           sizeof(float);
}

int head_init(struct head *h, const struct model *m, const float *hidden,
              const struct label_rows *rows, bool backward, struct arena *a, struct err *e)
{
    int c = m->cfg.width, n = rows->n;
    size_t nc = (size_t)n * (size_t)c;
    *h = (struct head){.m = m, .rows = rows, .first = -1};
    h->block = block_rows(&m->cfg, n);
    if (!(h->x = arena_take(a, nc, sizeof(float), e)) ||
        !(h->norm = arena_take(a, nc, sizeof(float), e)) ||
        !(h->rstd = arena_take(a, (size_t)n, sizeof(float), e)) ||
        !(h->z = arena_take(a, (size_t)h->block * (size_t)m->cfg.vocab, sizeof(float), e)) ||
        (backward && !(h->dnorm = arena_take(a, nc, sizeof(float), e))))
        return -1;
    if (!n)
        return 0;
    m->ops->gather(h->x, hidden, rows->token, n, c);
    m->ops->rmsnorm(h->norm, h->rstd, h->x, model_weight(m, W_NORM_OUT, -1), n, c, m->cfg.norm_eps,
                    0);
    for (size_t i = 0; backward && i < nc; i++)
        h->dnorm[i] = 0;
    return 0;
}

float *head_logits(struct head *h, int first, int *n)
{
    int rows = h->rows->n - first < h->block ? h->rows->n - first : h->block;
    if (h->first != first) {
        int c = h->m->cfg.width;
        h->m->ops->linear(h->z, h->norm + (size_t)first * (size_t)c, model_head(h->m), rows, c,
                          h->m->cfg.vocab, 0);
        h->first = first;
        h->held = rows;
    }
    *n = h->held;
    return h->z;
}

void head_drop(struct head *h)
{
    h->first = -1;
}

void head_back(struct head *h, int first, int n, const float *dz, float *grads)
{
    const struct model *m = h->m;
    const struct weight *w = &m->table.v[model_head_index(m)];
    size_t at = (size_t)first * (size_t)m->cfg.width;
    if (grads && w->wants_grad)
        m->ops->linear_dw(grads + w->at, dz, h->norm + at, n, m->cfg.width, m->cfg.vocab);
    m->ops->linear_dx(h->dnorm + at, dz, model_head(m), n, m->cfg.width, m->cfg.vocab, 1);
}

int head_finish_back(struct head *h, float *dhidden, float *grads, struct arena *a, struct err *e)
{
    const struct model *m = h->m;
    int i = weight_index(&m->table, W_NORM_OUT, -1), n = h->rows->n, c = m->cfg.width;
    size_t nc = (size_t)n * (size_t)c;
    float *dx = arena_take(a, nc, sizeof(float), e);
    if (!dx)
        return -1;
    for (size_t k = 0; k < nc; k++)
        dx[k] = 0;
    if (!n)
        return 0;
    m->ops->rmsnorm_back(dx, grads && m->table.v[i].wants_grad ? grads + m->table.v[i].at : NULL,
                         h->dnorm, h->x, m->w[i], h->rstd, n, c, 0);
    m->ops->scatter_add(dhidden, dx, h->rows->token, n, c);
    return 0;
}

void head_logp(struct head *h, float *logp, float *lse, int *best)
{
    int n;
    for (int first = 0; first < h->rows->n; first += n) {
        const float *z = head_logits(h, first, &n);
        h->m->ops->label_logp(logp + first, lse ? lse + first : NULL, best ? best + first : NULL, z,
                              h->rows->label + first, n, h->m->cfg.vocab);
    }
}

void head_logp_back(struct head *h, const float *g, const float *lse, float *grads)
{
    int n;
    /* The last block first: it is the one that is still held. */
    for (int first = h->rows->n ? (h->rows->n - 1) / h->block * h->block : -1; first >= 0;
         first -= h->block) {
        float *z = head_logits(h, first, &n);
        head_drop(h);
        h->m->ops->label_logp_back(z, lse + first, g + first, h->rows->label + first, n,
                                   h->m->cfg.vocab);
        head_back(h, first, n, z, grads);
    }
}
