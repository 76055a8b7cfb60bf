/* Solutions of (B + lambda) x = b. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "influence/curvature.h"
#include "tensor/matrix.h"

enum { RECOMPUTE_EVERY = 10 };

/* Vectors of a solve; all owned, of table.grads floats. */
struct vectors {
    const struct ops *o;
    size_t n, grads; /* floats that may move, of all */
    device float *r, *p, *bp;
};

static int vectors_init(struct vectors *v, const struct model *m, struct err *e)
{
    *v = (struct vectors){.o = m->ops, .n = m->table.moving, .grads = m->table.grads};
    return (v->r = v->o->alloc(v->grads, e)) && (v->p = v->o->alloc(v->grads, e)) &&
                   (v->bp = v->o->alloc(v->grads, e))
               ? 0
               : -1;
}

static void vectors_fini(struct vectors *v)
{
    v->o->free(v->r);
    v->o->free(v->p);
    v->o->free(v->bp);
}

/* bp = (B + lambda) x. */
static int damped(struct vectors *v, struct curved *c, const device float *x, double lambda,
                  struct err *e)
{
    if (curvature_product(c, x, v->bp, e))
        return -1;
    v->o->axpy(v->bp, (float)lambda, x, v->n);
    return 0;
}

/* bp = (B + lambda) x - b; *norm = |bp|. */
static int recompute(struct vectors *v, struct curved *c, const device float *b,
                     const device float *x, double lambda, double *norm, struct err *e)
{
    if (damped(v, c, x, lambda, e))
        return -1;
    v->o->axpy(v->bp, -1, b, v->n);
    *norm = sqrt(v->o->dot(v->bp, v->bp, v->n));
    return 0;
}

static int refuse_negative(double curvature, const struct solve_options *o, int iteration,
                           struct err *e)
{
    return err_about(e, "lambda",
                     "negative curvature %.4g at iteration %d: the matrix has an eigenvalue below "
                     "%.4g; a lambda above %.3g is needed, or the Gauss-Newton matrix",
                     curvature, iteration, curvature - o->lambda, o->lambda - curvature);
}

/* One step of CG from r and p; *rr = r^T r before and after. */
static int cg_step(struct vectors *v, struct curved *c, device float *x, double *rr,
                   const struct solve_options *o, struct solve_report *r, struct err *e)
{
    if (damped(v, c, v->p, o->lambda, e))
        return err_prefix(e, "iteration %d: ", r->iterations + 1);
    const double pp = v->o->dot(v->p, v->p, v->n), pbp = v->o->dot(v->p, v->bp, v->n);
    const double curvature = pbp / pp;
    r->curvature = r->iterations ? fmin(r->curvature, curvature) : curvature;
    r->iterations++;
    if (!(pbp > 0))
        return refuse_negative(curvature, o, r->iterations, e);
    const double alpha = *rr / pbp;
    v->o->axpy(x, (float)alpha, v->p, v->n);
    v->o->axpy(v->r, (float)-alpha, v->bp, v->n);
    const double next = v->o->dot(v->r, v->r, v->n);
    v->o->scale(v->p, (float)(next / *rr), v->n);
    v->o->axpy(v->p, 1, v->r, v->n);
    *rr = next;
    return 0;
}

static int cg(struct vectors *v, struct curved *c, const device float *b, device float *x,
              const struct solve_options *o, struct solve_report *r, struct err *e)
{
    double rr = v->o->dot(b, b, v->n), norm = sqrt(rr);
    const double all = norm, target = o->tolerance * all;
    struct progress bar;
    bool near = false; /* its own residual was below the target once */
    int rc = 0;
    v->o->fill(x, 0, v->grads);
    v->o->copy(v->r, b, v->n);
    v->o->copy(v->p, b, v->n);
    r->converged = rr == 0;
    progress_start(&bar, "CG", o->iterations);
    while (!rc && !r->converged && r->iterations < o->iterations) {
        rc = cg_step(v, c, x, &rr, o, r, e);
        progress_step(&bar, r->iterations, 0, NULL);
        const double own = sqrt(rr);
        const bool first = own <= target && !near;
        near |= first;
        r->recursive = own / all;
        if (rc || (r->iterations % RECOMPUTE_EVERY && r->iterations < o->iterations && !first))
            continue;
        rc = recompute(v, c, b, x, o->lambda, &norm, e);
        r->residual = norm / all;
        r->converged = norm <= target;
        if (own <= 0.1 * target)
            break; /* the differences are not exact enough for more */
    }
    progress_end(&bar);
    return rc;
}

int solve_cg(struct curved *c, const device float *b, device float *x,
             const struct solve_options *o, struct solve_report *r, struct err *e)
{
    struct vectors v;
    *r = (struct solve_report){.iterations = 0};
    int rc = vectors_init(&v, c->engine->model, e) || cg(&v, c, b, x, o, r, e);
    vectors_fini(&v);
    return rc ? err_prefix(e, "conjugate gradients: ") : 0;
}

static int lissa_step(struct vectors *v, struct curved *c, int row, const device float *b,
                      const struct solve_options *o, struct err *e)
{
    if (curvature_product_row(c, row, v->p, v->bp, e))
        return -1;
    v->o->axpy(v->bp, (float)o->lambda, v->p, v->n);
    v->o->axpy(v->p, (float)(-1 / o->scale), v->bp, v->n);
    v->o->axpy(v->p, 1, b, v->n);
    return 0;
}

