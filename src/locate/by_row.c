/* Scores of rows: every row of a matrix (of the embedding too) and every element of a vector. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "locate/locators.h"
#include "locate/scores.h"

#define FORGET (1U << ROLE_FORGET)
#define RETAIN (1U << ROLE_RETAIN)

/* The gradient of the token mean over all rows of a role, owned by the caller. */
static device float *mean_gradient(struct scoring *s, enum role role, enum goal goal, struct err *e)
{
    int n, *rows = scores_rows(s, role, &n, e);
    const struct ops *o = s->engine->model->ops;
    device float *g = rows ? o->alloc(s->engine->model->table.grads, e) : NULL;
    const struct data_rows all = {role, rows, n, s->batch};
    double loss;
    if (g && derivative_gradient(s->engine, GOAL_BIT(goal), &all, g, &loss, e)) {
        o->free(g);
        g = NULL;
    }
    for (int i = 0; g && i < n; i++)
        s->tokens += s->engine->sets[role]->seqs[i].n;
    free(rows);
    return g;
}

/* v = the score of each row from its n elements of f and r (NULL: none). */
typedef double row_score(const struct ops *ops, const device float *f, const device float *r,
                         size_t n);

static void score_rows(struct scoring *s, row_score *fun, const device float *f,
                       const device float *r)
{
    const struct model *m = s->engine->model;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const size_t rows = (size_t)w->shape[0], n = (size_t)w->shape[1];
        for (size_t k = 0; w->trainable && k < rows; k++) {
            const size_t at = w->at + k * n;
            const double score = fun(m->ops, f + at, r ? r + at : NULL, n);
            s->v[s->first[i] + k] = isnan(score) ? -INFINITY : (float)score;
        }
    }
}

/* --- SURE (arXiv 2410.16454): its paper's mask, which its code computes and does not apply --- */

struct sure {
    double percentile;
};

static const struct param sure_params[] = {
    REAL_PARAM(struct sure, percentile, 0, 100, 90,
               "without a share, norms from this percentile on are kept"),
    {0},
};

/* numpy's percentile, with linear interpolation. */
static int percentile_of(const float *v, size_t n, double percentile, double *out, struct err *e)
{
    float *sorted = mem_alloc(n, sizeof *sorted, e);
    if (!sorted)
        return -1;
    memcpy(sorted, v, n * sizeof *sorted);
    sort_floats(sorted, n);
    const double at = percentile / 100 * (double)(n - 1);
    const size_t below = (size_t)at, above = below + (below + 1 < n);
    *out = (double)sorted[below] +
           (at - (double)below) * ((double)sorted[above] - (double)sorted[below]);
    free(sorted);
    return 0;
}

static double norm(const struct ops *ops, const device float *f, const device float *r, size_t n)
{
    (void)r;
    return sqrt(ops->dot(f, f, n));
}

static int score_sure(const void *params, struct scoring *s, struct err *e)
{
    const struct sure *p = params;
    device float *g = mean_gradient(s, ROLE_FORGET, GOAL_FORGET, e);
    if (!g)
        return -1;
    score_rows(s, norm, g, NULL);
    s->engine->model->ops->free(g);
    return percentile_of(s->v, scoring_rows(s), p->percentile, &s->least, e);
}

/* --- PCGU: in its paper the two gradients are of sentences that differ in one word --- */

/* NaN: a row without a gradient has no direction. */
static double opposed(const struct ops *ops, const device float *f, const device float *r, size_t n)
{
    return -ops->dot(f, r, n) / sqrt(ops->dot(f, f, n) * ops->dot(r, r, n));
}

static int score_pcgu(const void *params, struct scoring *s, struct err *e)
{
    const struct weight_table *t = &s->engine->model->table;
    (void)params;
    device float *r = mean_gradient(s, ROLE_RETAIN, GOAL_RETAIN, e);
    device float *f = r ? mean_gradient(s, ROLE_FORGET, GOAL_FORGET, e) : NULL;
    for (int i = 0; i < t->n; i++)
        s->skipped[i] = t->v[i].n_dims < 2; /* one number has no direction but its sign */
    if (f)
        score_rows(s, opposed, f, r);
    int rc = f ? 0 : -1;
    s->engine->model->ops->free(f);
    s->engine->model->ops->free(r);
    return rc;
}

const struct locator locator_sure = {
    .name = "sure",
    .help = "rows with the largest forget gradient",
    .paper = "arXiv 2410.16454",
    .formula = "L2 norm of the row of the gradient of the forget loss",
    .verified = "norms and rows kept in f64 by PyTorch and numpy",
    .params = sure_params,
    .params_size = sizeof(struct sure),
    .unit = UNIT_ROW,
    .roles = FORGET,
    .score = score_sure,
};

const struct locator locator_pcgu = {
    .name = "pcgu",
    .help = "rows whose forget and retain gradients are least alike (partitioned contrastive "
            "gradients)",
    .paper = "ACL Findings 2023.375",
    .formula = "-cos of the row's gradients on forget and on retain rows",
    .verified = "its formula, on the verified gradients",
    .unit = UNIT_ROW,
    .ratio = 0.1,
    .roles = FORGET | RETAIN,
    .score = score_pcgu,
};
