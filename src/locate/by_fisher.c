/* The ratio of two Fisher diagonals: how much more an element matters for the forget rows than for
 * all (arXiv 2308.07707, where the elements found are dampened). */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "locate/locators.h"
#include "locate/scores.h"

struct ratio {
    double alpha;
};

static const struct param params[] = {
    REAL_PARAM(struct ratio, alpha, 0, 1e12, 10, "without a share, ratios above are kept"),
    {0},
};

/* The mean over a role's rows of the squared gradient, owned by the caller. */
static device float *fisher_of(struct scoring *s, enum role role, enum goal goal, struct err *e)
{
    int n, *rows = scores_rows(s, role, &n, e);
    const struct ops *o = s->engine->model->ops;
    device float *f = rows ? o->alloc(s->engine->model->table.grads, e) : NULL;
    const struct data_rows all = {role, rows, n, 1};
    if (f && derivative_fisher(s->engine, GOAL_BIT(goal), &all, FISHER_EMPIRICAL, 1, 0, f, e)) {
        o->free(f);
        f = NULL;
    }
    for (int i = 0; f && i < n; i++)
        s->tokens += s->engine->sets[role]->seqs[i].n;
    free(rows);
    return f;
}

static int score(const void *params_, struct scoring *s, struct err *e)
{
    const struct ratio *p = params_;
    const double n_f = s->engine->sets[ROLE_FORGET]->n, n_r = s->engine->sets[ROLE_RETAIN]->n;
    const struct ops *o = s->engine->model->ops;
    const size_t n = s->engine->model->table.grads;
    device float *of_retain = fisher_of(s, ROLE_RETAIN, GOAL_RETAIN, e);
    device float *of_forget = of_retain ? fisher_of(s, ROLE_FORGET, GOAL_FORGET, e) : NULL;
    if (!of_forget) {
        o->free(of_retain);
        return -1;
    }
    scores_hold(s, of_forget);
    const float *retain = o->map_read(of_retain, n);
    for (size_t k = 0; k < n; k++) {
        const double f = (double)s->v[k];
        const double all = (n_f * f + n_r * (double)retain[k]) / (n_f + n_r);
        s->v[k] = all > 0 ? (float)(f / all) : -INFINITY;
    }
    s->least = (double)nextafterf((float)p->alpha, INFINITY);
    o->unmap(of_retain);
    o->free(of_retain);
    return 0;
}

const struct locator locator_fisher_ratio = {
    .name = "fisher-ratio",
    .help = "elements that matter for the forget rows more than for all",
    .paper = "arXiv 2308.07707",
    .formula = "F_f / F_D, F = mean of squared row gradients; D = forget and retain rows",
    .verified = "the authors' code (SSD), its selection index for index",
    .params = params,
    .params_size = sizeof(struct ratio),
    .unit = UNIT_ELEMENT,
    .roles = 1U << ROLE_FORGET | 1U << ROLE_RETAIN,
    .score = score,
};
