/* MEMIT and AlphaEdit: values at the last layer, spread over all of them. Matrices of n requests
 * have a request a row: keys K [n,F], values [n,C].
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "edit/edit.h"
#include "tensor/matrix.h"

struct spread {
    const struct edit_request *q; /* borrowed [n] */
    int n, most;                  /* most: rows of x, with the keys of edits before */
    double *z, *h;                /* owned [n,C]; h becomes R */
    double *keys, *x; /* owned [most,F]: keys; the factor of the update, in its first n rows */
    double *one;      /* owned [n_prompts,F]: keys of one request in all contexts */
    double *small, *inverse; /* owned [most,most] */
};

static int find_values(struct editing *g, struct spread *s, struct err *e)
{
    const int layer = g->layers[g->n_layers - 1].layer, width = g->m->cfg.width;
    for (int i = 0; i < s->n; i++) {
        struct edit_value v;
        int rc = edit_find_value(&v, g, layer, &s->q[i], e);
        for (int k = 0; k < width && !rc; k++)
            s->z[(size_t)i * (size_t)width + (size_t)k] = v.v0[k] + v.delta[k];
        rc = rc || edit_note_numbered(g, "losses.", g->done + i, v.losses[0], v.steps, 4, e);
        edit_value_fini(&v);
        if (rc)
            return -1;
    }
    return 0;
}

/* Into rows of `keys` [n,F]. The key of a request: half of it the clean prompt's, the other half
 * the mean in contexts. */
static int find_keys(const struct editing *g, const struct edit_layer *l, const struct spread *s,
                     double *keys, struct err *e)
{
    const size_t in = (size_t)g->m->cfg.ff;
    for (int i = 0; i < s->n; i++) {
        const int others = s->q[i].n_prompts - 1;
        if (edit_read(g, l, s->q[i].prompts, s->q[i].n_prompts, s->one, NULL, e))
            return -1;
        double *key = keys + (size_t)i * in;
        for (size_t k = 0; k < in; k++) {
            double sum = 0;
            for (int j = 1; j <= others; j++)
                sum += s->one[(size_t)j * in + k];
            key[k] = others ? (s->one[k] + sum / others) / 2 : s->one[k];
        }
    }
    return 0;
}

/* R = (z - h) / left: h at the clean prompts, through the layers edited so far. */
static int find_residual(const struct editing *g, int left, struct spread *s, struct err *e)
{
    const size_t width = (size_t)g->m->cfg.width;
    for (int i = 0; i < s->n; i++)
        if (edit_read(g, &g->layers[g->n_layers - 1], s->q[i].prompts, 1, s->one,
                      s->h + (size_t)i * width, e))
            return -1;
    for (size_t k = 0; k < (size_t)s->n * width; k++)
        s->h[k] = (s->z[k] - s->h[k]) / left;
    return 0;
}

static void spread_fini(struct spread *s)
{
    double *const owned[] = {s->z, s->h, s->keys, s->x, s->one, s->small, s->inverse};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static int spread_init(struct spread *s, const struct editing *g, struct err *e)
{
    const size_t in = (size_t)g->m->cfg.ff, out = (size_t)g->m->cfg.width;
    int prompts = 1;
    for (int i = 0; i < s->n; i++)
        prompts = s->q[i].n_prompts > prompts ? s->q[i].n_prompts : prompts;
    s->most = s->n + g->layers[0].n_past;
    const size_t most = (size_t)s->most;
    return !(s->z = mem_alloc((size_t)s->n * out, sizeof(double), e)) ||
                   !(s->h = mem_alloc((size_t)s->n * out, sizeof(double), e)) ||
                   !(s->keys = mem_alloc(most * in, sizeof(double), e)) ||
                   !(s->x = mem_alloc(most * in, sizeof(double), e)) ||
                   !(s->one = mem_alloc((size_t)prompts * in, sizeof(double), e)) ||
                   !(s->small = mem_alloc(most * most, sizeof(double), e)) ||
                   !(s->inverse = mem_alloc(most * most, sizeof(double), e))
               ? -1
               : 0;
}

/* The rows of x [n,F] = (diagonal I + small)^-1 y, y [n,F]; small [n,n] is symmetric. */
static int solve_small(struct spread *s, int n, double diagonal, double *x, const double *y, int in,
                       struct err *e)
{
    memset(s->inverse, 0, (size_t)n * (size_t)n * sizeof *s->inverse);
    for (size_t i = 0; i < (size_t)n; i++) {
        s->inverse[i * (size_t)n + i] = 1;
        s->small[i * (size_t)n + i] += diagonal;
    }
    if (matrix_solve_rows(s->small, n, s->inverse, n, e))
        return -1;
    matrix_times(x, s->inverse, y, n, n, in);
    return 0;
}

/* x = the factor of a layer's update, from s->keys. */
typedef int find_factor(const struct editing *g, struct edit_layer *l, struct spread *s,
                        struct err *e);

/* Columns are requests in the trace, as in the papers: "K.LAYER" of the first batch, "K2.LAYER" of
 * the one that begins with request 2. */
static int note_columns(const struct editing *g, const char *what, int layer, const double *v,
                        int n, int width, struct err *e)
{
    double *flipped = g->trace ? mem_alloc((size_t)n * (size_t)width, sizeof *flipped, e) : NULL;
    if (!flipped)
        return g->trace ? -1 : 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < width; k++)
            flipped[k * n + i] = v[i * width + k];
    char name[80];
    if (g->done)
        snprintf(name, sizeof name, "%s%d.", what, g->done);
    else
        snprintf(name, sizeof name, "%s.", what);
    const int rc = edit_note_numbered(g, name, layer, flipped, width, n, e);
    free(flipped);
    return rc;
}

