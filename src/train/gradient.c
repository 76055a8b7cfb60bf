#include "train/gradient.h"

#include <math.h>
#include <string.h>

#include "model/lora.h"
#include "train/weighting.h"
#include "train/mask.h"

static int check_stop(struct gradient *g, struct err *e)
{
    g->stopped = g->stop && *g->stop;
    return interrupt_check(g->stop, e);
}

void gradient_start(struct gradient *g, long step, int n, long repeats)
{
    g->step = step;
    g->first = (int)(step / repeats) * n;
    g->n = n;
    g->again = step % repeats != 0;
    if (!g->again) {
        arena_reset(&g->kept);
        g->latent = NULL;
    }
    g->seen = 0;
    g->tokens = 0;
    g->penalty = 0;
    g->passes = 0;
    memset(g->loss, 0, sizeof g->loss);
    memset(g->micro, 0, (size_t)n * sizeof *g->micro);
    engine_drop_grads(g->engine);
}

/* Records the losses of micro-batch k, unless an earlier pass has recorded the objective. */
static void note_losses(struct gradient *g, int k, const struct micro_result *res)
{
    const struct engine *en = g->engine;
    for (int i = 0; i < en->n_obj; i++) {
        const struct objective *o = &en->obj[i];
        if (!(GOAL_BIT(o->goal) & GOALS_METHOD & en->goals) || GOAL_BIT(o->goal) & g->seen)
            continue;
        g->micro[k] += objective_weight(o) * res->loss[i] * g->n;
        g->loss[i] += res->loss[i];
    }
    g->tokens += res->tokens;
}

/* A pass with frozen weights computes no gradient of them, and may come before there is room. */
static void take_mask(struct gradient *g)
{
    if (g->engine->frozen)
        return;
    engine_settle_grads(g->engine); /* if no micro-batch has rows */
    g->masked = mask_gradient(g->engine->model, g->engine->grads);
    g->passes++;
}

/* The micro-batch has rows that some objective of the pass reads. */
static bool has_rows(unsigned roles, const struct micro *mb)
{
    for (int role = 0; role < ROLE_COUNT; role++)
        if (mb->n[role] && roles & ROLE_BIT(role))
            return true;
    return false;
}

int gradient_add(struct gradient *g, unsigned goals, struct err *e)
{
    struct norm norm;
    g->engine->goals = goals;
    engine_count(g->engine, g->order, g->first, g->n, &norm);
    const unsigned roles = engine_plan(g->engine).roles;
    int rc = engine_reserve_grads(g->engine, e);
    for (int k = 0; k < g->n && !rc; k++) {
        struct micro_result res;
        if ((rc = check_stop(g, e)))
            break;
        if (!has_rows(roles, &g->order->micro[g->first + k]))
            continue;
        g->engine->latent = g->latent && g->latent[k].n ? &g->latent[k] : NULL;
        g->engine->noise = g->seed + (uint32_t)(g->first + k);
        lora_draw(g->engine->model->lora, g->step * g->n + k);
        rc = engine_micro(g->engine, &g->order->micro[g->first + k], &norm, &res, e);
        if (rc)
            break;
        note_losses(g, k, &res);
        if (!(goals & g->seen & GOALS_METHOD))
            dual_after_micro(g, k, &res);
    }
    g->engine->latent = NULL;
    g->engine->goals = GOALS_METHOD;
    g->seen |= goals;
    take_mask(g);
    return rc;
}

int gradient_add_rows(struct gradient *g, unsigned goals, struct micro *mb, double *loss,
                      struct err *e)
{
    struct order o = {.micro = mb, .n = 1, .per_epoch = 1};
    struct norm norm;
    struct micro_result res;
    g->engine->goals = goals;
    engine_count(g->engine, &o, 0, 1, &norm);
    int rc = check_stop(g, e) || engine_micro(g->engine, mb, &norm, &res, e);
    *loss = 0;
    for (int i = 0; i < g->engine->n_obj && !rc; i++)
        *loss += objective_weight(&g->engine->obj[i]) * res.loss[i];
    g->tokens += rc ? 0 : res.tokens;
    g->engine->goals = GOALS_METHOD;
    take_mask(g);
    return rc;
}