static int lissa(struct vectors *v, struct curved *c, const device float *b, device float *x,
                 const struct solve_options *o, struct solve_report *r, struct err *e)
{
    const double all = sqrt(v->o->dot(b, b, v->n));
    double norm = all;
    struct rng draw;
    rng_stream(&draw, o->seed, RNG_SAMPLE, 0);
    v->o->copy(v->p, b, v->n);
    for (int k = 0; k < o->iterations; k++) {
        const int row = o->order ? o->order[k] : (int)rng_below(&draw, (uint32_t)c->rows.n);
        if (lissa_step(v, c, row, b, o, e))
            return -1;
        const double next = sqrt(v->o->dot(v->p, v->p, v->n));
        if (!(next <= norm + 2 * all)) /* b alone adds |b| a step */
            return err_about(e, "lissa_scale",
                             "it grows without bound at iteration %d: scale %g is below the "
                             "largest eigenvalue of a row",
                             k + 1, o->scale);
        norm = next;
        r->iterations++;
    }
    v->o->fill(x, 0, v->grads);
    v->o->axpy(x, (float)(1 / o->scale), v->p, v->n);
    if (all > 0 && recompute(v, c, b, x, o->lambda, &norm, e))
        return -1;
    r->residual = all > 0 ? norm / all : 0;
    r->recursive = r->residual;
    r->converged = r->residual <= o->tolerance;
    return 0;
}

int solve_lissa(struct curved *c, const device float *b, device float *x,
                const struct solve_options *o, struct solve_report *r, struct err *e)
{
    struct vectors v;
    *r = (struct solve_report){.curvature = NAN};
    int rc = vectors_init(&v, c->engine->model, e) || lissa(&v, c, b, x, o, r, e);
    vectors_fini(&v);
    return rc ? err_prefix(e, "LiSSA: ") : 0;
}

void solve_diagonal(const struct model *m, const device float *d, double lambda,
                    const device float *b, device float *x)
{
    const struct ops *o = m->ops;
    const size_t n = m->table.moving;
    const float *of = o->map_read(d, n), *from = o->map_read(b, n);
    float *to = o->map(x, n);
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] == 0 ? 0 : (float)((double)from[i] / ((double)of[i] + lambda));
    o->unmap(x);
    o->unmap(b);
    o->unmap(d);
}

/* --- WoodFisher --- */

struct row_gradients {
    const struct curved *c;
    device float *v; /* owned [N, moving] */
    int n;
};

static int keep_gradient(void *ctx, int row, double loss, const device float *grad, struct err *e)
{
    struct row_gradients *g = ctx;
    const struct model *m = g->c->engine->model;
    const size_t n = m->table.moving;
    device float *to = g->v + (size_t)g->n++ * n;
    (void)loss;
    m->ops->copy(to, grad, n);
    m->ops->scale(to, (float)seq_labels(&g->c->engine->sets[g->c->rows.role]->seqs[row]), n);
    return interrupt_check(g->c->stop, e);
}

/* x = (b - G^T (N delta + G G^T)^-1 G b) / delta on elements at..at+n-1, G [N, n]. */
static int solve_block(const struct row_gradients *g, size_t at, size_t n, double delta,
                       const device float *b, device float *x, double *gram, double *y,
                       struct err *e)
{
    const struct model *m = g->c->engine->model;
    const struct ops *o = m->ops;
    const size_t row = m->table.moving, rows = (size_t)g->n;
    for (size_t i = 0; i < rows; i++) {
        const device float *gi = g->v + i * row + at;
        y[i] = o->dot(gi, b + at, n);
        for (size_t j = 0; j <= i; j++)
            gram[i * rows + j] = o->dot(gi, g->v + j * row + at, n);
        gram[i * rows + i] += delta * g->n;
    }
    if (matrix_solve(gram, g->n, y, e))
        return -1;
    o->copy(x + at, b + at, n);
    for (size_t i = 0; i < rows; i++)
        o->axpy(x + at, (float)-y[i], g->v + i * row + at, n);
    o->scale(x + at, (float)(1 / delta), n);
    return 0;
}

static int solve_blocks(const struct row_gradients *g, double delta, size_t block,
                        const device float *b, device float *x, struct err *e)
{
    const struct weight_table *t = &g->c->engine->model->table;
    double *gram = mem_alloc((size_t)g->n * (size_t)g->n, sizeof *gram, e),
           *y = gram ? mem_alloc((size_t)g->n, sizeof *y, e) : NULL;
    int rc = y ? 0 : -1;
    for (int i = 0; i < t->n && !rc; i++) {
        const struct weight *w = &t->v[i];
        const size_t most = block ? block : w->count;
        for (size_t k = 0; k < w->count && w->trainable && !rc; k += most)
            rc = solve_block(g, w->at + k, w->count - k < most ? w->count - k : most, delta, b, x,
                             gram, y, e);
    }
    free(gram);
    free(y);
    return rc;
}

int solve_woodfisher(struct curved *c, const device float *b, device float *x, double delta,
                     size_t block, double bytes, struct err *e)
{
    const struct model *m = c->engine->model;
    struct row_gradients g = {.c = c};
    const double needed = (double)c->rows.n * (double)m->table.moving * sizeof(float);
    if (needed > bytes)
        return err_about(e, "memory",
                         "the gradients of %d rows take %.3g GiB, more than the %.3g GiB allowed: "
                         "take fewer rows, or fewer weights",
                         c->rows.n, needed / (1 << 30), bytes / (1 << 30));
    m->ops->fill(x, 0, m->table.grads);
    g.v = m->ops->alloc((size_t)c->rows.n * m->table.moving, e);
    int rc = !g.v || derivative_each(c->engine, c->goals, &c->rows, keep_gradient, &g, e) ||
             solve_blocks(&g, delta, block, b, x, e);
    m->ops->free(g.v);
    return rc ? err_prefix(e, "WoodFisher: ") : 0;
}