static int apply_spread(struct editing *g, struct spread *s, find_factor *factor, struct err *e)
{
    const int out = g->m->cfg.width, in = g->m->cfg.ff;
    if (spread_init(s, g, e) || find_values(g, s, e))
        return -1;
    for (int i = 0; i < g->n_layers; i++) {
        struct edit_layer *l = &g->layers[i];
        if (find_keys(g, l, s, s->keys, e) || find_residual(g, g->n_layers - i, s, e) ||
            note_columns(g, "K", l->layer, s->keys, s->n, in, e) ||
            note_columns(g, "residual", l->layer, s->h, s->n, out, e) || factor(g, l, s, e) ||
            edit_update(g, l, s->h, s->x, s->n, e))
            return -1;
    }
    return 0;
}

struct memit_params {
    VALUE_FIELDS;
    double lambda;
};

static const struct param memit_table[] = {
    VALUE_PARAMS(struct memit_params, 25, 0.5, 0.75),
    REAL_PARAM(struct memit_params, lambda, 1e-12, 1e12, 15000,
               "weight of generic text, in tokens, against that of a request"),
    {0}};

/* By Woodbury, with Y = (lambda C)^-1 K: Y (I + K^T Y)^-1. */
static int factor_memit(const struct editing *g, struct edit_layer *l, struct spread *s,
                        struct err *e)
{
    const struct memit_params *o = g->method->params;
    const int in = g->m->cfg.ff, n = s->n;
    const size_t count = (size_t)n * (size_t)in;
    double *y = mem_alloc(count, sizeof *y, e);
    int rc = y ? 0 : -1;
    if (!rc) {
        memcpy(y, s->keys, count * sizeof *y);
        rc = edit_moments_solve(g, l, y, n, e);
    }
    for (size_t i = 0; i < count && !rc; i++)
        y[i] /= o->lambda;
    if (!rc) {
        matrix_times_transposed(s->small, s->keys, y, n, in, n);
        rc = solve_small(s, n, 1, s->x, y, in, e);
    }
    free(y);
    return rc;
}

static int apply_memit(struct editing *g, const struct edit_request *q, int n, struct err *e)
{
    struct spread s = {.q = q, .n = n};
    const int rc = apply_spread(g, &s, factor_memit, e) ||
                   edit_note_numbered(g, "z", g->done ? g->done : -1, s.z, n, g->m->cfg.width, e);
    spread_fini(&s);
    return rc;
}

const struct edit edit_memit = {
    .name = "memit",
    .help = "many facts at once, over several layers, against the keys of generic text",
    .paper = "arXiv 2210.07229",
    .verified = "the authors' code in f64, 1e-3",
    .params = memit_table,
    .params_size = sizeof(struct memit_params),
    .place = PLACE_RESID,
    .from = 0.125,
    .to = 0.25,
    .apply = apply_memit};

struct alphaedit_params {
    VALUE_FIELDS;
    double l2, threshold, null_share;
};

static const struct param alphaedit_table[] = {
    VALUE_PARAMS(struct alphaedit_params, 25, 0.1, 0.75),
    REAL_PARAM(struct alphaedit_params, l2, 1e-12, 1e12, 10, "weight of the update's length"),
    REAL_PARAM(struct alphaedit_params, threshold, 0, 1e12, 0.02,
               "directions whose eigenvalue of C is below it may be used"),
    REAL_PARAM(struct alphaedit_params, null_share, 0, 1, 0,
               "instead: the share of the directions, those of the lowest eigenvalues; 0: by the "
               "threshold"),
    {0}};

