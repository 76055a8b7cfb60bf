/* ROME: one layer, one fact at a time. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "edit/edit.h"

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

struct rome_params {
    VALUE_FIELDS;
    const char *form;
    bool moments;
};

static const struct param rome_table[] = {
    VALUE_PARAMS(struct rome_params, 20, 0.5, 4),
    CHOICE_PARAM(struct rome_params, form, "code|paper", "code",
                 "code: the clean prompt gets its value exactly; paper: the mean key does"),
    BOOL_PARAM(struct rome_params, moments, true, "keys are measured by C^-1 (mom2_adjustment)"),
    {0}};

struct rome {
    double *keys, *mean, *u, *right; /* owned [n_prompts,F], [F], [F], [C] */
    struct edit_value value;
};

/* right = (v0 + delta - W k) / (k . u), with W k the MLP's output for that key. */
static int find_right(const struct editing *g, struct rome *r, const double *key, struct err *e)
{
    const struct model *m = g->m;
    const size_t in = (size_t)m->cfg.ff, out = (size_t)m->cfg.width;
    const int weight = g->layers[0].weight,
              bias = weight_has(&m->table, W_DOWN_B)
                         ? weight_index(&m->table, W_DOWN_B, g->layers[0].layer)
                         : -1;
    const double along = dot(key, r->u, in), length = sqrt(dot(key, key, in));
    if (!(fabs(along) > 1e-3 * length))
        return err_set(e,
                       "the key of the subject has only %.2g of its length along the direction "
                       "of the update, which would blow up: choose another layer, or more "
                       "contexts",
                       fabs(along) / length);
    const float *w = m->ops->map_read(m->w[weight], in * out);
    const float *b = bias >= 0 ? m->ops->map_read(m->w[bias], out) : NULL;
    for (size_t i = 0; i < out; i++) {
        double y = b ? (double)b[i] : 0;
        for (size_t k = 0; k < in; k++)
            y += (double)w[i * in + k] * key[k];
        r->right[i] = (r->value.v0[i] + r->value.delta[i] - y) / along;
    }
    if (b)
        m->ops->unmap(m->w[bias]);
    m->ops->unmap(m->w[weight]);
    return 0;
}

static int find_direction(const struct editing *g, struct rome *r, int n, struct err *e)
{
    const struct rome_params *o = g->method->params;
    const size_t in = (size_t)g->m->cfg.ff;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < in; k++)
            r->mean[k] += r->keys[(size_t)i * in + k] / n;
    memcpy(r->u, r->mean, in * sizeof *r->u);
    if (o->moments && edit_moments_solve(g, &g->layers[0], r->u, 1, e))
        return -1;
    const double length = sqrt(dot(r->u, r->u, in));
    for (size_t k = 0; k < in; k++)
        r->u[k] /= length;
    return 0;
}

/* "TARGET.what" of the first request, "TARGET.what.N" of the others. */
static int note_rome(const struct editing *g, const struct rome *r, struct err *e)
{
    const int in = g->m->cfg.ff, out = g->m->cfg.width;
    const struct {
        const char *name;
        const double *v;
        int rows, cols;
    } all[] = {{"u", r->u, 1, in},
               {"right_vector", r->right, 1, out},
               {"v0", r->value.v0, 1, out},
               {"delta", r->value.delta, 1, out},
               {"losses", r->value.losses[0], r->value.steps, 4},
               {"k_mean", r->mean, 1, in},
               {"k_clean", r->keys, 1, in}};
    char name[80];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(name, sizeof name, "%.20s.%s%s", g->target, all[i].name, g->done ? "." : "");
        if (edit_note_numbered(g, name, g->done ? g->done : -1, all[i].v, all[i].rows, all[i].cols,
                               e))
            return -1;
    }
    return 0;
}

static int apply_rome(struct editing *g, const struct edit_request *q, int n, struct err *e)
{
    const struct rome_params *o = g->method->params;
    const size_t in = (size_t)g->m->cfg.ff, out = (size_t)g->m->cfg.width;
    struct rome r = {.keys = mem_alloc((size_t)q->n_prompts * in, sizeof(double), e)};
    const bool is_code = !strcmp(o->form, "code");
    int rc = n == 1 && g->n_layers == 1 ? 0 : err_about(e, "layers", "ROME edits one layer");
    rc = rc || !r.keys || !(r.mean = mem_alloc(in, sizeof(double), e)) ||
         !(r.u = mem_alloc(in, sizeof(double), e)) ||
         !(r.right = mem_alloc(out, sizeof(double), e)) ||
         edit_find_value(&r.value, g, g->layers[0].layer, q, e) ||
         edit_read(g, &g->layers[0], q->prompts, q->n_prompts, r.keys, NULL, e) ||
         find_direction(g, &r, q->n_prompts, e) ||
         find_right(g, &r, is_code ? r.keys : r.mean, e) || note_rome(g, &r, e) ||
         edit_update(g, &g->layers[0], r.right, r.u, 1, e);
    edit_value_fini(&r.value);
    free(r.keys);
    free(r.mean);
    free(r.u);
    free(r.right);
    return rc ? -1 : 0;
}

const struct edit edit_rome = {
    .name = "rome",
    .help = "one layer, one fact at a time: the subject's key gets a new value",
    .paper = "arXiv 2202.05262",
    .verified = "the authors' code in f64, 1e-3",
    .params = rome_table,
    .params_size = sizeof(struct rome_params),
    .place = PLACE_MLP_OUT,
    .from = 0.2,
    .to = 0.2,
    .moments = offsetof(struct rome_params, moments),
    .one = true,
    .apply = apply_rome};
