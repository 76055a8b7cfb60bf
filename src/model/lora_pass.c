/* What adapters do in a pass, and to a weight they are merged into. */
#include "base/rng.h"
#include "model/lora.h"

void lora_draw(struct lora *l, long micro)
{
    if (l)
        l->draw = micro;
}

/* A block of rows of one product. */
struct block {
    const struct weight *a, *b;
    const device float *wa, *wb; /* wb: from row `first` on */
    int i, n, in;
    size_t at;  /* of x in its whole */
    bool drops; /* dropout */
};

static struct block block_of(const struct model *m, int i, size_t first, bool training)
{
    int k = m->lora->of[i];
    const struct weight *a = &m->table.v[k];
    return (struct block){.a = a,
                          .b = a + 1,
                          .wa = m->w[k],
                          .wb = m->w[k + 1] + first * (size_t)m->lora->rank,
                          .i = i,
                          .in = (int)a->shape[1],
                          .drops = training && m->lora->dropout > 0};
}

/* to [n,in] = the rows of x that are the block's, with dropout. */
static void drop(const struct model *m, const struct block *b, device float *to,
                 const device float *x)
{
    const struct lora *l = m->lora;
    const uint64_t micro = rng_at(l->seed, (uint64_t)(l->draw + 1));
    const struct dropout d = {l->dropout, rng_at(micro + (uint64_t)b->i, 0), b->at};
    m->ops->dropout(to, x, (size_t)b->n * (size_t)b->in, &d);
}

static void block_take(struct block *b, int row, int n)
{
    b->n = n - row < LORA_ROWS ? n - row : LORA_ROWS;
    b->at = (size_t)row * (size_t)b->in;
}

/* u [n,r] = s x~ A^T; returns x~, which is x but where training drops some of it. */
static const device float *project(const struct model *m, const struct block *b,
                                   const device float *x)
{
    struct lora *l = m->lora;
    if (b->drops) {
        drop(m, b, l->x, x);
        x = l->x;
    }
    m->ops->linear(l->u, x, b->wa, b->n, b->in, l->rank, 0);
    m->ops->scale(l->u, l->scale, (size_t)b->n * (size_t)l->rank);
    return x;
}

void lora_forward(const struct model *m, int i, size_t first, int out, device float *y,
                  const device float *x, int n, bool training)
{
    const struct lora *l = m->lora;
    if (!l || l->of[i] < 0)
        return;
    struct block b = block_of(m, i, first, training);
    for (int row = 0; row < n; row += b.n) {
        block_take(&b, row, n);
        project(m, &b, x + b.at);
        m->ops->linear(y + (size_t)row * (size_t)out, l->u, b.wb, b.n, l->rank, out, 1);
    }
}

static void block_back(const struct model *m, const struct block *b, size_t first, int out,
                       device float *grads, device float *dx, const device float *dy,
                       const device float *x)
{
    const struct lora *l = m->lora;
    size_t count = (size_t)b->n * (size_t)b->in;
    x = project(m, b, x);
    if (grads && b->b->wants_grad)
        m->ops->linear_dw(grads + b->b->at + first * (size_t)l->rank, dy, l->u, b->n, l->rank, out);
    m->ops->linear_dx(l->du, dy, b->wb, b->n, l->rank, out, 0);
    m->ops->scale(l->du, l->scale, (size_t)b->n * (size_t)l->rank);
    if (grads && b->a->wants_grad)
        m->ops->linear_dw(grads + b->a->at, l->du, x, b->n, b->in, l->rank);
    if (!dx)
        return;
    m->ops->linear_dx(b->drops ? l->x : dx, l->du, b->wa, b->n, b->in, l->rank, !b->drops);
    if (b->drops) {
        drop(m, b, l->x, l->x);
        m->ops->add(dx, l->x, count);
    }
}

void lora_backward(const struct model *m, int i, size_t first, int out, device float *grads,
                   device float *dx, const device float *dy, const device float *x, int n,
                   bool training)
{
    if (!m->lora || m->lora->of[i] < 0)
        return;
    struct block b = block_of(m, i, first, training);
    for (int row = 0; row < n; row += b.n) {
        block_take(&b, row, n);
        block_back(m, &b, first, out, grads, dx ? dx + b.at : NULL, dy + (size_t)row * (size_t)out,
                   x + b.at);
    }
}

size_t lora_room(const struct model *m)
{
    size_t most = 0;
    for (int i = 0; m->lora && i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        size_t n = w->count + (size_t)w->shape[0] * (size_t)m->lora->rank;
        most = m->lora->of[i] >= 0 && n > most ? n : most;
    }
    return most;
}

const device float *lora_merged(const struct model *m, int i, device float *room)
{
    const struct lora *l = m->lora;
    if (!l || l->of[i] < 0)
        return m->w[i];
    const struct weight *w = &m->table.v[i];
    struct block b = block_of(m, i, 0, false);
    device float *sb = room + w->count;
    m->ops->copy(room, m->w[i], w->count);
    m->ops->copy(sb, b.wb, b.b->count);
    m->ops->scale(sb, l->scale, b.b->count);
    m->ops->linear_dx(room, sb, b.wa, (int)w->shape[0], b.in, l->rank, 1);
    return room;
}
