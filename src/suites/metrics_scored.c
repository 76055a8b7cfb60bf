/* Metrics of given answers, teacher-forced: probabilities, memorisation, the next-token
 * distribution. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "suites/metrics.h"

/* Sequences of one row are its answers: one, or those of a list. */
static int fill_probability(const struct metric *m, const struct suite *s, const struct observed *x,
                            struct records *out, struct err *e)
{
    (void)m, (void)s;
    for (int i = 0, n; i < x->d.n; i += n) {
        n = observed_answers(x, i);
        char name[16];
        snprintf(name, sizeof name, "%d", x->d.rows[i]);
        struct cell *c = records_add(out, name, n, observed_has_list(x, i), e);
        for (int k = 0; c && k < n; k++) {
            c[k].x[COLUMN_LOSS] = example_loss(&x->scores[i + k]);
            c[k].x[COLUMN_PROB] = exp(-c[k].x[COLUMN_LOSS]);
        }
        if (!c)
            return -1;
    }
    return 0;
}

static int probability(const struct metric *m, unsigned compat, struct records *r, int i,
                       double *out, struct err *e)
{
    (void)m, (void)compat, (void)e;
    *out = records_mean(r, COLUMN_PROB, i);
    return 0;
}

static int mean_logp(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = -example_loss(&r->x->scores[r->i]);
    return 0;
}

static int sum_logp(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = -r->x->scores[r->i].nll;
    return 0;
}

static int exact(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    struct score v = metric_tokens(r);
    *out = example_exact(&v);
    return 0;
}

static int accuracy(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_exact(&r->x->scores[r->i]);
    return 0;
}

static int strength(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    struct score v = metric_tokens(r);
    *out = example_strength(&v, r->s->compat & COMPAT_ES_FLOOR);
    return 0;
}

static int entropy(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_entropy(&r->x->scores[r->i]);
    return 0;
}

static int reciprocal_rank(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_reciprocal_rank(&r->x->scores[r->i]);
    return 0;
}

struct score metric_tokens(const struct one_row *r)
{
    const struct score *v = &r->x->scores[r->i];
    return r->s->compat & COMPAT_DROP_LAST_TOKEN ? example_drop_last(v) : *v;
}

static int fill_likelihood(const struct metric *m, const struct suite *s, const struct observed *x,
                           struct records *out, struct err *e)
{
    double *value = mem_alloc((size_t)x->d.n, sizeof *value, e);
    int rc = value ? s->model->extract(s->model->ctx, &x->d, m->n, value, e) : -1;
    for (int i = 0; !rc && i < x->d.n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", x->d.rows[i]);
        struct cell *c = records_add(out, name, 1, false, e);
        if (c)
            c->x[COLUMN_SCORE] = value[i];
        rc = c ? 0 : -1;
    }
    free(value);
    return rc;
}

const struct metric_kind metrics_scored[] = {
    {.name = "probability",
     .help = "p(a) = exp(mean log-probability of the answer's tokens), mean over rows",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .aspect = ASPECT_PROBABILITY,
     .verified = "OpenUnlearning",
     .needs = NEED_LOGP,
     .columns = COLUMN_BIT(COLUMN_PROB) | COLUMN_BIT(COLUMN_LOSS),
     .fill = fill_probability,
     .value = probability},
    {.name = "mean_logp",
     .help = "mean log-probability per token of the answer, in nats: minus the loss",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .verified = "PyTorch, OpenUnlearning",
     .needs = NEED_LOGP,
     .score = mean_logp},
    {.name = "sum_logp",
     .help = "log-probability of the whole answer, in nats",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .verified = "PyTorch",
     .needs = NEED_LOGP,
     .score = sum_logp},
    {.name = "exact_memorization",
     .help = "share of the answer's tokens that are the model's argmax (arXiv 2205.10770)",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .verified = "OpenUnlearning",
     .needs = NEED_LOGP,
     .score = exact},
    {.name = "memorization_accuracy",
     .help = "memorisation accuracy MA: the same over all tokens, independent of `compat` (arXiv "
             "2210.01504); for plain texts",
     .forgotten = "as on unseen text",
     .direction = DIRECTION_RETRAINED,
     .verified = "OpenUnlearning",
     .needs = NEED_LOGP,
     .score = accuracy},
    {.name = "extraction_strength",
     .help = "extraction strength: longest suffix of the answer whose tokens are all the argmax, "
             "as a share (arXiv 2012.07805)",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .aspect = ASPECT_TOKENS,
     .verified = "OpenUnlearning",
     .needs = NEED_LOGP,
     .score = strength},
    {.name = "extraction_likelihood",
     .help = "extraction likelihood EL_n: share of n-grams ('n', 10) of the continuation of each "
             "prefix that occur in the rest (arXiv 2210.01504)",
     .forgotten = "as on unseen text",
     .direction = DIRECTION_RETRAINED,
     .verified = "its definition, in loops",
     .needs = NEED_TEXT,
     .fill = fill_likelihood},
    {.name = "entropy",
     .help = "mean entropy of the next-token distribution over the answer, in nats",
     .forgotten = "as in the retrained model",
     .direction = DIRECTION_RETRAINED,
     .verified = "PyTorch's distribution",
     .needs = NEED_LOGP | NEED_DISTRIBUTION,
     .score = entropy},
    {.name = "reciprocal_rank",
     .help = "mean reciprocal rank of the answer's tokens: 1 if each is the argmax",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .verified = "PyTorch's distribution",
     .needs = NEED_LOGP | NEED_DISTRIBUTION,
     .score = reciprocal_rank},
    {0}};
