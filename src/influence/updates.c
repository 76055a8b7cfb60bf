/* The table of one-step methods, what they share, and those by the diagonal of the Fisher matrix.
 */
#include "influence/updates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "train/derivatives.h"

const struct update *const updates[] = {&update_newton,       &update_influence,      &update_ssd,
                                        &update_fisher_noise, &update_curvature_edit, NULL};

void update_note(struct update_job *j, const char *name, double value)
{
    json_object_set_new(j->report, name, isfinite(value) ? json_real(value) : json_null());
}

int update_rows(const struct update_job *j, int role, int batch, struct data_rows *rows,
                struct err *e)
{
    const struct dataset *d = j->engine->sets[role];
    *rows = (struct data_rows){.role = (enum role)role, .batch = batch};
    if (!d || !d->n)
        return err_about(e, role_name[role], "the update needs %s data", role_name[role]);
    int *row = mem_alloc((size_t)d->n, sizeof *row, e);
    for (int i = 0; row && i < d->n; i++)
        row[i] = i;
    rows->row = row;
    rows->n = d->n;
    return row ? 0 : -1;
}

/* |w - before| and |w|. */
static void note_step(struct update_job *j, const device float *before)
{
    const struct model *m = j->engine->model;
    double step = 0, all = 0;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (!w->trainable)
            continue;
        const float *now = m->ops->map_read(m->own + w->offset, w->count),
                    *then = m->ops->map_read(before + w->at, w->count);
        for (size_t k = 0; k < w->count; k++) {
            const double d = (double)now[k] - (double)then[k];
            step += d * d;
            all += (double)then[k] * (double)then[k];
        }
        m->ops->unmap(before + w->at);
        m->ops->unmap(m->own + w->offset);
    }
    update_note(j, "step_norm", sqrt(step));
    update_note(j, "weight_norm", sqrt(all));
}

int update_add(struct update_job *j, double a, const device float *x, struct err *e)
{
    struct model *m = j->engine->model;
    if (!m->ops->all_finite(x, m->table.moving))
        return err_code(e, ERR_NOT_FINITE, "the step is not finite");
    device float *to = m->ops->alloc(m->table.moving, e), *before;
    if (!to || !(before = m->ops->alloc(m->table.moving, e))) {
        m->ops->free(to);
        return -1;
    }
    weights_save(m, before);
    m->ops->copy(to, before, m->table.moving);
    m->ops->axpy(to, (float)a, x, m->table.moving);
    weights_put(m, to);
    note_step(j, before);
    m->ops->free(to);
    m->ops->free(before);
    return 0;
}

device float *update_fisher(struct update_job *j, int role, struct err *e)
{
    const struct model *m = j->engine->model;
    struct data_rows rows;
    const unsigned goal = GOAL_BIT(role == ROLE_FORGET ? GOAL_FORGET : GOAL_RETAIN);
    if (update_rows(j, role, 1, &rows, e))
        return NULL;
    device float *f = m->ops->alloc(m->table.grads, e);
    int rc = !f || derivative_fisher(j->engine, goal, &rows, FISHER_EMPIRICAL, 1, 0, f, e);
    free((int *)rows.row);
    if (!rc && !m->ops->all_finite(f, m->table.moving))
        rc = err_code(e, ERR_NOT_FINITE, "the Fisher diagonal of the %s rows is not finite",
                      role_name[role]);
    if (!rc)
        return f;
    m->ops->free(f);
    return NULL;
}

/* Every trainable weight through `change`, with the same elements of two vectors (b may be NULL).
 */
typedef float change_weight(void *ctx, float w, float a, float b);

static int change_all(struct update_job *j, const device float *a, const device float *b,
                      change_weight *change, void *ctx, struct err *e)
{
    struct model *m = j->engine->model;
    device float *before = m->ops->alloc(m->table.moving, e);
    if (!before)
        return -1;
    weights_save(m, before);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (!w->trainable)
            continue;
        const float *va = m->ops->map_read(a + w->at, w->count);
        const float *vb = b ? m->ops->map_read(b + w->at, w->count) : va;
        float *x = m->ops->map(m->own + w->offset, w->count);
        for (size_t k = 0; k < w->count; k++)
            if (weight_may_move(&m->table, w->offset + k))
                x[k] = change(ctx, x[k], va[k], vb[k]);
        m->ops->unmap(m->own + w->offset);
        if (b)
            m->ops->unmap(b + w->at);
        m->ops->unmap(a + w->at);
    }
    note_step(j, before);
    m->ops->free(before);
    return 0;
}

/* --- selective synaptic dampening --- */

struct ssd {
    double ssd_alpha, ssd_lambda;
};

static const struct param ssd_params[] = {
    REAL_PARAM(struct ssd, ssd_alpha, 0, 1e12, 10,
               "elements are dampened where the forget rows' mean squared gradient is that many "
               "times the one of all rows"),
    REAL_PARAM(struct ssd, ssd_lambda, 0, 1e12, 1, "how far: lower dampens more"),
    {0},
};

