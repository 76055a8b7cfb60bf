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

static int norm_of(double *out, struct model *m, const struct seq *s, bool drop_last, float *grads,
                   struct arena *a, struct err *e)
{
    struct batch b;
    struct label_rows rows;
    *out = NAN;
    if (batch_pack(&b, s, 1, m->cfg.vocab, m->cfg.positions, a, e) ||
        batch_label_rows(&rows, &b, s, a, e))
        return -1;
    rows.n -= drop_last && rows.n;
    if (!rows.n)
        return 0;
    memset(grads, 0, m->table.grads * sizeof *grads);
    if (backward(m, &b, &rows, grads, a, e))
        return -1;
    *out = mean_norm(m, grads);
    return 0;
}

int gradnorm_all(double *out, struct model *m, const struct seq *seqs, int n, bool drop_last,
                 struct progress *bar, struct err *e)
{
    float *grads = mem_alloc(m->table.grads, sizeof *grads, e);
    struct arena a;
    double tokens = bar ? bar->tokens : 0;
    int rc = grads ? 0 : -1;
    arena_init(&a);
    for (int i = 0; i < n && !rc; i++) {
        arena_reset(&a);
        rc = norm_of(&out[i], m, &seqs[i], drop_last, grads, &a, e);
        tokens += seqs[i].n;
        if (bar && !rc)
            progress_step(bar, bar->done + 1, tokens, NULL);
    }
    arena_fini(&a);
    free(grads);
    return rc;
}
