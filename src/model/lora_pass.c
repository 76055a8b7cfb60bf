/* What adapters do in a pass, and to a weight they are merged into. */
#include <string.h>

#include "model/lora.h"

/* A well-mixed 64-bit number of another (the finaliser of SplitMix64). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void lora_draw(struct lora *l, long micro)
{
    if (l)
        l->draw = micro;
}

/* to[count] = x, some of it zero, the rest larger, so that the mean stays. May run in place. `at`
 * is where x stands in the whole input of weight i. */
static void drop(const struct lora *l, int i, size_t at, float *to, const float *x, size_t count)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t key = mix(mix(l->seed + golden * (uint64_t)(l->draw + 1)) + (uint64_t)i) + golden * at;
    uint64_t limit = (uint64_t)(l->dropout * 4294967296.0);
    float keep = (float)(1 / (1 - l->dropout));
    for (size_t k = 0; k < count; k++)
        to[k] = mix(key + golden * k) >> 32 < limit ? 0 : x[k] * keep;
}

/* A block of rows of one product. */
struct block {
    const struct weight *a, *b;
    const float *wa, *wb; /* wb: from row `first` on */
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

static void block_take(struct block *b, int row, int n)
{
    b->n = n - row < LORA_ROWS ? n - row : LORA_ROWS;
    b->at = (size_t)row * (size_t)b->in;
}

/* u [n,r] = s x~ A^T; returns x~, which is x but where training drops some of it. */
static const float *project(const struct model *m, const struct block *b, const float *x)
{
    struct lora *l = m->lora;
    if (b->drops) {
        drop(l, b->i, b->at, l->x, x, (size_t)b->n * (size_t)b->in);
        x = l->x;
    }
    m->ops->linear(l->u, x, b->wa, b->n, b->in, l->rank, 0);
    m->ops->scale(l->u, l->scale, (size_t)b->n * (size_t)l->rank);
    return x;
}

void lora_forward(const struct model *m, int i, size_t first, int out, float *y, const float *x,
                  int n, bool training)
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
                       float *grads, float *dx, const float *dy, const float *x)
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
        drop(l, b->i, b->at, l->x, l->x, count);
        m->ops->add(dx, l->x, count);
    }
}

void lora_backward(const struct model *m, int i, size_t first, int out, float *grads, float *dx,
                   const float *dy, const float *x, int n, bool training)
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

const float *lora_merged(const struct model *m, int i, float *room)
{
    const struct lora *l = m->lora;
    if (!l || l->of[i] < 0)
        return m->w[i];
    const struct weight *w = &m->table.v[i];
    struct block b = block_of(m, i, 0, false);
    float *sb = room + w->count;
    memcpy(room, m->w[i], w->count * sizeof(float));
    memcpy(sb, b.wb, b.b->count * sizeof(float));
    m->ops->scale(sb, l->scale, b.b->count);
    m->ops->linear_dx(room, sb, b.wa, (int)w->shape[0], b.in, l->rank, 1);
    return room;
}
