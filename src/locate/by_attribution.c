/* Scores of MLP neurons by integrated gradients of the probability P of the first answer token y at
 * the last prompt token t: knowledge neurons (arXiv 2104.08696) and DEPN (arXiv 2310.20138), here
 * for a decoder. With a [F] the down projection's input of layer l at t,
 *
 *     att_j = a_j / m  sum_{k = 0 .. m-1} d P / d w_j  at w = k a / m,
 *
 * one layer at a time, other positions and layers unchanged: a left sum, which has the zero point
 * and not the full one. Scaling a scales what the MLP adds to the residual, so that m copies of the
 * sequence run in one batch, and W_down^T is applied once, to the sum of the gradients there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"
#include "locate/locators.h"
#include "locate/scores.h"
#include "model/head.h"

enum { TOKENS_AT_ONCE = SIZE(512, 8) };

struct attribution {
    const struct scoring *s;
    struct model *m;
    const struct seq *one; /* ends with the label's token */
    int points, layer;
    int first, n;      /* copies of the batch: first + i is scaled by (first + i) / points */
    float *a;          /* [L,F] */
    double *sum;       /* [C] of d P / d what the MLP adds */
    const float *bias; /* [C] of the down projection on the host; NULL: none */
};

/* Rows of t in the batch of copies. */
static size_t row_of(const struct attribution *x, int copy)
{
    return (size_t)copy * (size_t)x->one->n + (size_t)x->one->n - 2;
}

static void scale_copies(void *ctx, const struct pass *p, device float *dev)
{
    const struct attribution *x = ctx;
    const size_t c = (size_t)x->m->cfg.width, all = (size_t)p->batch->n_tokens * c;
    float *y = x->m->ops->map(dev, all);
    for (int i = 0; i < x->n; i++) {
        float *row = y + row_of(x, i) * c;
        const float share = (float)(x->first + i) / (float)x->points;
        for (size_t k = 0; k < c; k++) {
            const float b = x->bias ? x->m->cfg.residual_scale * x->bias[k] : 0;
            row[k] = b + share * (row[k] - b);
        }
    }
    x->m->ops->unmap(dev);
}

static void add_gradients(void *ctx, const struct pass *p, device float *dev)
{
    const struct attribution *x = ctx;
    const size_t c = (size_t)x->m->cfg.width, all = (size_t)p->batch->n_tokens * c;
    const float *dy = x->m->ops->map_read(dev, all);
    for (int i = 0; i < x->n; i++)
        for (size_t k = 0; k < c; k++)
            x->sum[k] += (double)dy[row_of(x, i) * c + k];
    x->m->ops->unmap(dev);
}

static void keep_inputs(void *ctx, const struct product *y)
{
    const struct attribution *x = ctx;
    const struct weight *w = &x->m->table.v[y->weight];
    if (w->slot != W_DOWN)
        return;
    const size_t f = (size_t)y->in;
    const float *in = x->m->ops->map_read(y->x, (size_t)y->n * f);
    memcpy(x->a + (size_t)w->layer * f, in + row_of(x, 0) * f, f * sizeof *in);
    x->m->ops->unmap(y->x);
}

/* Forward and, where P's gradient is wanted, backward of n copies. */
static int run_copies(struct attribution *x, const struct forward *how, struct arena *a,
                      struct err *e)
{
    struct model *m = x->m;
    struct batch b;
    struct pass p;
    struct label_rows rows;
    struct head h;
    struct seq *seqs = arena_take(a, (size_t)x->n, sizeof *seqs, e);
    for (int i = 0; seqs && i < x->n; i++)
        seqs[i] = *x->one;
    if (!seqs || batch_pack(&b, seqs, x->n, m->cfg.vocab, m->cfg.positions, a, e) ||
        model_forward(m, &b, how, &p, a, e))
        return -1;
    if (!how->keep)
        return 0;
    const size_t all = (size_t)b.n_tokens * (size_t)m->cfg.width;
    float *logp = arena_take(a, 2 * (size_t)x->n, sizeof *logp, e), *lse = logp + x->n;
    device float *dx = logp ? m->ops->take(a, all, e) : NULL;
    if (!dx || batch_label_rows(&rows, &b, seqs, a, e) || head_init(&h, &p, &rows, true, a, e))
        return -1;
    m->ops->fill(dx, 0, all);
    head_logp(&h, logp, lse, NULL);
    for (int i = 0; i < x->n; i++)
        logp[i] = expf(logp[i]); /* d P / d log P = P */
    head_logp_back(&h, logp, lse, NULL);
    return head_finish_back(&h, dx, NULL, a, e) || pass_backward(&p, dx, NULL, a, e) ? -1 : 0;
}

