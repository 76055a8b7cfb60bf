/* Keys, and their second moments over generic text: C = 1/N sum k k^T of the N tokens. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "edit/edit.h"
#include "tensor/file.h"
#include "tensor/matrix.h"

/* --- reading at a token --- */

struct reading {
    const struct editing *g;
    const struct edit_layer *l;
    const struct edit_prompt *prompts;
    const struct batch *batch;
    double *keys; /* borrowed [n,F] */
};

static void read_keys(void *ctx, const struct product *y)
{
    const struct reading *r = ctx;
    const size_t in = (size_t)y->in;
    if (y->weight != r->l->weight)
        return;
    const float *x = r->g->m->ops->map_read(y->x, in * (size_t)y->n);
    for (int i = 0; i < r->batch->n_seqs; i++) {
        const size_t token = (size_t)(r->batch->start[i] + r->prompts[i].lookup);
        for (size_t k = 0; k < in; k++)
            r->keys[(size_t)i * in + k] = (double)x[token * in + k];
    }
    r->g->m->ops->unmap(y->x);
}

static int pack(struct batch *b, const struct editing *g, const struct edit_prompt *p, int n,
                struct arena *a, struct err *e)
{
    struct seq *seqs = arena_zeros(a, (size_t)n, sizeof *seqs, e);
    for (int i = 0; seqs && i < n; i++)
        seqs[i] = (struct seq){.n = p[i].lookup + 1, .ids = p[i].ids};
    return seqs ? batch_pack(b, seqs, n, g->m->cfg.vocab, g->m->cfg.positions, a, e) : -1;
}

int edit_read(const struct editing *g, const struct edit_layer *l, const struct edit_prompt *p,
              int n, double *keys, double *residual, struct err *e)
{
    struct model *m = g->m;
    struct arena a = {0};
    struct batch b;
    struct pass pass;
    struct reading r = {g, l, p, &b, keys};
    const struct linear_tap tap = {.forward = read_keys, .ctx = &r};
    const struct forward how = {.layers = l->layer + 1, .linear = &tap};
    int rc = pack(&b, g, p, n, &a, e) || model_forward(m, &b, &how, &pass, &a, e);
    if (!rc && residual) {
        const size_t width = (size_t)m->cfg.width;
        const float *x = m->ops->map_read(pass.x, width * (size_t)b.n_tokens);
        for (int i = 0; i < n; i++)
            for (size_t k = 0; k < width; k++)
                residual[(size_t)i * width + k] =
                    (double)x[(size_t)(b.start[i] + p[i].lookup) * width + k];
        m->ops->unmap(pass.x);
    }
    arena_fini(&a);
    return rc ? -1 : 0;
}

/* --- sums over text --- */

struct summing {
    const struct editing *g;
    float *sums; /* owned [layers, F, F] */
    size_t side;
};

static void add_moments(void *ctx, const struct product *y)
{
    const struct summing *s = ctx;
    for (int i = 0; i < s->g->n_layers; i++)
        if (y->weight == s->g->layers[i].weight) {
            const float *x = s->g->m->ops->map_read(y->x, (size_t)y->n * s->side);
            matrix_add_moments(s->sums + (size_t)i * s->side * s->side, x, y->n, y->in);
            s->g->m->ops->unmap(y->x);
        }
}

static int walk(struct summing *s, const struct seq *seqs, int n, int64_t *tokens, struct err *e)
{
    const struct editing *g = s->g;
    struct model *m = g->m;
    struct arena a = {0};
    struct progress bar;
    const struct linear_tap tap = {.forward = add_moments, .ctx = s};
    int rc = 0, deepest = 0;
    for (int i = 0; i < g->n_layers; i++)
        deepest = g->layers[i].layer >= deepest ? g->layers[i].layer + 1 : deepest;
    const struct forward how = {.layers = deepest, .linear = &tap};
    progress_start(&bar, "keys", n);
    for (int i = 0; i < n && !rc; i++) {
        struct batch b;
        struct pass p;
        arena_reset(&a);
        rc = interrupt_check(g->stop, e) ||
             batch_pack(&b, seqs + i, 1, m->cfg.vocab, m->cfg.positions, &a, e) ||
             model_forward(m, &b, &how, &p, &a, e);
        *tokens += seqs[i].n;
        progress_step(&bar, i + 1, (double)*tokens, NULL);
    }
    progress_end(&bar);
    arena_fini(&a);
    return rc ? -1 : 0;
}