struct dampening {
    const struct ssd *p;
    double n_f, n_r;
    double selected, dampened;
};

static float dampen(void *ctx, float w, float of_forget, float of_retain)
{
    struct dampening *d = ctx;
    const double f = (double)of_forget,
                 all = (d->n_f * f + d->n_r * (double)of_retain) / (d->n_f + d->n_r);
    if (!(f > d->p->ssd_alpha * all))
        return w;
    const double by = d->p->ssd_lambda * all / f;
    d->selected++;
    d->dampened += by < 1;
    return by < 1 ? (float)((double)w * by) : w;
}

static int apply_ssd(const void *params, struct update_job *j, struct err *e)
{
    struct dampening d = {.p = params};
    const struct ops *o = j->engine->model->ops;
    device float *f = update_fisher(j, ROLE_FORGET, e),
                 *r = f ? update_fisher(j, ROLE_RETAIN, e) : NULL;
    int rc = r ? 0 : -1;
    if (!rc) {
        d.n_f = j->engine->sets[ROLE_FORGET]->n;
        d.n_r = j->engine->sets[ROLE_RETAIN]->n;
        if (d.p->ssd_alpha >= (d.n_f + d.n_r) / d.n_f)
            rc = err_about(e, "ssd_alpha",
                           "no element can be selected: with %g forget rows of %g the ratio is at "
                           "most %.4g, and it must be above %g",
                           d.n_f, d.n_f + d.n_r, (d.n_f + d.n_r) / d.n_f, d.p->ssd_alpha);
    }
    if (!rc && !(rc = change_all(j, f, r, dampen, &d, e))) {
        update_note(j, "selected", d.selected);
        update_note(j, "dampened", d.dampened);
        log_note("SSD: %.0f elements selected, %.0f dampened", d.selected, d.dampened);
        if (!d.selected)
            log_warn("no element was selected: the result is the model itself; lower ssd_alpha");
    }
    o->free(f);
    o->free(r);
    return rc;
}

const struct update update_ssd = {
    .name = "ssd",
    .help = "elements that matter for the forget rows more than for all become smaller",
    .formula = "w min(1, ssd_lambda F_D / F_f) where F_f > ssd_alpha F_D, F = mean over rows of "
               "squared gradients; D = forget and retain rows",
    .further = "lower ssd_alpha or ssd_lambda",
    .shorter = "raise ssd_alpha or ssd_lambda",
    .params = ssd_params,
    .params_size = sizeof(struct ssd),
    .apply = apply_ssd,
};

/* --- Fisher forgetting --- */

struct fisher_noise {
    double fisher_noise, fisher_floor;
};

static const struct param noise_params[] = {
    REAL_PARAM(struct fisher_noise, fisher_noise, 0, 1e6, 1e-3,
               "standard deviation of the noise where F is its mean"),
    REAL_PARAM(struct fisher_noise, fisher_floor, 1e-12, 1e6, 1e-2,
               "added to F / mean F, so that the noise is bounded where F is 0"),
    {0},
};

struct noising {
    const struct fisher_noise *p;
    double mean;
    struct rng r;
};

static float add_noise(void *ctx, float w, float f, float unused)
{
    struct noising *n = ctx;
    (void)unused;
    const double sd = n->p->fisher_noise * pow((double)f / n->mean + n->p->fisher_floor, -0.25);
    return (float)((double)w + sd * rng_normal(&n->r));
}

static int apply_noise(const void *params, struct update_job *j, struct err *e)
{
    struct noising n = {.p = params};
    const struct model *m = j->engine->model;
    device float *f = update_fisher(j, ROLE_RETAIN, e);
    if (!f)
        return -1;
    const float *v = m->ops->map_read(f, m->table.moving);
    for (size_t i = 0; i < m->table.moving; i++)
        n.mean += (double)v[i] / (double)m->table.moving;
    m->ops->unmap(f);
    rng_stream(&n.r, j->seed, RNG_NOISE, 0);
    int rc = n.mean > 0 ? change_all(j, f, NULL, add_noise, &n, e)
                        : err_set(e, "the Fisher diagonal of the retain rows is 0");
    m->ops->free(f);
    return rc;
}

const struct update update_fisher_noise = {
    .name = "fisher_noise",
    .help = "noise where the retain rows do not hold the weights",
    .formula = "w + fisher_noise (F / mean F + fisher_floor)^(-1/4) N(0, 1), F = mean over retain "
               "rows of squared gradients",
    .further = "raise fisher_noise",
    .shorter = "lower fisher_noise or raise fisher_floor",
    .params = noise_params,
    .params_size = sizeof(struct fisher_noise),
    .apply = apply_noise,
};