int gradient_add_sampled(struct gradient *g, double *labels, struct err *e)
{
    struct norm norm;
    struct rng r;
    g->engine->goals = GOALS_METHOD;
    engine_count(g->engine, g->order, g->first, g->n, &norm);
    *labels = 0;
    const unsigned roles = engine_plan(g->engine).roles;
    for (int role = 0; role < ROLE_COUNT; role++)
        *labels += roles & ROLE_BIT(role) ? norm.role[role].rows : 0;
    rng_stream(&r, g->seed, RNG_SAMPLE, (uint32_t)g->step);
    for (int k = 0; k < g->n; k++) {
        long tokens;
        if (check_stop(g, e) ||
            engine_sampled(g->engine, &g->order->micro[g->first + k], *labels, &r, &tokens, e))
            return -1;
        g->tokens += tokens;
    }
    take_mask(g);
    return 0;
}

double gradient_loss(const struct gradient *g)
{
    double sum = g->penalty;
    for (int k = 0; k < g->n; k++)
        sum += g->micro[k] / g->n;
    return sum;
}

static double norm_of(const struct gradient *g, bool all)
{
    const struct model *m = g->engine->model;
    double sum = 0;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const device float *v = g->engine->grads + w->at;
        if (all ? w->wants_grad : w->trainable)
            sum += m->ops->dot(v, v, w->count);
    }
    return sqrt(sum);
}

double gradient_norm(const struct gradient *g)
{
    return norm_of(g, false);
}

double gradient_norm_all(const struct gradient *g)
{
    return norm_of(g, true);
}

void gradient_mark(struct gradient *g)
{
    g->marked_tokens = g->engine->tokens;
    for (int i = 0; i < g->engine->n_obj; i++)
        g->marked_weight[i] = g->engine->obj[i].weight;
}

void gradient_undo(struct gradient *g)
{
    g->engine->tokens = g->marked_tokens;
    for (int i = 0; i < g->engine->n_obj; i++)
        g->engine->obj[i].weight = g->marked_weight[i];
}

void gradient_save(const struct gradient *g, device float *copy)
{
    const struct model *m = g->engine->model;
    m->ops->copy(copy, g->engine->grads, m->table.moving);
}

void gradient_scale(struct gradient *g, double a)
{
    const struct model *m = g->engine->model;
    m->ops->scale(g->engine->grads, (float)a, m->table.grads);
}

void gradient_axpy(struct gradient *g, double a, const device float *v)
{
    const struct model *m = g->engine->model;
    m->ops->axpy(g->engine->grads, (float)a, v, m->table.moving);
}

void weights_save(const struct model *m, device float *copy)
{
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->trainable)
            m->ops->copy(copy + w->at, m->own + w->offset, w->count);
    }
}

void weights_restore(struct model *m, const device float *copy)
{
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->trainable)
            m->ops->copy(m->own + w->offset, copy + w->at, w->count);
    }
}

void weights_put(struct model *m, const device float *copy)
{
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->trainable)
            m->ops->copy_masked(m->own + w->offset, copy + w->at, m->table.mask, w->offset,
                                w->count);
    }
}

void weights_shift(struct model *m, double a, const device float *v)
{
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->trainable)
            m->ops->axpy(m->own + w->offset, (float)a, v + w->at, w->count);
    }
}

void weights_noise(struct model *m, double sigma, struct rng *r)
{
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (!w->trainable)
            continue;
        float *x = m->ops->map(m->own + w->offset, w->count);
        for (size_t k = 0; k < w->count; k++)
            if (weight_may_move(&m->table, w->offset + k))
                x[k] += (float)(sigma * rng_normal(r));
        m->ops->unmap(m->own + w->offset);
    }
}
