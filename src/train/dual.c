#include "train/dual.h"

#include <math.h>

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
