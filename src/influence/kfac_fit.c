/* Factors of the linear maps, and their eigenvectors. */
#include "influence/walk.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "tensor/matrix.h"

/* A += sum x x^T, S += sum s s^T, the lower triangles. */
static void add_covariances(struct walk *w, int i, const struct product *y)
{
    const struct ops *o = w->k->m->ops;
    const struct kfac_map *at = &w->k->maps[i];
    if (at->input == i)
        o->gram(at->a, y->x, y->n, y->in);
    o->gram(at->s, y->dy, y->n, y->out);
}

/* Lambda += (Q_S^T G Q_A)^2 of each row. */
static void add_lambda(struct walk *w, int i, const struct product *y)
{
    struct outer g;
    if (walk_outer(w, i, y, true, &g))
        w->k->m->ops->outer_squares(w->k->maps[i].lambda, &g);
}

static int find_basis(const struct kfac *k, device float *a, int n, double *value, const char *what,
                      const char *name, struct err *e)
{
    float *host = k->m->ops->map(a, kfac_square(n));
    int rc = matrix_eigen(host, n, value, e);
    k->m->ops->unmap(a);
    return rc ? err_prefix(e, "factor %s of '%s': ", what, name) : 0;
}

static int find_bases(struct kfac *k, struct err *e)
{
    struct progress bar;
    int rc = 0;
    progress_start(&bar, "eigenvectors", k->hi - k->lo);
    for (int i = k->lo; i < k->hi && !rc; i++) {
        struct kfac_map *at = &k->maps[i];
        rc = interrupt_check(k->stop, e) ||
             (at->input == i && find_basis(k, at->a, at->in, at->ea, "A", at->name, e)) ||
             find_basis(k, at->s, at->out, at->es, "S", at->name, e);
        if (!rc && at->input != i)
            memcpy(at->ea, k->maps[at->input].ea, (size_t)at->in * sizeof *at->ea);
        progress_step(&bar, i - k->lo + 1, 0, NULL);
    }
    progress_end(&bar);
    return rc;
}

void kfac_multiply(const struct kfac *k, int i)
{
    const struct kfac_map *at = &k->maps[i];
    float *v = k->m->ops->map(at->lambda, kfac_area(at));
    for (int r = 0; r < at->out; r++)
        for (int c = 0; c < at->in; c++)
            v[(size_t)r * (size_t)at->in + (size_t)c] =
                (float)(fmax(0, at->es[r]) * fmax(0, at->ea[c]));
    k->m->ops->unmap(at->lambda);
}

int kfac_mean(struct kfac *k, struct err *e)
{
    for (int i = k->lo; i < k->hi && k->strategy != STRATEGY_IDENTITY; i++) {
        struct kfac_map *at = &k->maps[i];
        const float *v = k->m->ops->map_read(at->lambda, kfac_area(at));
        double sum = 0;
        for (size_t c = 0; c < kfac_area(at); c++)
            sum += (double)v[c];
        k->m->ops->unmap(at->lambda);
        at->mean = sum / (double)kfac_area(at);
        if (!isfinite(sum))
            return err_code(e, ERR_NOT_FINITE, "the curvature of '%s' is not finite", at->name);
    }
    return 0;
}

/* The sum of a lower triangle becomes the mean over tokens. */
static void complete(const struct kfac *k, device float *a, int n)
{
    matrix_mirror(k->m->ops->map(a, kfac_square(n)), n, 1 / (double)k->tokens);
    k->m->ops->unmap(a);
}

static int fit_bases(struct kfac *k, const struct seq *rows, int n,
                     const struct fisher_labels *labels, kfac_keep *keep, void *ctx, struct err *e)
{
    struct walk w = {.k = k, .see = add_covariances, .labels = labels, .what = "factors"};
    if (walk_rows(&w, rows, n, e))
        return -1;
    for (int i = k->lo; i < k->hi; i++) {
        const struct kfac_map *at = &k->maps[i];
        if (at->input == i)
            complete(k, at->a, at->in);
        complete(k, at->s, at->out);
    }
    return (keep && keep(ctx, k, e)) || find_bases(k, e);
}

int kfac_fit(struct kfac *k, const struct seq *rows, int n, const struct fisher_labels *labels,
             kfac_keep *keep, void *ctx, struct err *e)
{
    k->tokens = 0;
    k->rows = n;
    for (int i = 0; i < n; i++)
        k->tokens += rows[i].n;
    if (kfac_reserve(k, e) || (kfac_has_basis(k) && fit_bases(k, rows, n, labels, keep, ctx, e)))
        return -1;
    if (k->strategy == STRATEGY_KFAC) {
        for (int i = k->lo; i < k->hi; i++)
            kfac_multiply(k, i);
    } else if (k->strategy != STRATEGY_IDENTITY) {
        struct walk w = {.k = k, .see = add_lambda, .labels = labels, .what = "eigenvalues"};
        if (walk_rows(&w, rows, n, e))
            return -1;
        for (int i = k->lo; i < k->hi; i++)
            k->m->ops->scale(k->maps[i].lambda, (float)(1.0 / n), kfac_area(&k->maps[i]));
    }
    return kfac_mean(k, e);
}
