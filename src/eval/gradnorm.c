#include "eval/example.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/ensemble.h"
#include "model/head.h"

/* Whether token products cost less than the gradient. */
static bool by_tokens(int n, int in, int out)
{
    return (double)n * ((double)in + out) < (double)in * out;
}

/* Size of the room for sequences of n tokens, in floats. */
static size_t room_floats(const struct model *m, int n)
{
    size_t room = 2 * (size_t)n * (size_t)n;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        bool made =
            w->layer >= 0 && w->n_dims == 2 && !by_tokens(n, (int)w->shape[1], (int)w->shape[0]);
        room = made && w->count > room ? w->count : room;
    }
    return room;
}

/* Adds |dW|^2 of the rows of a weight, which no two products of one backward share. */
static void add_square(void *ctx, const struct product *y)
{
    struct gradnorm *g = ctx;
    const struct ops *o = g->m->ops;
    double *square = &g->square[y->weight];
    if (g->m->table.v[y->weight].wants_grad)
        return;
    if (by_tokens(y->n, y->in, y->out)) {
        size_t nn = (size_t)y->n * (size_t)y->n;
        o->linear(g->room, y->dy, y->dy, y->n, y->out, y->n, 0);
        o->linear(g->room + nn, y->x, y->x, y->n, y->in, y->n, 0);
        *square += o->dot(g->room, g->room + nn, nn);
    } else {
        size_t count = (size_t)y->in * (size_t)y->out;
        o->linear_dw(g->room, y->dy, y->x, y->n, y->in, y->out, 0);
        *square += o->dot(g->room, g->room, count);
    }
}

static double mean_norm(const struct gradnorm *g)
{
    const struct weight_table *t = &g->m->table;
    double sum = 0;
    for (int i = 0; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        const device float *v = g->grads + w->at;
        sum += sqrt(w->wants_grad ? g->m->ops->dot(v, v, w->count) : fmax(g->square[i], 0));
    }
    return sum / t->n;
}

/* Adds the gradient of the mean loss over `rows` to grads. */
static int backward(struct gradnorm *ctx, const struct batch *b, const struct label_rows *rows,
                    struct err *e)
{
    struct model *m = ctx->m;
    struct arena *a = &ctx->a;
    const struct linear_tap tap = {.backward = add_square, .ctx = ctx};
    const struct forward how = {.keep = true, .linear = &tap};
    struct pass p;
    struct head h;
    float *logp, *lse, *g;
    device float *dx;
    size_t n = (size_t)rows->n, floats = (size_t)b->n_tokens * (size_t)m->cfg.width;
    if (model_forward(m, b, &how, &p, a, e) || head_init(&h, &p, rows, true, a, e) ||
        !(logp = arena_take(a, n, sizeof(float), e)) ||
        !(lse = arena_take(a, n, sizeof(float), e)) || !(g = arena_take(a, n, sizeof(float), e)) ||
        !(dx = m->ops->take(a, floats, e)))
        return -1;
    head_logp(&h, logp, lse, NULL);
    for (size_t i = 0; i < n; i++)
        g[i] = -1 / (float)n;
    m->ops->fill(dx, 0, floats);
    head_logp_back(&h, g, lse, ctx->grads);
    if (head_finish_back(&h, dx, ctx->grads, a, e))
        return -1;
    return pass_backward(&p, dx, ctx->grads, a, e);
}

/* Whether the gradients of the layers' matrices are computed. */
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
    if (ensemble_refuse(m, "a gradient", e) || !(g->grads = m->ops->alloc(m->table.grads, e)) ||
        !(g->square = mem_alloc((size_t)m->table.n, sizeof *g->square, e)))
        return -1;
    return 0;
}

int gradnorm_of(struct gradnorm *g, const struct seq *s, double *out, struct err *e)
{
    struct model *m = g->m;
    struct batch b;
    struct label_rows rows;
    arena_reset(&g->a);
    *out = NAN;
    if (batch_pack(&b, s, 1, m->cfg.vocab, m->cfg.positions, &g->a, e) ||
        batch_label_rows(&rows, &b, s, &g->a, e) ||
        !(g->room = m->ops->take(&g->a, room_floats(m, s->n), e)))
        return -1;
    rows.n -= g->drop_last && rows.n;
    if (!rows.n)
        return 0;
    m->ops->fill(g->grads, 0, m->table.grads);
    memset(g->square, 0, (size_t)m->table.n * sizeof *g->square);
    if (backward(g, &b, &rows, e))
        return -1;
    *out = mean_norm(g);
    return 0;
}

void gradnorm_fini(struct gradnorm *g)
{
    if (g->m) {
        want_matrices(g->m, true);
        g->m->ops->free(g->grads);
    }
    arena_fini(&g->a);
    free(g->square);
    *g = (struct gradnorm){0};
}
