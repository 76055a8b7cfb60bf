#include "eval/gradnorm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/decoder.h"
#include "model/grad_norms.h"
#include "model/head.h"

static double mean_norm(const struct gradnorm *g)
{
    const struct weight_table *t = &g->m->table;
    double sum = 0;
    for (int i = 0; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        const float *v = g->grads + w->at;
        sum += sqrt(w->wants_grad ? g->m->ops->dot(v, v, w->count) : fmax(g->square[i], 0));
    }
    return sum / t->n;
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

/* Whether the gradients of the layers' matrices are made. */
static void want_matrices(struct model *m, bool wanted)
{
    for (int i = 0; i < m->table.n; i++) {
        struct weight *w = &m->table.v[i];
        if (w->layer >= 0 && w->n_dims == 2)
            w->wants_grad = wanted;
    }
    weight_table_place(&m->table);
}

int gradnorm_init(struct gradnorm *g, struct model *m, bool drop_last, struct err *e)
{
    *g = (struct gradnorm){.m = m, .drop_last = drop_last};
    arena_init(&g->a);
    want_matrices(m, false);
    if (!(g->grads = mem_alloc(m->table.grads, sizeof *g->grads, e)) ||
        !(g->square = mem_alloc((size_t)m->table.n, sizeof *g->square, e)))
        return -1;
    return 0;
}

int gradnorm_of(struct gradnorm *g, const struct seq *s, double *out, struct err *e)
{
    struct model *m = g->m;
    struct grad_norms norms = {.square = g->square};
    struct batch b;
    struct label_rows rows;
    arena_reset(&g->a);
    *out = NAN;
    if (batch_pack(&b, s, 1, m->cfg.vocab, m->cfg.positions, &g->a, e) ||
        batch_label_rows(&rows, &b, s, &g->a, e) ||
        !(norms.room = arena_take(&g->a, grad_norms_room(m, s->n), sizeof(float), e)))
        return -1;
    rows.n -= g->drop_last && rows.n;
    if (!rows.n)
        return 0;
    memset(g->grads, 0, m->table.grads * sizeof *g->grads);
    memset(g->square, 0, (size_t)m->table.n * sizeof *g->square);
    m->norms = &norms;
    int rc = backward(m, &b, &rows, g->grads, &g->a, e);
    m->norms = NULL;
    if (!rc)
        *out = mean_norm(g);
    return rc;
}

void gradnorm_fini(struct gradnorm *g)
{
    if (g->m)
        want_matrices(g->m, true);
    arena_fini(&g->a);
    free(g->grads);
    free(g->square);
    *g = (struct gradnorm){0};
}
