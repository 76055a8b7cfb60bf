/* How the vectors of several models become one (arithmetic of task vectors). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sort.h"
#include "merge/merge.h"

/* --- weighted sums: negation, soups, adapters --- */

static int combine_sum(struct merging *g, struct err *e)
{
    for (int k = 0; k < g->n; k++) {
        if (merging_read(g, k, e))
            return -1;
        for (size_t j = 0; j < g->w->count; j++)
            g->sum[j] += g->v[k].weight * merging_tau(g, j);
    }
    return 0;
}

/* --- NegMerge: the mean where all signs agree --- */

/* NaN marks where they do not: an exact zero agrees with nothing. */
static int combine_unanimous(struct merging *g, struct err *e)
{
    for (int k = 0; k < g->n; k++) {
        const double weight = g->v[k].weight / g->n;
        if (merging_read(g, k, e))
            return -1;
        for (size_t j = 0; j < g->w->count; j++) {
            const double t = merging_tau(g, j), before = k ? g->sum[j] : t;
            const bool agree = (t > 0 && before > 0) || (t < 0 && before < 0);
            g->sum[j] = agree ? g->sum[j] + weight * t : NAN;
        }
    }
    for (size_t j = 0; j < g->w->count; j++)
        g->sum[j] = isnan(g->sum[j]) ? 0 : g->sum[j];
    return 0;
}

static int check_positive(struct merging *g, struct err *e)
{
    for (int k = 0; k < g->n; k++)
        if (!(g->v[k].weight > 0))
            return err_set(e, "the weight of '%s' is %g: signs are compared, so it must be above 0",
                           g->v[k].name, g->v[k].weight);
    return 0;
}

/* --- TIES and DARE: what of a vector is kept; the sign that is elected --- */

struct ties_params {
    double density;
    const char *scope;
};

static const struct param ties_table[] = {
    REAL_PARAM(struct ties_params, density, 1e-6, 1, 0.2,
               "share of each vector that is kept, by magnitude"),
    CHOICE_PARAM(struct ties_params, scope, "whole|tensor", "whole",
                 "the largest of the whole vector, means weighted by magnitudes (the paper), or of "
                 "each tensor, means by signed weights (mergekit)"),
    {0}};

struct dare_params {
    double drop;
    const char *rescale;
};

static const struct param dare_table[] = {
    REAL_PARAM(struct dare_params, drop, 0, 0.999999, 0.5,
               "probability that an element of a vector is dropped"),
    CHOICE_PARAM(struct dare_params, rescale, "paper|l1", "paper",
                 "what is left is multiplied by 1/(1-drop), or so that each tensor keeps its L1 "
                 "norm (mergekit)"),
    {0}};

/* How many of n elements TIES drops, the smallest. */
static size_t dropped(const struct ties_params *p, size_t n, bool whole)
{
    const size_t kept = (size_t)(p->density * (double)n);
    return n - (whole && kept < n ? kept + 1 : kept ? kept : 1);
}

static void see_all(struct kth *r, const struct merging *g)
{
    for (size_t j = 0; j < g->w->count; j++)
        kth_see(r, (float)merging_tau(g, j));
}

/* The smallest magnitude that is kept. */
static double choose(struct kth *r, size_t *k)
{
    return (double)kth_choose(r, k);
}

struct source_rank {
    struct kth rank;
    int k;
};

static int see_source(struct merging *g, void *ctx, struct err *e)
{
    struct source_rank *c = ctx;
    if (merging_read(g, c->k, e))
        return -1;
    see_all(&c->rank, g);
    return 0;
}

/* Thresholds of the whole vectors, in two passes over the models. */
static int prepare_ties(struct merging *g, struct err *e)
{
    const struct ties_params *p = g->rule->params;
    if (strcmp(p->scope, "whole"))
        return 0;
    int rc = 0;
    for (int k = 0; !rc && k < g->n; k++) {
        struct source_rank c = {.k = k};
        rc = kth_init(&c.rank, e) || merging_each(g, see_source, &c, e);
        size_t left = rc ? 0 : dropped(p, c.rank.n, true) + 1;
        if (!rc) {
            choose(&c.rank, &left);
            rc = merging_each(g, see_source, &c, e);
        }
        if (!rc)
            g->v[k].threshold = choose(&c.rank, &left);
        free(c.rank.count);
    }
    return rc;
}

/* What is kept of the vector at hand: magnitudes from `least` on, or what a draw does not drop, by
 * `scale`. */
struct filter {
    double least, drop, scale;
    uint64_t key;
    const uint64_t *kept; /* instead of a draw: bits by weight.offset */
};

