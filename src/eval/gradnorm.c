#include "eval/gradnorm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/decoder.h"
#include "model/head.h"

static double mean_norm(const struct model *m, const float *grads)
{
    double sum = 0;
    for (int i = 0; i < m->table.n; i++) {
        const float *g = grads + m->table.v[i].at;
        sum += sqrt(m->ops->dot(g, g, m->table.v[i].count));
    }
    return sum / m->table.n;
}

/* Adds the gradient of the mean loss over `rows` to grads. */
static int backward(struct model *m, const struct batch *b, const struct label_rows *rows,
                    float *grads, struct arena *a, struct err *e)
{
    struct pass p;
    struct head h;
    float *logp, *lse, *g, *dx;
    size_t n = (size_t)rows->n, floats = (size_t)b->n_tokens * (size_t)m->cfg.width;
    if (decoder_forward(m, b, m->cfg.layers, true, &p, a, e) ||
        head_init(&h, m, p.x, rows, true, a, e) || !(logp = arena_take(a, n, sizeof(float), e)) ||
        !(lse = arena_take(a, n, sizeof(float), e)) || !(g = arena_take(a, n, sizeof(float), e)) ||
        !(dx = arena_take(a, floats, sizeof(float), e)))
        return -1;
    head_logp(&h, logp, lse, NULL);
    for (size_t i = 0; i < n; i++)
        g[i] = -1 / (float)n;
    memset(dx, 0, floats * sizeof(float));
    head_logp_back(&h, g, lse, grads);
    if (head_finish_back(&h, dx, grads, a, e))
        return -1;
    return decoder_backward(m, &p, dx, NULL, grads, a, e);
}

int gradnorm_init(struct gradnorm *g, struct model *m, bool drop_last, struct err *e)
{
    *g = (struct gradnorm){.m = m, .drop_last = drop_last};
    arena_init(&g->a);
    g->grads = mem_alloc(m->table.grads, sizeof *g->grads, e);
    return g->grads ? 0 : -1;
}

int gradnorm_of(struct gradnorm *g, const struct seq *s, double *out, struct err *e)
{
    const struct model *m = g->m;
    struct batch b;
    struct label_rows rows;
    arena_reset(&g->a);
    *out = NAN;
    if (batch_pack(&b, s, 1, m->cfg.vocab, m->cfg.positions, &g->a, e) ||
        batch_label_rows(&rows, &b, s, &g->a, e))
        return -1;
    rows.n -= g->drop_last && rows.n;
    if (!rows.n)
        return 0;
    memset(g->grads, 0, m->table.grads * sizeof *g->grads);
    if (backward(g->m, &b, &rows, g->grads, &g->a, e))
        return -1;
    *out = mean_norm(m, g->grads);
    return 0;
}

void gradnorm_fini(struct gradnorm *g)
{
    arena_fini(&g->a);
    free(g->grads);
    *g = (struct gradnorm){0};
}
