/* Scores of elements by the part of the forget gradient that is orthogonal to retain gradients:
 * what a step along it would change least for the retain rows, to first order. g_f and g_r are
 * gradients of the token mean over all rows of their role, or over one of several batches of retain
 * rows:
 *
 *   whole     g_f - (<g_f,g_r> / <g_r,g_r>) g_r
 *   tensor    the same for each tensor
 *   subspace  g_f - Q Q^T g_f, Q an orthonormal basis of the gradients of the batches
 *
 * Memory: g_f and one vector of the weights' size for each batch. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "locate/locators.h"
#include "locate/scores.h"

struct projection {
    const char *project;
    int64_t batches;
};

static const char kinds[] = "whole|tensor|subspace";

static const struct param params[] = {
    CHOICE_PARAM(struct projection, project, kinds, "subspace",
                 "off the mean retain gradient, as a whole or tensor by tensor, or off the span of "
                 "those of batches"),
    INT_PARAM(struct projection, batches, 1, 10000, 8,
              "of subspace: equal batches of all retain rows, whose gradients are stored"),
    {0},
};

/* x -= (<x,b> / <b,b>) b, of n numbers; nothing where b is zero. */
static void take_off(const struct ops *o, device float *x, const device float *b, size_t n)
{
    const double square = o->dot(b, b, n);
    if (square > 0)
        o->axpy(x, (float)(-o->dot(x, b, n) / square), b, n);
}

/* The basis vectors are orthogonal, not of length 1. Twice, since the first time rounds. */
static void take_off_all(const struct ops *o, device float *x, device float *const *basis, int k,
                         size_t n)
{
    for (int again = 0; again < 2; again++)
        for (int i = 0; i < k; i++)
            take_off(o, x, basis[i], n);
}

/* basis [k]: gradients of equal batches of the rows, each less what the earlier ones span. */
static int make_basis(struct scoring *s, int *rows, int n, device float **basis, int k,
                      struct err *e)
{
    const struct model *m = s->engine->model;
    struct progress bar;
    int rc = 0;
    progress_start(&bar, "retain", k);
    for (int i = 0; i < k && !rc; i++) {
        const int from = (int)((long)n * i / k), to = (int)((long)n * (i + 1) / k);
        const struct data_rows some = {ROLE_RETAIN, rows + from, to - from, s->batch};
        double loss;
        rc = !(basis[i] = m->ops->alloc(m->table.grads, e)) || interrupt_check(s->stop, e) ||
             derivative_gradient(s->engine, GOAL_BIT(GOAL_RETAIN), &some, basis[i], &loss, e);
        if (!rc)
            take_off_all(m->ops, basis[i], basis, i, m->table.grads);
        progress_step(&bar, i + 1, 0, NULL);
    }
    progress_end(&bar);
    return rc;
}

static void project(const struct model *m, device float *f, device float *const *basis, int k,
                    bool by_tensor)
{
    if (!by_tensor)
        take_off_all(m->ops, f, basis, k, m->table.grads);
    for (int i = 0; by_tensor && i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->wants_grad)
            take_off(m->ops, f + w->at, basis[0] + w->at, w->count);
    }
}

/* v = g_f less its part along retain gradients. */
static int project_forget(struct scoring *s, const struct projection *p, struct err *e)
{
    const struct model *m = s->engine->model;
    const int kind = param_choice(kinds, p->project);
    int n_f, n_r, *forget = scores_rows(s, ROLE_FORGET, &n_f, e),
                  *retain = forget ? scores_rows(s, ROLE_RETAIN, &n_r, e) : NULL;
    int k = kind < 2 ? 1 : p->batches < (retain ? n_r : 0) ? (int)p->batches : (retain ? n_r : 0);
    device float **basis = retain ? mem_alloc((size_t)k, sizeof *basis, e) : NULL;
    device float *f = basis ? m->ops->alloc(m->table.grads, e) : NULL;
    const struct data_rows all = {ROLE_FORGET, forget, n_f, s->batch};
    double loss;
    int rc = !f || make_basis(s, retain, n_r, basis, k, e) ||
             derivative_gradient(s->engine, GOAL_BIT(GOAL_FORGET), &all, f, &loss, e);
    if (!rc) {
        project(m, f, basis, k, kind == 1);
        scores_hold(s, f);
    } else if (f) {
        m->ops->free(f);
    }
    for (int i = 0; basis && i < k; i++)
        m->ops->free(basis[i]);
    free(basis);
    free(forget);
    free(retain);
    return rc ? -1 : 0;
}

static int score(const void *params_, struct scoring *s, struct err *e)
{
    if (project_forget(s, params_, e))
        return -1;
    for (size_t k = 0; k < s->engine->model->table.grads; k++)
        s->v[k] = fabsf(s->v[k]);
    return 0;
}

const struct locator locator_projection = {
    .name = "projection",
    .help = "largest forget gradients, orthogonal to the retain gradients",
    .formula = "|g_f - Q Q^T g_f|, Q a basis of retain gradients",
    .verified = "projections in f64 by PyTorch: whole, by tensor, subspace",
    .params = params,
    .params_size = sizeof(struct projection),
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .roles = 1U << ROLE_FORGET | 1U << ROLE_RETAIN,
    .score = score,
};