static bool drops(const struct filter *f, size_t at)
{
    return f->kept ? !(f->kept[at / 64] >> at % 64 & 1)
                   : (double)(rng_at(f->key, at) >> 11) * 0x1p-53 < f->drop;
}

static double filtered(const struct merging *g, const struct filter *f, size_t j)
{
    const double t = merging_tau(g, j);
    if (f->drop > 0 && drops(f, g->w->offset + j))
        return 0;
    return (double)fabsf((float)t) >= f->least ? f->scale * t : 0;
}

static int trim(struct merging *g, int k, struct filter *f, struct err *e)
{
    const struct ties_params *p = g->rule->params;
    *f = (struct filter){.least = g->v[k].threshold, .scale = 1};
    if (merging_read(g, k, e) || !strcmp(p->scope, "whole"))
        return g->x ? 0 : -1;
    struct kth rank;
    if (kth_init(&rank, e))
        return -1;
    size_t left = dropped(p, g->w->count, false) + 1;
    see_all(&rank, g);
    choose(&rank, &left);
    see_all(&rank, g);
    f->least = choose(&rank, &left);
    free(rank.count);
    return 0;
}

static int draw(struct merging *g, int k, struct filter *f, struct err *e)
{
    const struct dare_params *p = g->rule->params;
    *f = (struct filter){
        .drop = p->drop, .scale = 1, .key = rng_at(g->seed, (uint64_t)k + 1), .kept = g->v[k].kept};
    if (merging_read(g, k, e))
        return -1;
    double all = 0, kept = 0;
    for (size_t j = 0; j < g->w->count && !strcmp(p->rescale, "l1"); j++) {
        all += fabs(merging_tau(g, j));
        kept += fabs(filtered(g, f, j));
    }
    f->scale = strcmp(p->rescale, "l1") ? 1 / (1 - p->drop) : kept > 0 ? all / kept : 1;
    return 0;
}

typedef int make_filter(struct merging *g, int k, struct filter *f, struct err *e);

/* Of the vectors whose sign at an element is that of their weighted sum there (0: +), the weighted
 * sum, divided by the sum of their weights' magnitudes, or of the weights as they are (where that
 * is 0, by 1), or not at all. */
enum divided { BY_MAGNITUDES, BY_WEIGHTS, BY_NOTHING };

static int combine_elected(struct merging *g, make_filter *filter, enum divided mean, struct err *e)
{
    const size_t n = g->w->count;
    struct filter f;
    if ((!g->divisor && !(g->divisor = mem_alloc(g->most, sizeof *g->divisor, e))) ||
        (!g->elected && !(g->elected = mem_alloc(g->most, 1, e))))
        return -1;
    for (int k = 0; k < g->n; k++) {
        if (filter(g, k, &f, e))
            return -1;
        for (size_t j = 0; j < n; j++)
            g->sum[j] += g->v[k].weight * filtered(g, &f, j);
    }
    for (size_t j = 0; j < n; j++) {
        g->elected[j] = g->sum[j] >= 0;
        g->sum[j] = g->divisor[j] = 0;
    }
    for (int k = 0; k < g->n; k++) {
        const double weight = g->v[k].weight;
        if (filter(g, k, &f, e))
            return -1;
        for (size_t j = 0; j < n; j++) {
            const double t = weight * filtered(g, &f, j);
            if (t != 0 && (t > 0) == g->elected[j]) {
                g->sum[j] += t;
                g->divisor[j] += mean == BY_WEIGHTS ? weight : fabs(weight);
            }
        }
    }
    for (size_t j = 0; j < n && mean != BY_NOTHING; j++)
        g->sum[j] /= g->divisor[j] != 0 ? g->divisor[j] : 1;
    return 0;
}

static int combine_ties(struct merging *g, struct err *e)
{
    const struct ties_params *p = g->rule->params;
    return combine_elected(g, trim, strcmp(p->scope, "whole") ? BY_WEIGHTS : BY_MAGNITUDES, e);
}

static int combine_dare(struct merging *g, struct err *e)
{
    struct filter f;
    for (int k = 0; k < g->n; k++) {
        if (draw(g, k, &f, e))
            return -1;
        for (size_t j = 0; j < g->w->count; j++)
            g->sum[j] += g->v[k].weight * filtered(g, &f, j);
    }
    return 0;
}

static int combine_dare_ties(struct merging *g, struct err *e)
{
    return combine_elected(g, draw, BY_NOTHING, e);
}

/* --- UNDO: towards noise --- */

struct undo_params {
    double alpha, beta;
};

