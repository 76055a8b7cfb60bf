/* Second-order removal: the Newton step on the retained loss, and the influence step, which are the
 * same where the gradient of all data is 0 (arXiv 1703.04730, 1911.03030). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "influence/curvature.h"
#include "influence/kfac.h"
#include "influence/updates.h"

enum matrix { GAUSS_NEWTON, HESSIAN, DIAGONAL, WOODFISHER, KFAC, EKFAC };

static const char matrices[] = "gn|hessian|diagonal|woodfisher|kfac|ekfac";

struct newton {
    const char *curvature, *solver, *modules;
    double lambda, tolerance, lissa_scale, step_scale, difference, memory;
    int64_t iterations, fisher_draws, block_size, curvature_batch;
    bool data_labels;
};

static const struct param params[] = {
    CHOICE_PARAM(struct newton, curvature, matrices, "gn",
                 "B: the Gauss-Newton matrix, the Hessian (by differences of gradients; indefinite "
                 "away from a minimum), the diagonal of the Fisher matrix, WoodFisher (by blocks, "
                 "needs a gradient a row), Kronecker factors of the linear maps"),
    CHOICE_PARAM(struct newton, solver, "cg|lissa", "cg",
                 "of gn and hessian: conjugate gradients; LiSSA, by single rows"),
    REAL_PARAM(
        struct newton, lambda, 0, 1e12, 0,
        "damping, larger: a shorter step; 0: a tenth of the curvature along the gradient, or "
        "of the mean eigenvalue where B is a diagonal or factors, and a step that is "
        "shortened where it would leave the quadratic model"),
    REAL_PARAM(struct newton, tolerance, 1e-6, 1, 1e-3,
               "of the relative residual, which is recomputed"),
    INT_PARAM(struct newton, iterations, 1, 1000000, 50, "of the solver, at most"),
    REAL_PARAM(struct newton, lissa_scale, 0, 1e12, 0,
               "above the largest eigenvalue of every row; 0: 1.5 times that of the first 8 rows"),
    REAL_PARAM(struct newton, step_scale, 0, 1e6, 1, "factor of the step"),
    REAL_PARAM(struct newton, difference, 0, 10, 0,
               "length of the step of differences; 0: a small part of the weights' length"),
    INT_PARAM(struct newton, curvature_batch, 1, 16, 4, "rows in one pass of a product"),
    INT_PARAM(struct newton, fisher_draws, 1, 10000, 4,
              "of labels, for the diagonal of the Fisher matrix"),
    INT_PARAM(struct newton, block_size, 0, 1 << 30, 0,
              "elements of a block of WoodFisher; 0: a block is a tensor"),
    REAL_PARAM(struct newton, memory, 0.001, 1e6, 3,
               "GiB that Kronecker factors or the gradients of WoodFisher may take"),
    STRING_PARAM(struct newton, modules, NULL, "REGEX",
                 "weights that have Kronecker factors: the whole name must match (default: all "
                 "linear maps of the layers)"),
    BOOL_PARAM(struct newton, data_labels, false,
               "Kronecker factors of the data's labels (empirical Fisher), not of drawn ones"),
    {0},
};

/* A step that is being made. */
struct newton_step {
    const struct newton *p;
    struct update_job *j;
    struct data_rows retain;
    device float *b, *x; /* owned [table.grads] */
    double lambda;
    bool by_rows; /* B is a mean over rows of sums over tokens, not over tokens */
};

static const struct ops *ops_of(const struct newton_step *s)
{
    return s->j->engine->model->ops;
}

static size_t moving(const struct newton_step *s)
{
    return s->j->engine->model->table.moving;
}

/* --- the matrices --- */

static struct curved curved_of(const struct newton_step *s, enum curvature kind)
{
    return (struct curved){.engine = s->j->engine,
                           .goals = GOAL_BIT(GOAL_RETAIN),
                           .rows = s->retain,
                           .kind = kind,
                           .step = s->p->difference,
                           .stop = s->j->stop};
}