static int write_sums(const struct summing *s, int32_t tokens, const char *path, struct err *e)
{
    const struct editing *g = s->g;
    const int64_t shape[2] = {(int64_t)s->side, (int64_t)s->side}, one = 1;
    struct tensor_out *out = tensor_out_open(path, e);
    int rc = out ? 0 : -1;
    char name[64];
    for (int i = 0; i < g->n_layers && !rc; i++) {
        snprintf(name, sizeof name, "covariance.%d", g->layers[i].layer);
        rc = tensor_out_add(out, name, DT_F32, 2, shape, e);
        snprintf(name, sizeof name, "tokens.%d", g->layers[i].layer);
        rc = rc || tensor_out_add(out, name, DT_I32, 1, &one, e);
    }
    for (int i = 0; i < g->n_layers && !rc; i++)
        rc = tensor_out_write(out, s->sums + (size_t)i * s->side * s->side, e) ||
             tensor_out_write_raw(out, &tokens, e);
    if (rc) {
        tensor_out_abort(out);
        return -1;
    }
    return tensor_out_commit(out, e);
}

int edit_moments_write(const struct editing *g, const struct seq *seqs, int n, const char *path,
                       struct err *e)
{
    struct summing s = {g, NULL, (size_t)g->m->cfg.ff};
    const size_t count = (size_t)g->n_layers * s.side * s.side;
    int64_t tokens = 0;
    if (!(s.sums = mem_alloc(count, sizeof *s.sums, e)))
        return -1;
    int rc = walk(&s, seqs, n, &tokens, e);
    if (!rc && (!tokens || tokens > INT32_MAX))
        rc = err_set(e, "keys of %lld tokens are no basis of second moments", (long long)tokens);
    for (size_t i = 0; i < count && !rc; i++)
        s.sums[i] = (float)((double)s.sums[i] / (double)tokens);
    if (!rc && tokens < 10 * (int64_t)s.side)
        log_warn("second moments of %zu x %zu from %lld tokens only: %zu are a sound basis", s.side,
                 s.side, (long long)tokens, 10 * s.side);
    rc = rc || write_sums(&s, (int32_t)tokens, path, e);
    free(s.sums);
    return rc ? -1 : 0;
}

/* --- C --- */

double *edit_moments_read(const struct editing *g, const struct edit_layer *l, struct err *e)
{
    const int64_t side = g->m->cfg.ff;
    const size_t count = (size_t)side * (size_t)side;
    double *c = mem_alloc(count, sizeof *c, e);
    char name[64];
    snprintf(name, sizeof name, "covariance.%d", l->layer);
    const struct tensor *t = c && g->moments ? tensor_find(g->moments, name) : NULL;
    float *v = NULL;
    if (c && !g->moments) {
        for (int64_t i = 0; i < side; i++)
            c[i * side + i] = 1;
        return c;
    }
    if (c && !t)
        err_set(e, "the second moments have no tensor '%s'", name);
    else if (c && (t->n_dims != 2 || t->shape[0] != side || t->shape[1] != side))
        err_set(e, "'%s' is not %lld x %lld: it is of another model", name, (long long)side,
                (long long)side);
    else if (c)
        v = tensor_f32(t, e);
    for (size_t i = 0; v && i < count; i++)
        if (!isfinite(c[i] = (double)v[i])) {
            err_code(e, ERR_NOT_FINITE, "'%s' holds a number that is not finite", name);
            free(v);
            v = NULL;
        }
    if (!v) {
        free(c);
        return NULL;
    }
    free(v);
    return c;
}

/* One try on a copy of C, with `more` on its diagonal. */
static int try_solve(const double *c, double more, int side, double *x, int m, struct err *e)
{
    const size_t n = (size_t)side, count = n * n;
    double *a = mem_alloc(count, sizeof *a, e);
    if (!a)
        return -1;
    memcpy(a, c, count * sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i * n + i] += more;
    const int rc = matrix_solve_rows(a, side, x, m, e);
    free(a);
    return rc;
}

int edit_moments_solve(const struct editing *g, const struct edit_layer *l, double *x, int m,
                       struct err *e)
{
    const int side = g->m->cfg.ff;
    double trace = 0, *c = edit_moments_read(g, l, e);
    struct err why = {.msg = ""};
    if (!c)
        return -1;
    for (int i = 0; i < side; i++)
        trace += c[(size_t)i * (size_t)side + (size_t)i];
    int rc = try_solve(c, 0, side, x, m, &why);
    if (rc && why.code != ERR_NO_MEMORY) {
        log_note("layer %d: the second moments are singular: 1e-6 of their mean is added to their "
                 "diagonal",
                 l->layer);
        rc = try_solve(c, 1e-6 * trace / side, side, x, m, e);
    } else if (rc) {
        *e = why;
    }
    free(c);
    return rc ? -1 : 0;
}
