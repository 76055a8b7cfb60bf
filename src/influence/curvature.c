#include "influence/curvature.h"

#include <math.h>
#include <stdlib.h>

#include "base/sizes.h"
#include "influence/passes.h"
#include "train/mask.h"

/* Floats of directional derivatives that are held at once: 256 MiB. */
enum { GROUP_FLOATS = SIZE(64 << 20, 400) };

/* Rows first..first+n-1 of the data, at most `batch` to a pass. */
struct group {
    struct curved *c;
    int first, n;
    device float *jv; /* [R,V] of the group's R scored tokens */
    double tokens;    /* scored, of all the data */
    struct row_pass pass;
};

static const struct seq *seq_of(const struct curved *c, int i)
{
    return &c->engine->sets[c->rows.role]->seqs[c->rows.row[i]];
}

/* Calls `use` for each pass over the group's rows; *at: the first of its rows of logits. */
typedef int use_pass(struct group *g, size_t at, device float *out, double scale, struct err *e);

static int each_pass(struct group *g, bool keep, use_pass *use, device float *out, double scale,
                     struct err *e)
{
    const struct curved *c = g->c;
    const int batch = c->rows.batch > 0 ? c->rows.batch : 1;
    size_t at = 0;
    for (int i = g->first, n; i < g->first + g->n; i += n) {
        struct seq seqs[SIZE(16, 2)];
        const int most = (int)(sizeof seqs / sizeof *seqs);
        n = g->first + g->n - i < batch ? g->first + g->n - i : batch;
        n = n < most ? n : most;
        for (int k = 0; k < n; k++)
            seqs[k] = *seq_of(c, i + k);
        if (interrupt_check(c->stop, e) ||
            row_pass_forward(&g->pass, c->engine->model, seqs, n, keep, NULL, e) ||
            use(g, at, out, scale, e))
            return -1;
        if (keep)
            c->engine->tokens.trained[c->rows.role] += g->pass.batch.n_tokens;
        else
            c->engine->tokens.forward += g->pass.batch.n_tokens;
        at += (size_t)g->pass.rows.n;
    }
    return 0;
}

/* jv += scale * the logits. */
static int add_logits(struct group *g, size_t at, device float *out, double scale, struct err *e)
{
    const struct model *m = g->c->engine->model;
    const size_t vocab = (size_t)m->cfg.vocab;
    (void)out, (void)e;
    for (int first = 0, n; first < g->pass.rows.n; first += n) {
        const device float *z = head_logits(&g->pass.head, first, &n);
        m->ops->axpy(g->jv + (at + (size_t)first) * vocab, (float)scale, z, (size_t)n * vocab);
    }
    return 0;
}

/* In place of a row's logits z [V]: (p u - p (p.u)) / tokens. */
static void weigh(float *z, const float *u, int vocab, double tokens)
{
    double top = (double)z[0], sum = 0, mean = 0;
    for (int v = 1; v < vocab; v++)
        top = fmax(top, (double)z[v]);
    for (int v = 0; v < vocab; v++) {
        const double p = exp((double)z[v] - top);
        sum += p;
        mean += p * (double)u[v];
    }
    mean /= sum;
    for (int v = 0; v < vocab; v++) {
        const double p = exp((double)z[v] - top) / sum;
        z[v] = (float)(p * ((double)u[v] - mean) / tokens);
    }
}

static int add_product(struct group *g, size_t at, device float *out, double scale, struct err *e)
{
    const struct model *m = g->c->engine->model;
    const size_t vocab = (size_t)m->cfg.vocab;
    struct head *h = &g->pass.head;
    (void)scale;
    for (int first = 0, n; first < g->pass.rows.n; first += n) {
        device float *block = head_logits(h, first, &n);
        float *z = m->ops->map(block, (size_t)n * vocab);
        const device float *jv = g->jv + (at + (size_t)first) * vocab;
        const float *u = m->ops->map_read(jv, (size_t)n * vocab);
        for (int r = 0; r < n; r++)
            weigh(z + (size_t)r * vocab, u + (size_t)r * vocab, m->cfg.vocab, g->tokens);
        m->ops->unmap(jv);
        m->ops->unmap(block);
        head_drop(h);
        head_back(h, first, n, block, out);
    }
    return row_pass_back(&g->pass, out, e);
}