/* lambda: a tenth of b^T B b / b^T b, unless it is given. */
static int choose_lambda(struct newton_step *s, struct curved *c, struct err *e)
{
    const double bb = ops_of(s)->dot(s->b, s->b, moving(s));
    s->lambda = s->p->lambda;
    if (s->lambda > 0 || bb == 0)
        return 0;
    if (curvature_product(c, s->b, s->x, e))
        return -1;
    s->lambda = 0.1 * ops_of(s)->dot(s->b, s->x, moving(s)) / bb;
    return s->lambda > 0 ? 0
                         : err_about(e, "lambda",
                                     "the curvature along the gradient is %.4g, not positive: "
                                     "give a damping, or take the Gauss-Newton matrix",
                                     10 * s->lambda);
}

static int choose_scale(const struct newton_step *s, struct curved *c, double *scale, struct err *e)
{
    *scale = s->p->lissa_scale;
    for (int i = 0; i < c->rows.n && i < 8 && s->p->lissa_scale <= 0; i++) {
        double largest;
        if (curvature_largest(c, i, s->b, 6, &largest, e))
            return -1;
        *scale = fmax(*scale, 1.5 * largest + s->lambda);
    }
    return 0;
}

static int solve_by_products(struct newton_step *s, enum curvature kind, struct err *e)
{
    struct curved c = curved_of(s, kind);
    struct solve_options o = {
        .tolerance = s->p->tolerance, .iterations = (int)s->p->iterations, .seed = s->j->seed};
    struct solve_report r;
    const bool lissa = !strcmp(s->p->solver, "lissa");
    if (choose_lambda(s, &c, e))
        return -1;
    o.lambda = s->lambda;
    if ((lissa && choose_scale(s, &c, &o.scale, e)) ||
        (lissa ? solve_lissa : solve_cg)(&c, s->b, s->x, &o, &r, e))
        return -1;
    update_note(s->j, "iterations", r.iterations);
    update_note(s->j, "residual", r.residual);
    update_note(s->j, "own_residual", r.recursive);
    update_note(s->j, "smallest_curvature", r.curvature);
    json_object_set_new(s->j->report, "converged", json_boolean(r.converged));
    if (!r.converged)
        log_warn("%s did not converge: after %d iterations the residual is %.3g, not %.3g; more "
                 "iterations, or a larger lambda than %.3g, would help",
                 s->p->solver, r.iterations, r.residual, o.tolerance, o.lambda);
    return 0;
}

static int solve_gauss_newton(struct newton_step *s, struct err *e)
{
    return solve_by_products(s, CURVATURE_GAUSS_NEWTON, e);
}

static int solve_hessian(struct newton_step *s, struct err *e)
{
    return solve_by_products(s, CURVATURE_HESSIAN, e);
}

static int solve_by_diagonal(struct newton_step *s, struct err *e)
{
    const struct model *m = s->j->engine->model;
    const struct data_rows rows = {s->retain.role, s->retain.row, s->retain.n, 1};
    device float *f = m->ops->alloc(m->table.grads, e);
    if (!f || derivative_fisher(s->j->engine, GOAL_BIT(GOAL_RETAIN), &rows, FISHER_SAMPLED,
                                (int)s->p->fisher_draws, s->j->seed, f, e)) {
        m->ops->free(f);
        return -1;
    }
    double sum = 0;
    const float *v = m->ops->map_read(f, moving(s));
    for (size_t i = 0; i < moving(s); i++)
        sum += (double)v[i];
    m->ops->unmap(f);
    s->lambda = s->p->lambda > 0 ? s->p->lambda : 0.1 * sum / (double)moving(s);
    int rc = s->lambda > 0 && isfinite(s->lambda)
                 ? 0
                 : err_code(e, ERR_NOT_FINITE, "the mean of the Fisher diagonal is %g", sum);
    if (!rc)
        solve_diagonal(m, f, s->lambda, s->b, s->x);
    m->ops->free(f);
    return rc;
}

static int solve_by_woodfisher(struct newton_step *s, struct err *e)
{
    struct curved c = curved_of(s, CURVATURE_GAUSS_NEWTON);
    struct curved probe = c;
    s->by_rows = true;
    /* By rows the matrix is about n_R / N_R times that of tokens. */
    if (choose_lambda(s, &probe, e))
        return -1;
    if (s->p->lambda <= 0)
        s->lambda *= (double)s->j->engine->sets[ROLE_RETAIN]->n_labels / s->retain.n;
    return solve_woodfisher(&c, s->b, s->x, s->lambda, (size_t)s->p->block_size,
                            s->p->memory * (1 << 30), e);
}

