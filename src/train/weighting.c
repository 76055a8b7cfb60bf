#include "train/weighting.h"

#include <math.h>
#include <strings.h>

const struct param weighting_params[] = {
    CHOICE_PARAM(
        struct weighting_options, term_weights, "constant|turns|epoch|breaker", "constant",
        "schedule of the term weights; turns: epochs of the forget terms alone alternate "
        "with epochs of the retain terms alone; epoch: retain weights rise epoch by epoch; "
        "breaker: retain weights rise, forget weights fall"),
    INT_PARAM(struct weighting_options, msteps, 1, 1000, 2,
              "number of forget epochs with turns: the epochs 0, 2 .. 2 msteps - 2 of the run"),
    {0},
};

/* Max-epochs on the forget data and min-epochs on the retain data: `msteps` times one of each, then
 * min-epochs only. The default of 2 with 5 epochs is the setting of arXiv 2302.09880, and that of
 * arXiv 2406.07933, which maximises in the epochs 0 and 2. */
static void turns(const struct moment *at, double *forget, double *retain)
{
    *forget = at->turn;
    *retain = !at->turn;
}

static void epoch(const struct moment *at, double *forget, double *retain)
{
    *forget = 1;
    *retain = (double)at->epoch / at->epochs;
}

static void breaker(const struct moment *at, double *forget, double *retain)
{
    *retain = (double)at->step / (2 * (double)at->total);
    *forget = 1 - *retain;
}

const struct weighting weightings[] = {
    {"turns", "arXiv 2302.09880",
     "gamma and 0 in the epochs 0, 2 .. 2 msteps - 2, 0 and alpha in all others", true, turns},
    {"epoch", "arXiv 2404.18239", "gamma and alpha e / E in epoch e = 0 .. E - 1", false, epoch},
    {"breaker", "arXiv 2406.04313", "gamma (1 - t / 2T) and alpha t / 2T at step t = 0 .. T - 1",
     false, breaker},
    {0},
};

const struct weighting *weighting_of(const struct weighting_options *o)
{
    for (const struct weighting *w = weightings; w->name; w++)
        if (!strcasecmp(w->name, o->term_weights))
            return w;
    return NULL;
}

int weighting_turns(const struct weighting_options *o)
{
    const struct weighting *w = weighting_of(o);
    return w && w->takes_turns ? (int)o->msteps : 0;
}

void weighting_apply(const struct weighting *w, const struct moment *at, struct engine *g)
{
    double forget, retain;
    w->factors(at, &forget, &retain);
    for (int i = 0; i < g->n_obj; i++) {
        struct objective *o = &g->obj[i];
        o->factor = o->goal == GOAL_FORGET ? forget : o->goal == GOAL_RETAIN ? retain : 1;
    }
}

static bool dual_of(const struct objective *o, struct dual *d)
{
    return o->dual && o->term->dual(o->params, d);
}

static void move(struct objective *o, const struct dual *d, double value)
{
    o->weight = fmax(0, o->weight + d->step * value);
}

void dual_after_micro(struct gradient *g, int k, const struct micro_result *res)
{
    struct engine *en = g->engine;
    struct dual d;
    for (int i = 0; i < en->n_obj && en->compat & COMPAT_MICRO_MEAN; i++)
        if (dual_of(&en->obj[i], &d) && !d.each_epoch &&
            order_epoch(g->order, g->first + k) >= d.warmup_epochs)
            move(&en->obj[i], &d, res->loss[i] * g->n);
}

/* The objective's value over the micro-batches first..first+n, without any gradient. */
static int measure(struct gradient *g, int i, int first, int n, double *value, struct err *e)
{
    struct engine *en = g->engine;
    struct norm norm;
    unsigned goals = en->goals;
    int rc = 0;
    en->goals = GOAL_BIT(en->obj[i].goal);
    en->frozen = en->measuring = true;
    engine_count(en, g->order, first, n, &norm);
    *value = 0;
    for (int k = first; k < first + n && !rc; k++) {
        struct micro_result res;
        rc = engine_micro(en, &g->order->micro[k], &norm, &res, e);
        *value += rc ? 0 : res.loss[i];
    }
    en->goals = goals;
    en->frozen = en->measuring = false;
    return rc;
}

int dual_after_step(struct gradient *g, struct err *e)
{
    struct engine *en = g->engine;
    int before = order_epoch(g->order, g->first), after = order_epoch(g->order, g->first + g->n);
    int begin = order_epoch_start(g->order, after - 1), end = order_epoch_start(g->order, after);
    for (int i = 0; i < en->n_obj; i++) {
        struct objective *o = &en->obj[i];
        struct dual d;
        double value = g->loss[i];
        if (!dual_of(o, &d) || o->factor == 0 || (!d.each_epoch && en->compat & COMPAT_MICRO_MEAN))
            continue;
        bool due =
            d.each_epoch ? after > before && after >= d.warmup_epochs : before >= d.warmup_epochs;
        if (due && d.each_epoch && measure(g, i, begin, end - begin, &value, e))
            return -1;
        if (due)
            move(o, &d, value);
    }
    return 0;
}