static const struct param undo_table[] = {
    REAL_PARAM(struct undo_params, alpha, 0, 1, 0.3,
               "the weights become (1 - alpha) w + alpha beta N"),
    REAL_PARAM(struct undo_params, beta, 0, 100, 0.1,
               "scale of N, Xavier's uniform noise on matrices, 0 on vectors; 0: pure shrinking"),
    {0}};

static int combine_noise(struct merging *g, struct err *e)
{
    (void)e;
    const struct undo_params *p = g->rule->params;
    const struct weight *w = g->w;
    const bool matrix = w->n_dims == 2;
    const double bound = matrix ? sqrt(6.0 / (double)(w->shape[0] + w->shape[1])) : 0;
    const uint64_t key = rng_at(g->seed, 0);
    for (size_t j = 0; j < w->count; j++) {
        const double u = (double)(rng_at(key, w->offset + j) >> 11) * 0x1p-53;
        g->sum[j] = p->alpha * (p->beta * bound * (2 * u - 1) - (double)g->theta[j]);
    }
    return 0;
}

/* --- the table --- */

#define PARAMS(name) .params = name##_table, .params_size = sizeof(struct name##_params)

static const struct merge_rule negate = {
    .name = "negate",
    .help = "subtract the task vectors: theta - lambda sum w tau",
    .paper = "arXiv 2212.04089",
    .verified = "MUSE's task_vector.py",
    .sign = -1,
    .combine = combine_sum,
};

static const struct merge_rule negmerge = {
    .name = "negmerge",
    .help = "subtract the mean of the task vectors where the signs of all agree",
    .paper = "arXiv 2410.05583",
    .verified = "NegMerge's script, plain loops",
    .sign = -1,
    .prepare = check_positive,
    .combine = combine_unanimous,
};

static const struct merge_rule ties = {
    .name = "ties",
    PARAMS(ties),
    .help = "trim the vectors, elect signs, add the mean of those that agree (a negative lambda "
            "subtracts)",
    .paper = "arXiv 2306.01708",
    .verified = "the authors' code, mergekit 0.1.5",
    .sign = 1,
    .prepare = prepare_ties,
    .combine = combine_ties,
};

static const struct merge_rule dare = {
    .name = "dare",
    PARAMS(dare),
    .help = "drop elements of the vectors at random, rescale the rest, add their weighted sum",
    .paper = "arXiv 2311.03099",
    .verified = "MergeLM, mergekit 0.1.5 (with their masks)",
    .sign = 1,
    .combine = combine_dare,
};

static const struct merge_rule dare_ties = {
    .name = "dare_ties",
    PARAMS(dare),
    .help = "DARE, then TIES' election of signs: the sum of the vectors that agree",
    .paper = "arXiv 2311.03099",
    .verified = "mergekit 0.1.5 (with its masks)",
    .sign = 1,
    .combine = combine_dare_ties,
};

static const struct merge_rule soup = {
    .name = "soup",
    .help = "interpolate: theta + sum w tau; the base has the rest of the weight",
    .paper = "arXiv 2203.05482",
    .verified = "PyTorch in f64",
    .sign = 1,
    .combine = combine_sum,
};

static const struct merge_rule undo = {
    .name = "undo",
    PARAMS(undo),
    .help = "shrink the weights and add noise, before distillation",
    .paper = "arXiv 2506.06278",
    .verified = "its definition, in PyTorch and in loops",
    .sign = 1,
    .alone = true,
    .combine = combine_noise,
};

static const struct merge_rule cat = {
    .name = "cat",
    .help = "add adapters, exactly: factors are stacked, ranks add up",
    .paper = "arXiv 2106.09685",
    .verified = "PEFT's add_weighted_adapter",
    .sign = 1,
    .stacks = true,
    .combine = combine_sum,
};

static const struct merge_rule svd = {
    .name = "svd",
    .help = "add adapters or models, then truncate to the rank of the output",
    .verified = "PEFT's add_weighted_adapter",
    .sign = 1,
    .combine = combine_sum,
};

static const struct merge_rule pem = {
    .name = "pem",
    .help = "subtract adapters: theta - lambda sum w s B A, as flipping the sign of A",
    .paper = "arXiv 2306.14870",
    .verified = "PEFT's add_weighted_adapter, the paper's formula",
    .sign = -1,
    .stacks = true,
    .combine = combine_sum,
};

const struct merge_rule *const merge_rules[] = {&negate, &negmerge, &ties, &dare, &dare_ties, &soup,
                                                &undo,   &cat,      &svd,  &pem,  NULL};
