/* Scores of elements from gradients of the forget and the retain rows: g_f, g_r are sums over
 * batches of the gradient of the batch's token mean, g_r over as many retain rows as there are
 * forget rows.
 *
 * Forms of the code at OPTML-Group/Unlearn-Saliency and OPTML-Group/WAGLE, as far as these do not
 * differ by mistake: a 0/0, where a token's embedding has no gradient, is not kept. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "locate/locators.h"
#include "locate/scores.h"

#define FORGET (1U << ROLE_FORGET)
#define RETAIN (1U << ROLE_RETAIN)

/* Score of one element: theta, g_f, g_r, the parameters. */
typedef double element_score(double w, double f, double r, const void *params);

/* v = the score of each element; g_r is NULL where the score does not use it. v holds g_f. */
static void combine(const struct scoring *s, element_score *fun, const void *params,
                    const device float *g_r)
{
    const struct weight_table *t = &s->engine->model->table;
    const struct ops *o = s->engine->model->ops;
    const float *r = g_r ? o->map_read(g_r, t->grads) : NULL;
    for (int i = 0; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        float *v = s->v + w->at;
        if (!w->trainable)
            continue;
        const float *x = scores_weight(s, i);
#pragma omp parallel for schedule(static)
        for (size_t k = 0; k < w->count; k++) {
            double score = fun((double)x[k], (double)v[k], r ? (double)r[w->at + k] : 0, params);
            v[k] = isnan(score) ? -INFINITY : (float)score;
        }
        scores_weight_done(s, i);
    }
    if (r)
        o->unmap(g_r);
}

/* v = g_f. */
static int take_forget(struct scoring *s, struct err *e)
{
    device float *f = scores_gradient(s, ROLE_FORGET, false, e);
    if (f)
        scores_hold(s, f);
    return f ? 0 : -1;
}

static int score_forget(struct scoring *s, element_score *fun, struct err *e)
{
    if (take_forget(s, e))
        return -1;
    combine(s, fun, NULL, NULL);
    return 0;
}

static int score_both(struct scoring *s, element_score *fun, const void *params, struct err *e)
{
    device float *r = scores_gradient(s, ROLE_RETAIN, true, e);
    if (r && !take_forget(s, e))
        combine(s, fun, params, r);
    s->engine->model->ops->free(r);
    return s->v ? 0 : -1;
}

static double saliency(double w, double f, double r, const void *p)
{
    (void)w, (void)r, (void)p;
    return fabs(f);
}

static double snip(double w, double f, double r, const void *p)
{
    (void)r, (void)p;
    return fabs(f * w);
}

static double product(double w, double f, double r, const void *p)
{
    (void)w, (void)p;
    return f * r;
}

/* 1/mu is so large in the code's configurations that the weight has no influence. */
struct wagle {
    double mu;
};

static double wagle(double w, double f, double r, const void *p)
{
    return fabs((w - r / ((const struct wagle *)p)->mu) * f);
}

static double wagle_gn(double w, double f, double r, const void *p)
{
    (void)p;
    return fabs((w - r / (r * r)) * f);
}

static int score_saliency(const void *p, struct scoring *s, struct err *e)
{
    (void)p;
    return score_forget(s, saliency, e);
}

static int score_snip(const void *p, struct scoring *s, struct err *e)
{
    (void)p;
    return score_forget(s, snip, e);
}

static int score_product(const void *p, struct scoring *s, struct err *e)
{
    return score_both(s, product, p, e);
}

static int score_wagle(const void *p, struct scoring *s, struct err *e)
{
    return score_both(s, wagle, p, e);
}

static int score_wagle_gn(const void *p, struct scoring *s, struct err *e)
{
    return score_both(s, wagle_gn, p, e);
}

/* --- the paper's WAGLE: theta g_f - g_r g_f / gamma, with gamma the diagonal of the retain loss's
 * Hessian, for which the empirical Fisher stands here --- */

struct paper {
    double gamma, damping;
};

static double wagle_paper(double w, double f, double r, const void *p)
{
    (void)p;
    return fabs(f * (w - r));
}