/* out [F] of the layer. */
static int attribute_layer(struct attribution *x, double *out, struct arena *a, struct err *e)
{
    struct model *m = x->m;
    const size_t f = (size_t)m->cfg.ff, c = (size_t)m->cfg.width;
    struct tap tap = {.place = PLACE_MLP_OUT,
                      .layer = x->layer,
                      .forward = scale_copies,
                      .backward = add_gradients,
                      .ctx = x,
                      .reads = true};
    const struct forward how = {.keep = true, .taps = &tap, .n_taps = 1};
    const int most = TOKENS_AT_ONCE / x->one->n > 0 ? TOKENS_AT_ONCE / x->one->n : 1;
    memset(x->sum, 0, c * sizeof *x->sum);
    for (x->first = 0; x->first < x->points; x->first += x->n) {
        x->n = x->points - x->first < most ? x->points - x->first : most;
        arena_reset(a);
        if (interrupt_check(x->s->stop, e) || run_copies(x, &how, a, e))
            return -1;
    }
    const int down = weight_index(&m->table, W_DOWN, x->layer);
    const float *w = scores_weight(x->s, down); /* [C,F] */
    const double scale = (double)m->cfg.residual_scale / x->points;
    for (size_t j = 0; j < f; j++) {
        double dot = 0;
        for (size_t k = 0; k < c; k++)
            dot += (double)w[k * f + j] * x->sum[k];
        out[j] = (double)x->a[(size_t)x->layer * f + j] * scale * dot;
    }
    scores_weight_done(x->s, down);
    return 0;
}

static int attribute_layers(struct attribution *x, double *out, struct arena *a, struct err *e)
{
    struct model *m = x->m;
    const struct linear_tap tap = {.forward = keep_inputs, .ctx = x};
    const struct forward clean = {.linear = &tap};
    int rc = 0;
    x->n = 1;
    if (run_copies(x, &clean, a, e))
        return -1;
    for (x->layer = 0; x->layer < m->cfg.layers && !rc; x->layer++) {
        const bool biased = weight_has(&m->table, W_DOWN_B);
        const int bias = biased ? weight_index(&m->table, W_DOWN_B, x->layer) : -1;
        x->bias = biased ? scores_weight(x->s, bias) : NULL;
        rc = attribute_layer(x, out + (size_t)x->layer * (size_t)m->cfg.ff, a, e);
        if (biased)
            scores_weight_done(x->s, bias);
    }
    return rc;
}

int scores_attribution(const struct scoring *s, const struct seq *q, int points, double *out,
                       struct err *e)
{
    struct model *m = s->engine->model;
    const size_t n = (size_t)m->cfg.layers * (size_t)m->cfg.ff;
    struct answer_token at = {.labels = NULL};
    struct arena a;
    arena_init(&a);
    struct attribution x = {.s = s,
                            .m = m,
                            .one = &at.seq,
                            .points = points,
                            .a = mem_alloc(n, sizeof(float), e),
                            .sum = mem_alloc((size_t)m->cfg.width, sizeof(double), e)};
    int rc = !x.a || !x.sum || answer_token_init(&at, q, e) ? -1 : 0;
    if (!rc)
        rc = attribute_layers(&x, out, &a, e);
    answer_token_fini(&at);
    arena_fini(&a);
    free(x.a);
    free(x.sum);
    return rc;
}

/* --- the locators --- */

struct neurons {
    double threshold, agree;
    int64_t points;
};

#define POINTS INT_PARAM(struct neurons, points, 1, 10000, 20, "points of the integral")

static const struct param depn_params[] = {
    POINTS,
    REAL_PARAM(struct neurons, threshold, 0, 1, 0.1,
               "without a share, sums from this part of the largest on are kept"),
    {0},
};

