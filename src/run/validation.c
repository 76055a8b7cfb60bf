#include "run/state.h"

#include <math.h>

#include "eval/example.h"
#include "model/score.h"

enum { EL_NGRAM = 10 };

static int rows_of(const struct run_validation *w, const struct dataset *d)
{
    const int64_t most = w->validation.o->eval_rows;
    return most && most < d->n ? (int)most : d->n;
}

/* Means over rows of a role: of the mean NLL of a row's labels, and of the share of them that are
 * the model's first choice. */
static int score(const struct run_validation *w, enum role role, double *nll, double *exact,
                 struct err *e)
{
    const struct dataset *d = w->engine->sets[role];
    struct scores s;
    if (!d)
        return 0;
    const int n = rows_of(w, d);
    if (model_score(&s, w->engine->model, d->seqs, n, NULL, NULL, e))
        return -1;
    *nll = *exact = 0;
    for (int i = 0; i < n; i++) {
        *nll += example_loss(&s.v[i]) / n;
        *exact += example_exact(&s.v[i]) / n;
        w->engine->tokens.forward += d->seqs[i].n;
    }
    scores_fini(&s);
    return 0;
}

/* The mean over rows that are long enough. */
static int extract(const struct run_validation *w, double *mean, struct err *e)
{
    const struct dataset *d = w->engine->sets[ROLE_FORGET];
    double sum = 0;
    int n = 0;
    for (int i = 0; i < rows_of(w, d); i++) {
        const struct seq *q = &d->seqs[i];
        double el;
        if (extract_likelihood(w->engine->model, q->ids, q->n, seq_prompt(q), EL_NGRAM, &el, e))
            return -1;
        w->engine->tokens.forward += q->n;
        if (isnan(el))
            continue;
        sum += el;
        n++;
    }
    *mean = sum / n;
    return n ? 0
             : err_about(e, "stop_el",
                         "extraction likelihood needs a text to forget of more than %d tokens, and "
                         "there is none",
                         EL_NGRAM);
}

static int measure(void *ctx, double v[VALIDATION_COUNT], struct err *e)
{
    const struct run_validation *w = ctx;
    const struct validation_options *o = w->validation.o;
    double unused;
    for (int i = 0; i < VALIDATION_COUNT; i++)
        v[i] = NAN;
    if (score(w, ROLE_FORGET, &v[VALIDATION_FORGET_NLL], &v[VALIDATION_MA], e) ||
        score(w, ROLE_RETAIN, &v[VALIDATION_RETAIN_NLL], &unused, e))
        return -1;
    return o->stop_el > 0 ? extract(w, &v[VALIDATION_EL], e) : 0;
}

int run_validation_init(struct run_validation *w, const struct validation_options *o,
                        struct engine *g, struct err *e)
{
    *w = (struct run_validation){.validation = {.o = o, .measure = measure, .ctx = w}, .engine = g};
    bool bounded = o->stop_nll > 0 || o->stop_el > 0 || o->stop_ma > 0;
    return bounded && !g->sets[ROLE_FORGET]
               ? err_about(e, "forget", "the run is to end when its data are forgotten")
               : 0;
}

enum { NLL_ROWS = 16, NLL_TOKENS = 1024 }; /* of each set: a second or two on a small model */

static int measure_nll(const struct engine *g, enum role role, double *nll, struct err *e)
{
    const struct dataset *d = g->sets[role];
    struct scores s;
    int n = 0;
    *nll = NAN;
    for (long tokens = 0; d && n < d->n && n < NLL_ROWS && tokens < NLL_TOKENS; n++)
        tokens += d->seqs[n].n;
    if (!n)
        return 0;
    if (model_score(&s, g->model, d->seqs, n, NULL, NULL, e))
        return -1;
    *nll = 0;
    for (int i = 0; i < n; i++)
        *nll += example_loss(&s.v[i]) / n;
    scores_fini(&s);
    return 0;
}

int run_measure_nll(const struct engine *g, double *forget, double *retain, struct err *e)
{
    return measure_nll(g, ROLE_FORGET, forget, e) || measure_nll(g, ROLE_RETAIN, retain, e);
}
