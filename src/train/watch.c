#include "train/watch.h"

#include <math.h>
#include <stddef.h>

#define FIELD(f) offsetof(struct watch_options, f)
const struct param watch_params[] = {
    {"stop_nll", PARAM_REAL, FIELD(stop_nll), 0, 1e6, NULL, "0", NULL,
     "end the run once the mean NLL of the forget answers is above X (LLMU); 0: never"},
    {"stop_el", PARAM_REAL, FIELD(stop_el), 0, 1, NULL, "0", NULL,
     "end it once the forget texts' extraction likelihood EL_10 is below X, and stop_ma holds if "
     "it "
     "is given, too (arXiv 2210.01504: their means on texts that the model never saw); 0: never"},
    {"stop_ma", PARAM_REAL, FIELD(stop_ma), 0, 1, NULL, "0", NULL,
     "the same of their memorisation accuracy, the share of tokens that are its first choice"},
    {"eval_every", PARAM_INT, FIELD(eval_every), 0, 1e9, NULL, "0", NULL,
     "steps between looks at the forget and retain data, which go to train.jsonl; 0: after each "
     "epoch if there is a bound to look at"},
    {"eval_rows", PARAM_INT, FIELD(eval_rows), 0, 1e9, NULL, "128", NULL,
     "look at the first N rows of each; 0: all"},
    {0},
};

static const char *const figure_name[FIGURE_COUNT] = {"forget_nll", "retain_nll", "el", "ma"};

bool watch_wanted(const struct watch_options *o)
{
    return o->eval_every > 0 || o->stop_nll > 0 || o->stop_el > 0 || o->stop_ma > 0;
}

bool watch_is_due(const struct watch_options *o, long done, long n, bool epoch)
{
    long every = (long)o->eval_every;
    return every ? done / every > (done - n) / every : epoch && watch_wanted(o);
}

/* Both of arXiv 2210.01504's conditions, or the one that is given. */
static bool is_forgotten(const struct watch_options *o, const double *v)
{
    bool el = o->stop_el > 0, ma = o->stop_ma > 0;
    return (el || ma) && (!el || v[FIGURE_EL] < o->stop_el) && (!ma || v[FIGURE_MA] < o->stop_ma);
}

int watch_look(const struct watch *w, struct look *l, struct err *e)
{
    const struct watch_options *o = w->o;
    double *v = l->figures;
    l->stop[0] = 0;
    if (w->measure(w->ctx, v, e))
        return -1;
    if (o->stop_nll > 0 && !(v[FIGURE_FORGET_NLL] <= o->stop_nll))
        snprintf(l->stop, sizeof l->stop, "forget_nll %.6g is above stop_nll %g",
                 v[FIGURE_FORGET_NLL], o->stop_nll);
    else if (is_forgotten(o, v) && o->stop_el > 0 && o->stop_ma > 0)
        snprintf(l->stop, sizeof l->stop,
                 "el %.4g is below stop_el %g and ma %.4g below stop_ma %g", v[FIGURE_EL],
                 o->stop_el, v[FIGURE_MA], o->stop_ma);
    else if (is_forgotten(o, v))
        snprintf(l->stop, sizeof l->stop, "%s %.4g is below stop_%s %g",
                 figure_name[o->stop_el > 0 ? FIGURE_EL : FIGURE_MA],
                 v[o->stop_el > 0 ? FIGURE_EL : FIGURE_MA], o->stop_el > 0 ? "el" : "ma",
                 o->stop_el > 0 ? o->stop_el : o->stop_ma);
    return 0;
}

json_t *look_json(const struct look *l)
{
    json_t *j = json_object();
    for (int i = 0; i < FIGURE_COUNT; i++)
        if (!isnan(l->figures[i]))
            json_object_set_new(j, figure_name[i], json_real(l->figures[i]));
    return j;
}