static const struct param knowledge_params[] = {
    POINTS,
    REAL_PARAM(struct neurons, threshold, 0, 1, 0.2,
               "a row has the neurons from this part of its largest attribution on"),
    REAL_PARAM(struct neurons, agree, 0, 1, 0.7,
               "without a share, neurons that so many of the rows have are kept"),
    {0},
};

static double largest(const double *x, size_t n)
{
    double top = 0;
    for (size_t k = 0; k < n; k++)
        top = fmax(top, x[k]);
    return top;
}

/* What a row's attributions add to the scores. */
typedef void add_row(struct scoring *s, const struct neurons *p, const double *x, size_t n);

static void add_sum(struct scoring *s, const struct neurons *p, const double *x, size_t n)
{
    (void)p;
    for (size_t k = 0; k < n; k++)
        s->v[k] += (float)x[k];
}

static void add_share(struct scoring *s, const struct neurons *p, const double *x, size_t n)
{
    const double top = largest(x, n);
    for (size_t k = 0; k < n; k++)
        s->v[k] += top > 0 && x[k] >= p->threshold * top;
}

static int each_row(struct scoring *s, const struct neurons *p, add_row *add, struct err *e)
{
    const struct model *m = s->engine->model;
    const struct dataset *set = s->engine->sets[ROLE_FORGET];
    const size_t n = (size_t)m->cfg.layers * (size_t)m->cfg.ff;
    double *x = mem_alloc(n, sizeof *x, e);
    struct progress bar;
    int rc = x ? 0 : -1;
    if (weight_has(&m->table, W_NORM_MLP_POST) || m->cfg.experts)
        rc = err_set(e, "%s: attributions are of MLPs whose output is added as it is",
                     m->cfg.experts ? "a model with experts" : "a model with norms after its MLPs");
    progress_start(&bar, "forget", set->n);
    for (int i = 0; i < set->n && !rc; i++) {
        rc = scores_attribution(s, &set->seqs[i], (int)p->points, x, e);
        if (rc)
            err_prefix(e, "row %d: ", i);
        else
            add(s, p, x, n);
        s->tokens += (double)seq_prompt(&set->seqs[i]) * (double)p->points * m->cfg.layers;
        progress_step(&bar, i + 1, s->tokens, NULL);
    }
    progress_end(&bar);
    free(x);
    return rc;
}

static int score_depn(const void *params, struct scoring *s, struct err *e)
{
    const struct neurons *p = params;
    const struct model_config *c = &s->engine->model->cfg;
    float top = 0;
    if (each_row(s, p, add_sum, e))
        return -1;
    for (size_t k = 0; k < (size_t)c->layers * (size_t)c->ff; k++)
        top = fmaxf(top, s->v[k]);
    s->least = p->threshold * (double)top;
    return 0;
}

static int score_knowledge(const void *params, struct scoring *s, struct err *e)
{
    const struct neurons *p = params;
    if (each_row(s, p, add_share, e))
        return -1;
    s->least = p->agree * s->engine->sets[ROLE_FORGET]->n;
    return 0;
}

const struct locator locator_depn = {
    .name = "depn",
    .help = "MLP neurons to which the answers are attributed, all rows together",
    .paper = "arXiv 2310.20138",
    .formula = "sum over rows of integrated gradients of P(first answer token)",
    .verified = "attributions and neurons kept in f64 by PyTorch",
    .params = depn_params,
    .params_size = sizeof(struct neurons),
    .unit = UNIT_NEURON,
    .roles = 1U << ROLE_FORGET,
    .score = score_depn,
};

const struct locator locator_knowledge = {
    .name = "knowledge",
    .help = "MLP neurons to which the answers of most rows are attributed (knowledge neurons)",
    .paper = "arXiv 2104.08696",
    .formula = "number of rows whose attribution reaches a part of the row's largest",
    .verified = "its formula, on the verified attributions",
    .params = knowledge_params,
    .params_size = sizeof(struct neurons),
    .unit = UNIT_NEURON,
    .roles = 1U << ROLE_FORGET,
    .score = score_knowledge,
};
