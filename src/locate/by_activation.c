/* Scores from what the layers' matrices are multiplied with, seen by a linear tap in one forward
 * pass over the rows: Wanda (arXiv 2306.11695) from the inputs of each matrix, selective pruning
 * (arXiv 2403.01267) from those of the down projections, which are the MLPs' hidden units. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "locate/locators.h"
#include "locate/scores.h"

/* --- Wanda --- */

struct wanda {
    const char *wanda_role;
    bool rest_free;
};

static const struct param wanda_params[] = {
    CHOICE_PARAM(struct wanda, wanda_role, "forget|retain", "forget",
                 "rows whose activations are taken"),
    BOOL_PARAM(struct wanda, rest_free, false,
               "embeddings, norms and head, which have no score, may change freely, as in WAGLE's "
               "code"),
    {0},
};

/* Sums over rows and tokens of the squared inputs, by tensor. */
struct inputs_seen {
    const struct model *m;
    double **sum; /* owned [table.n] of [in]; NULL: not seen */
};

/* q, k, v or gate, up that are rows of one tensor have the same input: the first counts. */
static void add_inputs(void *ctx, const struct product *y)
{
    const struct inputs_seen *c = ctx;
    double *sum = c->sum[y->weight];
    if (!sum || y->first)
        return;
    const float *x = c->m->ops->map_read(y->x, (size_t)y->n * (size_t)y->in);
    for (int i = 0; i < y->n; i++)
        for (int j = 0; j < y->in; j++) {
            const double a = (double)x[(size_t)i * (size_t)y->in + (size_t)j];
            sum[j] += a * a;
        }
    c->m->ops->unmap(y->x);
}

static bool is_matrix_of_layer(const struct weight *w)
{
    return w->layer >= 0 && w->n_dims == 2;
}

static int seen_init(struct inputs_seen *c, const struct model *m, struct err *e)
{
    *c = (struct inputs_seen){.m = m, .sum = mem_alloc((size_t)m->table.n, sizeof *c->sum, e)};
    for (int i = 0; c->sum && i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (is_matrix_of_layer(w) &&
            !(c->sum[i] = mem_alloc((size_t)w->shape[1], sizeof **c->sum, e)))
            return -1;
    }
    return c->sum ? 0 : -1;
}

static void seen_fini(struct inputs_seen *c)
{
    for (int i = 0; c->sum && i < c->m->table.n; i++)
        free(c->sum[i]);
    free(c->sum);
}

/* v = |W_ij| sqrt(s_j), s_j the mean over rows. */
static void multiply(struct scoring *s, const struct inputs_seen *c, int rows)
{
    for (int i = 0; i < c->m->table.n; i++) {
        const struct weight *w = &c->m->table.v[i];
        const size_t in = (size_t)w->shape[1];
        s->skipped[i] = !c->sum[i];
        if (!w->trainable || s->skipped[i])
            continue;
        const float *x = scores_weight(s, i);
        for (size_t k = 0; k < w->count; k++)
            s->v[w->at + k] = (float)(fabs((double)x[k]) * sqrt(c->sum[i][k % in] / rows));
        scores_weight_done(s, i);
    }
}

static int score_wanda(const void *params, struct scoring *s, struct err *e)
{
    const struct wanda *p = params;
    const struct model *m = s->engine->model;
    const enum role role = role_by_name(p->wanda_role);
    const struct dataset *set = s->engine->sets[role];
    struct inputs_seen c = {0};
    const struct linear_tap tap = {.forward = add_inputs, .ctx = &c};
    if (!set)
        return err_about(e, role_name[role], "locator 'wanda' needs %s data", role_name[role]);
    s->rest_free = p->rest_free;
    int rc = seen_init(&c, m, e) || scores_forward(s, role, &tap, e) ||
                     scores_alloc(s, m->table.grads, e)
                 ? -1
                 : 0;
    if (!rc)
        multiply(s, &c, set->n);
    seen_fini(&c);
    return rc;
}

