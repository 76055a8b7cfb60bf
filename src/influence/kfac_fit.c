/* Factors of the linear maps, and their eigenvectors. */
#include "influence/walk.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "tensor/matrix.h"

/* A += sum x x^T, S += sum s s^T. */
static void add_covariances(struct walk *w, int i, const struct product *y)
{
    const struct ops *o = w->k->m->ops;
    const struct kfac_map *at = &w->k->maps[i];
    if (at->input == i)
        o->linear_dw(at->a, y->x, y->x, y->n, y->in, y->in, 1);
    o->linear_dw(at->s, y->dy, y->dy, y->n, y->out, y->out, 1);
}

/* Lambda += (Q_S^T G Q_A)^2 of each row, from the projected inputs and output gradients of its
 * tokens. */
static void add_lambda(struct walk *w, int i, const struct product *y)
{
    const struct kfac *k = w->k;
    const struct ops *o = k->m->ops;
    const struct kfac_map *at = &k->maps[i];
    const device float *x = y->x, *s = y->dy;
    device float *g = walk_room(w, &w->g, &w->g_room, kfac_area(at));
    if (kfac_has_basis(k)) {
        device float *px = walk_room(w, &w->x, &w->x_room, (size_t)y->n * (size_t)y->in),
                     *ps = walk_room(w, &w->s, &w->s_room, (size_t)y->n * (size_t)y->out);
        if (w->failed)
            return;
        if (w->input != at->input)
            o->linear(px, x, k->maps[at->input].a, y->n, y->in, y->in, 0);
        w->input = at->input;
        o->linear(ps, s, at->s, y->n, y->out, y->out, 0);
        x = px;
        s = ps;
    }
    for (int q = 0; q < y->n_seqs && !w->failed; q++) {
        const size_t first = (size_t)y->start[q];
        o->linear_dw(g, s + first * (size_t)y->out, x + first * (size_t)y->in,
                     y->start[q + 1] - y->start[q], y->in, y->out, 0);
        o->add_squares(at->lambda, 1, g, kfac_area(at));
    }
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

static int fit_bases(struct kfac *k, const struct seq *rows, int n,
                     const struct fisher_labels *labels, kfac_keep *keep, void *ctx, struct err *e)
{
    struct walk w = {.k = k, .see = add_covariances, .labels = labels, .what = "factors"};
    if (walk_rows(&w, rows, n, e))
        return -1;
    for (int i = k->lo; i < k->hi; i++) {
        const struct kfac_map *at = &k->maps[i];
        if (at->input == i)
            k->m->ops->scale(at->a, (float)(1 / (double)k->tokens), kfac_square(at->in));
        k->m->ops->scale(at->s, (float)(1 / (double)k->tokens), kfac_square(at->out));
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
