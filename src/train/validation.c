#include "train/validation.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"

const struct param validation_params[] = {
    REAL_PARAM(struct validation_options, stop_nll, 0, 1e6, 0,
               "stop early once the mean NLL of the forget answers exceeds X (LLMU); 0: off"),
    REAL_PARAM(
        struct validation_options, stop_el, 0, 1, 0,
        "stop early once the extraction likelihood EL_10 of the forget texts is below X; with "
        "stop_ma both must hold (thresholds of arXiv 2210.01504: the means on unseen texts); "
        "0: off"),
    REAL_PARAM(struct validation_options, stop_ma, 0, 1, 0,
               "the same for memorisation accuracy, the fraction of tokens predicted by argmax"),
    INT_PARAM(struct validation_options, eval_every, 0, 1e9, 0,
              "validate on forget and retain data every N steps (logged to train.jsonl); 0: after "
              "each epoch if a stopping threshold is set"),
    INT_PARAM(struct validation_options, eval_rows, 0, 1e9, 128,
              "validate on the first N rows of each; 0: all"),
    {0},
};

static const char *const metric_name[VALIDATION_COUNT] = {"forget_nll", "retain_nll", "el", "ma"};

bool validation_wanted(const struct validation_options *o)
{
    return o->eval_every > 0 || o->stop_nll > 0 || o->stop_el > 0 || o->stop_ma > 0;
}

bool validation_is_due(const struct validation_options *o, long done, long n, bool epoch)
{
    long every = (long)o->eval_every;
    return every ? done / every > (done - n) / every : epoch && validation_wanted(o);
}

/* Both conditions of arXiv 2210.01504, or the one that has a threshold. */
static bool is_forgotten(const struct validation_options *o, const double *v)
{
    bool el = o->stop_el > 0, ma = o->stop_ma > 0;
    return (el || ma) && (!el || v[VALIDATION_EL] < o->stop_el) &&
           (!ma || v[VALIDATION_MA] < o->stop_ma);
}

/* Appends "el 0.012 is below stop_el 0.05". */
static void tell(struct validation_result *r, enum validation_metric f, const char *bound,
                 double value)
{
    size_t at = strlen(r->stop);
    snprintf(r->stop + at, sizeof r->stop - at, "%s%s %.6g is %s %s %g", at ? " and " : "",
             metric_name[f], r->metrics[f], f == VALIDATION_FORGET_NLL ? "above" : "below", bound,
             value);
}

int validation_measure(const struct validation *w, struct validation_result *r, struct err *e)
{
    const struct validation_options *o = w->o;
    r->stop[0] = 0;
    if (w->measure(w->ctx, r->metrics, e))
        return -1;
    if (o->stop_nll > 0 && r->metrics[VALIDATION_FORGET_NLL] > o->stop_nll)
        tell(r, VALIDATION_FORGET_NLL, "stop_nll", o->stop_nll);
    const bool forgotten = is_forgotten(o, r->metrics);
    if (forgotten && o->stop_el > 0)
        tell(r, VALIDATION_EL, "stop_el", o->stop_el);
    if (forgotten && o->stop_ma > 0)
        tell(r, VALIDATION_MA, "stop_ma", o->stop_ma);
    return 0;
}

void validation_note(const struct validation_result *r, long step, long steps)
{
    char text[160] = "";
    size_t at = 0;
    for (int i = 0; i < VALIDATION_COUNT; i++)
        if (!isnan(r->metrics[i]) && at < sizeof text)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s %s %.4g", at ? "," : "",
                                   metric_name[i], r->metrics[i]);
    log_note("validation %ld/%ld:%s", step, steps, text);
}

json_t *validation_json(const struct validation_result *r)
{
    json_t *j = json_object();
    for (int i = 0; i < VALIDATION_COUNT; i++)
        if (!isnan(r->metrics[i]))
            json_object_set_new(j, metric_name[i], json_real(r->metrics[i]));
    return j;
}