static int solve_factors(struct newton_step *s, enum strategy strategy, struct err *e)
{
    const struct dataset *d = s->j->engine->sets[ROLE_RETAIN];
    const struct fisher_labels labels = {.drawn = !s->p->data_labels, .seed = s->j->seed};
    const double damping = s->p->lambda > 0 ? s->p->lambda : -1;
    struct kfac k;
    s->by_rows = strategy == STRATEGY_EKFAC;
    int rc = kfac_init(&k, s->j->engine->model, strategy, s->p->modules, d->seqs, e) ||
             kfac_plan(&k, s->p->memory * (1 << 30), 0, e);
    k.stop = s->j->stop;
    for (int i = 0; i < k.n_blocks && !rc; i++) {
        kfac_choose(&k, i);
        rc = kfac_fit(&k, d->seqs, d->n, &labels, NULL, NULL, e) ||
             kfac_solve_flat(&k, damping, s->b, s->x, e);
        s->lambda = kfac_damping(&k, k.lo, damping);
    }
    s->j->engine->tokens.trained[ROLE_RETAIN] += (strategy + 0.0) * (double)k.tokens;
    kfac_fini(&k);
    return rc;
}

static int solve_kfac(struct newton_step *s, struct err *e)
{
    return solve_factors(s, STRATEGY_KFAC, e);
}

static int solve_ekfac(struct newton_step *s, struct err *e)
{
    return solve_factors(s, STRATEGY_EKFAC, e);
}

static int (*const solvers[])(struct newton_step *s, struct err *e) = {
    [GAUSS_NEWTON] = solve_gauss_newton, [HESSIAN] = solve_hessian, [DIAGONAL] = solve_by_diagonal,
    [WOODFISHER] = solve_by_woodfisher,  [KFAC] = solve_kfac,       [EKFAC] = solve_ekfac,
};

/* --- the steps --- */

static int gradient_norm_of(struct newton_step *s, int role, unsigned goal, device float *out,
                            const char *name, double *norm, struct err *e)
{
    struct data_rows rows;
    double loss;
    if (update_rows(s->j, role, (int)s->p->curvature_batch, &rows, e))
        return -1;
    int rc = derivative_gradient(s->j->engine, goal, &rows, out, &loss, e);
    free((int *)rows.row);
    if (rc)
        return -1;
    *norm = sqrt(ops_of(s)->dot(out, out, moving(s)));
    update_note(s->j, name, *norm);
    return isfinite(*norm) ? 0 : err_code(e, ERR_NOT_FINITE, "the %s is not finite", name);
}

/* b = the gradient that is solved for; both norms are noted. */
static int gradients(struct newton_step *s, bool of_forget, struct err *e)
{
    double forget, retain;
    device float *other = of_forget ? s->x : s->b, *own = of_forget ? s->b : s->x;
    if (gradient_norm_of(s, ROLE_RETAIN, GOAL_BIT(GOAL_RETAIN), other, "retain_gradient", &retain,
                         e) ||
        gradient_norm_of(s, ROLE_FORGET, GOAL_BIT(GOAL_FORGET), own, "forget_gradient", &forget, e))
        return -1;
    if (retain > 0.1 * forget)
        log_warn("the gradient of the retain rows (%.3g) is not small against that of the forget "
                 "rows (%.3g): the model is not at a minimum of the training loss, where one step "
                 "stands for retraining",
                 retain, forget);
    return 0;
}

/* Factor of (B + lambda)^-1 of a mean gradient over tokens. */
static double factor_of(const struct newton_step *s, bool of_forget)
{
    const struct dataset *f = s->j->engine->sets[ROLE_FORGET], *r = s->j->engine->sets[ROLE_RETAIN];
    const double over = s->by_rows ? r->n : r->n_labels;
    return (of_forget ? f->n_labels : -(double)r->n_labels) / over;
}

/* The NLL of a uniform guess. */
static double most_change(const struct newton_step *s)
{
    return log((double)s->j->engine->model->cfg.vocab);
}

