#include "train/derivatives.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "train/mask.h"

/* The rows as the micro-batches of one step. Owned by the caller: order_fini. */
static int order_of(const struct data_rows *rows, struct order *o, struct err *e)
{
    int batch = rows->batch > 0 ? rows->batch : 1, n = (rows->n + batch - 1) / batch;
    *o = (struct order){.per_epoch = n};
    if (rows->n < 1)
        return err_set(e, "no rows to take a derivative over");
    if (!(o->micro = mem_alloc((size_t)n, sizeof *o->micro, e)))
        return -1;
    for (; o->n < n; o->n++) {
        struct micro *mb = &o->micro[o->n];
        int first = o->n * batch, left = rows->n - first, count = left < batch ? left : batch;
        if (!(mb->rows[rows->role] = mem_alloc((size_t)count, sizeof(int), e))) {
            order_fini(o);
            return -1;
        }
        memcpy(mb->rows[rows->role], rows->row + first, (size_t)count * sizeof(int));
        mb->n[rows->role] = count;
    }
    return 0;
}

/* Over all micro-batches of an order, into the engine's own gradient. */
static int run(struct engine *en, unsigned goals, const struct order *o, double *loss,
               struct err *e)
{
    double *micro = mem_alloc((size_t)o->n, sizeof *micro, e);
    struct gradient g = {.engine = en, .order = o, .micro = micro};
    int rc = micro ? engine_reserve_grads(en, e) : -1;
    if (!rc) {
        gradient_start(&g, 0, o->n, 1);
        rc = gradient_add(&g, goals, e);
    }
    *loss = 0;
    for (int i = 0; i < en->n_obj && !rc; i++)
        if (goals & GOAL_BIT(en->obj[i].goal))
            *loss += objective_weight(&en->obj[i]) * g.loss[i];
    arena_fini(&g.kept);
    free(micro);
    return rc;
}

int derivative_gradient(struct engine *en, unsigned goals, const struct data_rows *rows,
                        device float *out, double *loss, struct err *e)
{
    struct order o;
    if (order_of(rows, &o, e))
        return -1;
    int rc = run(en, goals, &o, loss, e);
    if (!rc)
        en->model->ops->copy(out, en->grads, en->model->table.grads);
    order_fini(&o);
    return rc;
}

int derivative_each(struct engine *en, unsigned goals, const struct data_rows *rows,
                    use_gradient *use, void *ctx, struct err *e)
{
    for (int i = 0; i < rows->n; i++) {
        const struct data_rows one = {rows->role, rows->row + i, 1, 1};
        struct order o;
        double loss;
        if (order_of(&one, &o, e))
            return -1;
        int rc = run(en, goals, &o, &loss, e);
        order_fini(&o);
        if (rc || use(ctx, rows->row[i], loss, en->grads, e))
            return err_prefix(e, "row %d: ", rows->row[i]);
    }
    return 0;
}

double derivative_norm(const struct model *m, const device float *v)
{
    double sum = 0;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const device float *x = m->own + w->offset;
        if (v)
            x = v + w->at;
        if (w->trainable)
            sum += m->ops->dot(x, x, w->count);
    }
    return sqrt(sum);
}

/* out = or += scale * the gradient at w + r v. */
static int gradient_at(struct engine *en, unsigned goals, const struct order *o,
                       const device float *v, double r, double scale, device float *out,
                       struct err *e)
{
    const struct model *m = en->model;
    double loss;
    weights_shift(en->model, r, v);
    if (run(en, goals, o, &loss, e))
        return -1;
    m->ops->axpy(out, (float)scale, en->grads, m->table.grads);
    return 0;
}

int derivative_hvp(struct engine *en, unsigned goals, const struct data_rows *rows,
                   const device float *v, double r, device float *out, struct err *e)
{
    struct model *m = en->model;
    double along = derivative_norm(m, v);
    struct order o;
    m->ops->fill(out, 0, m->table.grads);
    if (along == 0)
        return 0;
    r = r > 0 ? r : DERIVATIVE_STEP * derivative_norm(m, NULL);
    device float *kept = m->ops->alloc(m->table.moving, e);
    if (!kept || order_of(rows, &o, e)) {
        m->ops->free(kept);
        return -1;
    }
    weights_save(m, kept);
    int rc = gradient_at(en, goals, &o, v, r / along, along / (2 * r), out, e);
    weights_restore(m, kept);
    if (!rc)
        rc = gradient_at(en, goals, &o, v, -r / along, -along / (2 * r), out, e);
    weights_restore(m, kept);
    order_fini(&o);
    m->ops->free(kept);
    return rc;
}

struct squares {
    const struct ops *ops;
    size_t n;
    double share;
    device float *sum;
};

static int add_squares(void *ctx, int row, double loss, const device float *grad, struct err *e)
{
    const struct squares *s = ctx;
    (void)row, (void)loss, (void)e;
    s->ops->add_squares(s->sum, s->share, grad, s->n);
    return 0;
}

static int fisher_sampled(struct engine *en, unsigned goals, const struct data_rows *rows,
                          int draws, unsigned seed, struct squares *s, struct err *e)
{
    struct rng r;
    double labels = 0;
    for (int i = 0; i < rows->n; i++)
        labels += seq_labels(&en->sets[rows->role]->seqs[rows->row[i]]);
    s->share = 1 / (labels * draws);
    rng_stream(&r, seed, RNG_SAMPLE, 0);
    en->goals = goals;
    int rc = engine_reserve_grads(en, e);
    for (int i = 0; i < rows->n * draws && !rc; i++) {
        int row = rows->row[i % rows->n];
        struct micro mb = {.n = {0}};
        long tokens;
        mb.rows[rows->role] = &row;
        mb.n[rows->role] = 1;
        engine_zero_grads(en);
        if (!(rc = engine_sampled(en, &mb, 1, &r, &tokens, e))) {
            mask_gradient(en->model, en->grads);
            add_squares(s, row, 0, en->grads, e);
        }
    }
    en->goals = GOALS_METHOD;
    return rc;
}

int derivative_fisher(struct engine *en, unsigned goals, const struct data_rows *rows,
                      enum fisher kind, int draws, unsigned seed, device float *out, struct err *e)
{
    struct squares s = {
        .ops = en->model->ops, .n = en->model->table.grads, .share = 1.0 / rows->n, .sum = out};
    s.ops->fill(out, 0, s.n);
    return kind == FISHER_EMPIRICAL ? derivative_each(en, goals, rows, add_squares, &s, e)
                                    : fisher_sampled(en, goals, rows, draws, seed, &s, e);
}