/* out += G v over the group's rows, whose derivatives of logits fit jv. */
static int add_group(struct group *g, const device float *v, double along, double step,
                     const device float *kept, device float *out, struct err *e)
{
    struct model *m = g->c->engine->model;
    const double scale = along / (2 * step);
    weights_shift(m, step / along, v);
    int rc = each_pass(g, false, add_logits, NULL, scale, e);
    weights_restore(m, kept);
    if (rc)
        return -1;
    weights_shift(m, -step / along, v);
    rc = each_pass(g, false, add_logits, NULL, -scale, e);
    weights_restore(m, kept);
    return rc || each_pass(g, true, add_product, out, 0, e);
}

/* Rows from g->first on whose derivatives of logits are held at once. */
static int rows_of_group(const struct group *g, int left, size_t *tokens)
{
    const size_t most = GROUP_FLOATS / (size_t)g->c->engine->model->cfg.vocab;
    int n = 0;
    *tokens = 0;
    while (n < left) {
        const size_t more = (size_t)seq_labels(seq_of(g->c, g->first + n));
        if (n && *tokens + more > most)
            break;
        *tokens += more;
        n++;
    }
    return n;
}

static int gauss_newton(struct curved *c, const device float *v, double along, double step,
                        const device float *kept, device float *out, struct err *e)
{
    const struct model *m = c->engine->model;
    struct group g = {.c = c};
    int rc = 0;
    for (int i = 0; i < c->rows.n; i++)
        g.tokens += seq_labels(seq_of(c, i));
    for (; g.first < c->rows.n && !rc; g.first += g.n) {
        size_t tokens;
        g.n = rows_of_group(&g, c->rows.n - g.first, &tokens);
        g.jv = m->ops->alloc(tokens * (size_t)m->cfg.vocab + 1, e);
        rc = g.jv ? add_group(&g, v, along, step, kept, out, e) : -1;
        m->ops->free(g.jv);
    }
    row_pass_fini(&g.pass);
    mask_gradient(m, out);
    return rc;
}

int curvature_product(struct curved *c, const device float *v, device float *out, struct err *e)
{
    const struct model *m = c->engine->model;
    const struct ops *o = m->ops;
    const double along = derivative_norm(m, v),
                 step = c->step > 0 ? c->step : CURVATURE_STEP * derivative_norm(m, NULL);
    int rc = 0;
    if (!isfinite(along))
        return err_code(e, ERR_NOT_FINITE, "the vector is not finite");
    if (c->kind == CURVATURE_HESSIAN) {
        rc = derivative_hvp(c->engine, c->goals, &c->rows, v, c->step, out, e);
    } else {
        o->fill(out, 0, m->table.grads);
        if (along == 0)
            return 0;
        device float *kept = o->alloc(m->table.moving, e);
        if (kept)
            weights_save(m, kept);
        rc = kept ? gauss_newton(c, v, along, step, kept, out, e) : -1;
        o->free(kept);
    }
    if (!rc && !o->all_finite(out, m->table.moving))
        rc = err_code(e, ERR_NOT_FINITE, "the curvature is not finite");
    return rc;
}

int curvature_product_row(struct curved *c, int i, const device float *v, device float *out,
                          struct err *e)
{
    struct curved one = *c;
    one.rows.row = c->rows.row + i;
    one.rows.n = 1;
    return curvature_product(&one, v, out, e);
}

int curvature_largest(struct curved *c, int i, const device float *v, int steps, double *largest,
                      struct err *e)
{
    const struct model *m = c->engine->model;
    const struct ops *o = m->ops;
    device float *x = o->alloc(m->table.grads, e), *y = x ? o->alloc(m->table.grads, e) : NULL;
    int rc = y ? 0 : -1;
    if (y)
        o->copy(x, v, m->table.moving);
    *largest = 0;
    for (int k = 0; k < steps && !rc; k++) {
        const double norm = derivative_norm(m, x);
        if (norm == 0)
            break;
        o->scale(x, (float)(1 / norm), m->table.moving);
        rc = curvature_product_row(c, i, x, y, e);
        *largest = fmax(*largest, derivative_norm(m, y));
        device float *other = x;
        x = y;
        y = other;
    }
    o->free(x);
    o->free(y);
    return rc;
}