/* How much of the step is taken where lambda was not given. A diagonal and factors leave out most
 * of the matrix, so that their step may go far beyond the minimum of the quadratic model along its
 * own direction, b^T x / x^T G x of it; and a first-order change of the loss by more than that of a
 * uniform guess, ln V, is none. s->b is overwritten. */
static int choose_length(struct newton_step *s, double a, double *length, struct err *e)
{
    const double bx = ops_of(s)->dot(s->b, s->x, moving(s));
    const int k = param_choice(matrices, s->p->curvature);
    *length = 1;
    if (k != GAUSS_NEWTON && k != HESSIAN && bx > 0) {
        struct curved c = curved_of(s, CURVATURE_GAUSS_NEWTON);
        if (curvature_product(&c, s->x, s->b, e))
            return -1;
        const double xgx =
            ops_of(s)->dot(s->b, s->x, moving(s)) *
            (s->by_rows ? (double)s->j->engine->sets[ROLE_RETAIN]->n_labels / s->retain.n : 1);
        *length = xgx > bx ? bx / xgx : 1;
    }
    if (fabs(a * bx) * *length > most_change(s))
        *length = most_change(s) / fabs(a * bx);
    if (*length < 1)
        log_note("the step is shortened to %.3g of its length, where the loss is still that of a "
                 "quadratic; a given lambda takes it in full",
                 *length);
    return 0;
}

static int solve_and_add(struct newton_step *s, bool of_forget, struct err *e)
{
    const int k = param_choice(matrices, s->p->curvature);
    ops_of(s)->fill(s->x, 0, s->j->engine->model->table.grads);
    json_object_set_new(s->j->report, "curvature", json_string(s->p->curvature));
    if (solvers[k](s, e))
        return err_prefix(e, "curvature '%s': ", s->p->curvature);
    double a = factor_of(s, of_forget) * s->p->step_scale, length = 1;
    const double first = a * ops_of(s)->dot(s->b, s->x, moving(s));
    if (s->p->lambda <= 0 && choose_length(s, a, &length, e))
        return -1;
    if (fabs(first) * length > 1.01 * most_change(s))
        log_warn("to first order the step changes the loss by %.3g nats a token, more than a "
                 "uniform guess has: raise lambda, %.3g, or lower step_scale",
                 first, s->lambda);
    a *= length;
    update_note(s->j, "lambda", s->lambda);
    update_note(s->j, "step_length", length);
    update_note(s->j, "first_order", first * length);
    return update_add(s->j, a, s->x, e);
}

static int make_step(const void *params_, struct update_job *j, bool of_forget, struct err *e)
{
    struct newton_step s = {.p = params_, .j = j};
    const struct model *m = j->engine->model;
    int rc = update_rows(j, ROLE_RETAIN, (int)s.p->curvature_batch, &s.retain, e);
    if (!rc &&
        (!(s.b = m->ops->alloc(m->table.grads, e)) || !(s.x = m->ops->alloc(m->table.grads, e))))
        rc = -1;
    rc = rc || gradients(&s, of_forget, e) || solve_and_add(&s, of_forget, e);
    m->ops->free(s.b);
    m->ops->free(s.x);
    free((int *)s.retain.row);
    return rc;
}

static int apply_newton(const void *params_, struct update_job *j, struct err *e)
{
    return make_step(params_, j, false, e);
}

static int apply_influence(const void *params_, struct update_job *j, struct err *e)
{
    return make_step(params_, j, true, e);
}

const struct update update_newton = {
    .name = "newton",
    .help = "a Newton step on the loss of the retain rows",
    .formula = "w - s (B + lambda)^-1 grad L_R",
    .further = "lower lambda or raise step_scale",
    .shorter = "raise lambda or lower step_scale",
    .params = params,
    .params_size = sizeof(struct newton),
    .apply = apply_newton,
};

const struct update update_influence = {
    .name = "influence",
    .help = "the change of the weights that removing the forget rows makes, to first order",
    .formula = "w + s (n_F / n_R) (B + lambda)^-1 grad L_F",
    .further = "lower lambda or raise step_scale",
    .shorter = "raise lambda or lower step_scale",
    .params = params,
    .params_size = sizeof(struct newton),
    .apply = apply_influence,
};