const struct locator locator_wanda = {
    .name = "wanda",
    .help = "weights times the size of their inputs, row by row; layers only",
    .paper = "arXiv 2306.11695",
    .formula = "|W_ij| sqrt(s_j), s_j = mean over rows of sum_t x_tj^2",
    .verified = "the authors' code, masks index for index",
    .params = wanda_params,
    .params_size = sizeof(struct wanda),
    .unit = UNIT_ELEMENT,
    .scope = SCOPE_ROW,
    .ratio = 0.5,
    .roles = 1U << ROLE_FORGET,
    .score = score_wanda,
};

/* --- selective pruning --- */

struct selective {
    const char *statistic;
    double epsilon;
};

static const char statistics[] = "rms|abs|std|freq";

static const struct param selective_params[] = {
    CHOICE_PARAM(struct selective, statistic, statistics, "abs",
                 "of a neuron's activations over all tokens: root mean square, mean of absolute "
                 "values, standard deviation, share above 0"),
    REAL_PARAM(struct selective, epsilon, 0, 1e6, 1e-8, "added to the retain statistic"),
    {0},
};

/* Sums over tokens of one neuron's activation. */
struct unit_sums {
    double square, abs, sum, positive;
};

struct units_seen {
    const struct model *m;
    struct unit_sums *v; /* owned [L,F] */
    double tokens;
};

static void add_units(void *ctx, const struct product *y)
{
    struct units_seen *c = ctx;
    const struct weight *w = &c->m->table.v[y->weight];
    if (w->slot != W_DOWN)
        return;
    struct unit_sums *v = c->v + (size_t)w->layer * (size_t)y->in;
    c->tokens += w->layer ? 0 : y->n;
    const float *x = c->m->ops->map_read(y->x, (size_t)y->n * (size_t)y->in);
    for (int i = 0; i < y->n; i++)
        for (int j = 0; j < y->in; j++) {
            const double a = (double)x[(size_t)i * (size_t)y->in + (size_t)j];
            v[j].square += a * a;
            v[j].abs += fabs(a);
            v[j].sum += a;
            v[j].positive += a > 0;
        }
    c->m->ops->unmap(y->x);
}

static double statistic_of(const struct unit_sums *u, double n, int which)
{
    const double mean = u->sum / n, square = u->square / n;
    const double value[] = {sqrt(square), u->abs / n, sqrt(fmax(0, square - mean * mean)),
                            u->positive / n};
    return value[which];
}

int scores_activation(struct scoring *s, enum role role, int statistic, double *out, struct err *e)
{
    const struct model *m = s->engine->model;
    const size_t n = (size_t)m->cfg.layers * (size_t)m->cfg.ff;
    struct units_seen c = {.m = m, .v = mem_alloc(n, sizeof *c.v, e)};
    const struct linear_tap tap = {.forward = add_units, .ctx = &c};
    int rc = c.v ? scores_forward(s, role, &tap, e) : -1;
    for (size_t k = 0; k < n && !rc; k++)
        out[k] = statistic_of(&c.v[k], c.tokens, statistic);
    free(c.v);
    return rc;
}

static int score_selective(const void *params, struct scoring *s, struct err *e)
{
    const struct selective *p = params;
    const struct model *m = s->engine->model;
    const size_t n = (size_t)m->cfg.layers * (size_t)m->cfg.ff;
    const int which = param_choice(statistics, p->statistic);
    double *f = mem_alloc(2 * n, sizeof *f, e), *r = f + n;
    int rc = f && !scores_activation(s, ROLE_FORGET, which, f, e) &&
                     !scores_activation(s, ROLE_RETAIN, which, r, e)
                 ? 0
                 : -1;
    for (size_t k = 0; k < n && !rc; k++)
        s->v[k] = (float)(f[k] / (r[k] + p->epsilon));
    free(f);
    return rc;
}

const struct locator locator_selective = {
    .name = "selective",
    .help = "MLP neurons more active on forget than on retain rows (selective pruning)",
    .paper = "arXiv 2403.01267",
    .formula = "I(forget) / (I(retain) + epsilon), I = mean |activation| or another statistic",
    .verified = "statistics in f64 by PyTorch; the ratio by its formula",
    .params = selective_params,
    .params_size = sizeof(struct selective),
    .unit = UNIT_NEURON,
    .ratio = 0.02,
    .roles = 1U << ROLE_FORGET | 1U << ROLE_RETAIN,
    .score = score_selective,
};