/* r = g_r / gamma. */
static int divide_by_fisher(struct scoring *s, const struct paper *p, device float *g_r,
                            struct err *e)
{
    const struct weight_table *t = &s->engine->model->table;
    int n, *rows = scores_rows(s, ROLE_RETAIN, &n, e);
    const struct ops *o = s->engine->model->ops;
    device float *diagonal = rows ? o->alloc(t->grads, e) : NULL;
    const struct data_rows all = {ROLE_RETAIN, rows, n, 1};
    int rc = diagonal && (p->gamma > 0 || !derivative_fisher(s->engine, GOAL_BIT(GOAL_RETAIN), &all,
                                                             FISHER_EMPIRICAL, 1, 0, diagonal, e))
                 ? 0
                 : -1;
    if (!rc) {
        float *r = o->map(g_r, t->grads);
        const float *fisher = o->map_read(diagonal, t->grads);
        for (size_t k = 0; k < t->grads; k++)
            r[k] =
                (float)((double)r[k] / (p->gamma > 0 ? p->gamma : (double)fisher[k] + p->damping));
        o->unmap(g_r);
        o->unmap(diagonal);
    }
    o->free(diagonal);
    free(rows);
    return rc;
}

static int score_paper(const void *p, struct scoring *s, struct err *e)
{
    device float *r = scores_gradient(s, ROLE_RETAIN, true, e);
    if (r && !divide_by_fisher(s, p, r, e) && !take_forget(s, e))
        combine(s, wagle_paper, p, r);
    s->engine->model->ops->free(r);
    return s->v ? 0 : -1;
}

static const struct param wagle_params[] = {
    REAL_PARAM(struct wagle, mu, 1e-30, 1e30, 1e-6, "divides the retain gradient"),
    {0},
};

static const struct param paper_params[] = {
    REAL_PARAM(struct paper, gamma, 0, 1e30, 0,
               "the Hessian as one number; 0: its diagonal, by the Fisher of the retain rows"),
    REAL_PARAM(struct paper, damping, 0, 1e30, 1e-8, "added to the Fisher's diagonal"),
    {0},
};

const struct locator locator_salun = {
    .name = "salun",
    .help = "largest gradients of the forget loss",
    .paper = "arXiv 2310.12508",
    .formula = "|g_f|",
    .verified = "the authors' code, masks index for index",
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .roles = FORGET,
    .score = score_saliency,
};

const struct locator locator_gradient = {
    .name = "gradient",
    .help = "the same, as WAGLE's code has it",
    .paper = "arXiv 2410.17509",
    .formula = "|g_f|",
    .verified = "the authors' code, masks index for index",
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .roles = FORGET,
    .score = score_saliency,
};

const struct locator locator_snip = {
    .name = "snip",
    .help = "what removing a weight would change in the forget loss, to first order",
    .paper = "arXiv 1810.02340",
    .formula = "|g_f theta|",
    .verified = "WAGLE's code, masks index for index",
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .roles = FORGET,
    .score = score_snip,
};

const struct locator locator_hessian_free = {
    .name = "hessian-free",
    .help = "forget and retain gradients of the same sign",
    .paper = "arXiv 2410.17509",
    .formula = "g_f g_r, signed",
    .verified = "the authors' code, masks index for index",
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .roles = FORGET | RETAIN,
    .pairs = true,
    .score = score_product,
};

const struct locator locator_wagle = {
    .name = "wagle",
    .help = "weight attribution, as its code has it: in effect |g_f g_r|",
    .paper = "arXiv 2410.17509",
    .formula = "|(theta - g_r/mu) g_f|",
    .verified = "the authors' code, masks index for index",
    .params = wagle_params,
    .params_size = sizeof(struct wagle),
    .unit = UNIT_ELEMENT,
    .ratio = 0.95,
    .roles = FORGET | RETAIN,
    .pairs = true,
    .score = score_wagle,
};

const struct locator locator_wagle_gn = {
    .name = "wagle-gn",
    .help = "weight attribution with the squared retain gradient as the Hessian",
    .paper = "arXiv 2410.17509",
    .formula = "|(theta - g_r/g_r^2) g_f|; never kept where g_r is 0",
    .verified = "the authors' code, masks index for index",
    .unit = UNIT_ELEMENT,
    .ratio = 0.95,
    .roles = FORGET | RETAIN,
    .pairs = true,
    .score = score_wagle_gn,
};

const struct locator locator_wagle_paper = {
    .name = "wagle-paper",
    .help = "weight attribution as the paper has it, the retain Hessian's diagonal by its Fisher",
    .paper = "arXiv 2410.17509",
    .formula = "|theta g_f - g_r g_f / gamma|, gamma = mean of squared row gradients + damping",
    .verified = "its gradients and Fisher; no reference for the rest",
    .params = paper_params,
    .params_size = sizeof(struct paper),
    .unit = UNIT_ELEMENT,
    .ratio = 0.95,
    .roles = FORGET | RETAIN,
    .pairs = true,
    .score = score_paper,
};
