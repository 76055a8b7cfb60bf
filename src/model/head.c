#include "model/head.h"

#include <math.h>
#include <string.h>

#include "base/sizes.h"
#include "model/layer.h"

/* 64 MiB of logits, but not fewer rows. */
enum { BLOCK_FLOATS = SIZE(16 << 20, 1), LEAST_ROWS = SIZE(16, 2) };

int head_block(const struct model_config *c, int n)
{
    int block = BLOCK_FLOATS / c->vocab;
    return block < LEAST_ROWS ? LEAST_ROWS : block > n ? n : block;
}

size_t head_bytes(const struct model_config *c, int n_rows, bool backward)
{
    /* x, norm; dnorm, dx */
    size_t per_row = (backward ? 4 : 2) * (size_t)c->width + norm_floats(c, 1);
    size_t blocks = backward && c->logit_softcap > 0 ? 2 : 1;
    return (per_row * (size_t)n_rows + blocks * (size_t)head_block(c, n_rows) * (size_t)c->vocab) *
           sizeof(float);
}

int head_init(struct head *h, const struct pass *p, const struct label_rows *rows, bool backward,
              struct arena *a, struct err *e)
{
    const struct model *m = p->m;
    int c = m->cfg.width, n = rows->n;
    size_t nc = (size_t)n * (size_t)c;
    *h = (struct head){.p = p, .rows = rows, .first = -1};
    h->block = head_block(&m->cfg, n);
    size_t block = (size_t)h->block * (size_t)m->cfg.vocab;
    bool capped = backward && m->cfg.logit_softcap > 0;
    if (!(h->x = m->ops->take(a, nc, e)) || !(h->norm = m->ops->take(a, nc, e)) ||
        norm_stats_init(&h->stats, m, (size_t)n, a, e) || !(h->z = m->ops->take(a, block, e)) ||
        (capped && !(h->capped = m->ops->take(a, block, e))) ||
        (backward && !(h->dnorm = m->ops->take(a, nc, e))))
        return -1;
    if (!n)
        return 0;
    m->ops->gather(h->x, p->x, rows->token, n, c);
    norm_forward(m, W_NORM_OUT, -1, h->norm, &h->stats, h->x, nc);
    if (backward)
        m->ops->fill(h->dnorm, 0, nc);
    return 0;
}

device float *head_logits(struct head *h, int first, int *n)
{
    const struct model_config *c = &h->p->m->cfg;
    int rows = h->rows->n - first < h->block ? h->rows->n - first : h->block;
    if (h->first != first) {
        size_t count = (size_t)rows * (size_t)c->vocab;
        linear_forward(h->p, W_HEAD, -1, h->z, h->norm + (size_t)first * (size_t)c->width, rows, 0);
        if (c->logit_divisor != 1)
            h->p->m->ops->scale(h->z, 1 / c->logit_divisor, count);
        if (c->logit_softcap > 0)
            h->p->m->ops->softcap(h->z, count, c->logit_softcap);
        if (h->capped)
            h->p->m->ops->copy(h->capped, h->z, count);
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

void head_back(struct head *h, int first, int n, device float *dz, device float *grads)
{
    const struct model *m = h->p->m;
    size_t at = (size_t)first * (size_t)m->cfg.width, count = (size_t)n * (size_t)m->cfg.vocab;
    if (h->capped)
        m->ops->softcap_back(dz, h->capped, count, m->cfg.logit_softcap);
    if (m->cfg.logit_divisor != 1)
        m->ops->scale(dz, 1 / m->cfg.logit_divisor, count);
    linear_backward(h->p, W_HEAD, -1, grads, h->dnorm + at, dz, h->norm + at, n, 1);
}

int head_finish_back(struct head *h, device float *dhidden, device float *grads, struct arena *a,
                     struct err *e)
{
    const struct model *m = h->p->m;
    int n = h->rows->n, c = m->cfg.width;
    size_t nc = (size_t)n * (size_t)c;
    device float *dx = m->ops->take(a, nc, e);
    if (!dx)
        return -1;
    if (!n)
        return 0;
    m->ops->fill(dx, 0, nc);
    norm_backward(h->p, W_NORM_OUT, -1, grads, dx, h->dnorm, &h->stats, h->x, nc);
    /* Sequences that share a prefix may have rows of one token. */
    m->ops->embed_back(dhidden, dx, h->rows->token, n, c, 1);
    return 0;
}

void head_logp(struct head *h, float *logp, float *lse, int *best)
{
    int n;
    for (int first = 0; first < h->rows->n; first += n) {
        const device float *z = head_logits(h, first, &n);
        h->p->m->ops->label_logp(logp + first, lse ? lse + first : NULL, best ? best + first : NULL,
                                 z, h->rows->label + first, n, h->p->m->cfg.vocab);
    }
}

int head_draw(const float *z, int vocab, double u)
{
    float top = z[0];
    for (int v = 1; v < vocab; v++)
        top = fmaxf(top, z[v]);
    double sum = 0, at = 0;
    for (int v = 0; v < vocab; v++)
        sum += exp((double)(z[v] - top));
    for (int v = 0; v + 1 < vocab; v++)
        if ((at += exp((double)(z[v] - top))) > u * sum)
            return v;
    return vocab - 1;
}

void head_logp_back(struct head *h, const float *g, const float *lse, device float *grads)
{
    int n;
    /* The last block first: it is the one that is still held. */
    for (int first = h->rows->n ? (h->rows->n - 1) / h->block * h->block : -1; first >= 0;
         first -= h->block) {
        device float *z = head_logits(h, first, &n);
        head_drop(h);
        h->p->m->ops->label_logp_back(z, lse + first, g + first, h->rows->label + first, n,
                                      h->p->m->cfg.vocab);
        head_back(h, first, n, z, grads);
    }
}