static int note_projection(const struct editing *g, const struct edit_layer *l, struct err *e)
{
    const int in = g->m->cfg.ff;
    const size_t count = (size_t)in * (size_t)in;
    double *p = g->trace ? mem_alloc(count, sizeof *p, e) : NULL;
    if (!p)
        return g->trace ? -1 : 0;
    for (int i = 0; i < l->n_basis; i++)
        for (int j = 0; j < in; j++)
            for (int k = 0; k < in; k++)
                p[j * in + k] += l->basis[i * in + j] * l->basis[i * in + k];
    const int rc = edit_note_numbered(g, "P.", l->layer, p, in, in, e);
    free(p);
    return rc;
}

/* The eigenvectors of C with low eigenvalues. */
static int find_basis(const struct editing *g, struct edit_layer *l, struct err *e)
{
    const struct alphaedit_params *o = g->method->params;
    const int in = g->m->cfg.ff;
    double *c = edit_moments_read(g, l, e),
           *value = c ? mem_alloc((size_t)in, sizeof *value, e) : NULL;
    if (!value || matrix_eigen_f64(c, in, value, e)) {
        free(value);
        free(c);
        return -1;
    }
    while (l->n_basis < in && (o->null_share > 0 ? l->n_basis < lround(o->null_share * in)
                                                 : value[l->n_basis] < o->threshold))
        l->n_basis++;
    l->basis = c;
    log_note("layer %d: %d of %d directions have eigenvalues below %g and may be used", l->layer,
             l->n_basis, in, l->n_basis < in ? value[l->n_basis] : value[in - 1]);
    free(value);
    if (!l->n_basis)
        return err_about(e, "threshold",
                         "layer %d: no direction of C has an eigenvalue below %g: "
                         "nothing may be changed",
                         l->layer, o->threshold);
    return note_projection(g, l, e);
}

/* With all keys K, those of the edits before in its last rows, and U = K P:
 * (P K^T K + L2 I)^-1 P k = the first n rows of (K U^T + L2 I)^-1 U, as P is a projection. */
static int factor_alphaedit(const struct editing *g, struct edit_layer *l, struct spread *s,
                            struct err *e)
{
    const struct alphaedit_params *o = g->method->params;
    const int in = g->m->cfg.ff, n = s->most;
    if (!l->basis && find_basis(g, l, e))
        return -1;
    const size_t count = (size_t)n * (size_t)in;
    double *u = mem_alloc(count, sizeof *u, e),
           *part = u ? mem_alloc((size_t)n * (size_t)l->n_basis, sizeof *part, e) : NULL;
    int rc = part ? 0 : -1;
    if (!rc) {
        if (l->n_past)
            memcpy(s->keys + (size_t)s->n * (size_t)in, l->past,
                   (size_t)l->n_past * (size_t)in * sizeof *u);
        matrix_times_transposed(part, s->keys, l->basis, n, in, l->n_basis);
        matrix_times(u, part, l->basis, n, l->n_basis, in);
        matrix_times_transposed(s->small, s->keys, u, n, in, n);
        rc = solve_small(s, n, o->l2, s->x, u, in, e);
    }
    free(part);
    free(u);
    return rc;
}

/* The keys of the edited model, for the edits that follow. */
static int remember_keys(struct editing *g, const struct spread *s, struct err *e)
{
    const size_t in = (size_t)g->m->cfg.ff;
    for (int i = 0; i < g->n_layers; i++) {
        struct edit_layer *l = &g->layers[i];
        const size_t had = (size_t)l->n_past * in;
        if (mem_reserve(&l->past, &l->past_room, had + (size_t)s->n * in, sizeof *l->past, e) ||
            find_keys(g, l, s, l->past + had, e))
            return -1;
        l->n_past += s->n;
    }
    return 0;
}

static int apply_alphaedit(struct editing *g, const struct edit_request *q, int n, struct err *e)
{
    struct spread s = {.q = q, .n = n};
    const int rc = apply_spread(g, &s, factor_alphaedit, e) ||
                   edit_note_numbered(g, "z", g->done, s.z, n, g->m->cfg.width, e) ||
                   remember_keys(g, &s, e);
    spread_fini(&s);
    return rc;
}

const struct edit edit_alphaedit = {
    .name = "alphaedit",
    .help = "as memit, but only in directions that generic text does not use",
    .paper = "arXiv 2410.02355",
    .verified = "the authors' code in f64, 1e-3",
    .params = alphaedit_table,
    .params_size = sizeof(struct alphaedit_params),
    .place = PLACE_RESID,
    .from = 0.125,
    .to = 0.25,
    .apply = apply_alphaedit};
