/* Metrics made of one number a row, of the answers that the rows hold: log-probabilities,
 * memorisation, what the model's distribution looks like. The metric is the mean over the set. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "suites/kinds.h"

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
    struct score v = suite_tokens(r);
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
    struct score v = suite_tokens(r);
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

struct score suite_tokens(const struct one_row *r)
{
    const struct score *v = &r->x->scores[r->i];
    return r->s->compat & COMPAT_DROP_LAST_TOKEN ? example_drop_last(v) : *v;
}

int suite_score(const struct metric *m, const struct suite *s, const struct exhibit *x,
                double *value, struct err *e)
{
    int rc = 0;
    for (int i = 0; !rc && i < x->d.n; i++) {
        const struct one_row r = {m, s, x, i};
        /* Some scores of nothing are numbers. */
        bool nothing = m->kind->needs & NEED_LOGP && !x->scores[i].n;
        if (json_is_array(json_object_get(x->rows->v[x->d.rows[i]], x->answer)))
            return rows_err(x->rows, x->d.rows[i], e, "it needs one answer, '%s' is a list",
                            x->answer);
        value[i] = NAN;
        if (!nothing)
            rc = m->kind->row(&r, &value[i], e);
    }
    return rc;
}

json_t *suite_score_rows(const struct exhibit *x, const double *value, struct err *e)
{
    json_t *rows = json_object();
    int rc = rows ? 0 : suite_no_memory(e);
    for (int i = 0; !rc && i < x->d.n; i++)
        rc = suite_add_row(rows, x->d.rows[i], json_pack("{s:o}", "score", peer_number(value[i])),
                           e);
    if (!rc)
        return rows;
    json_decref(rows);
    return NULL;
}

/* The result of an exhibit's numbers, of which it takes the memory; failed: they are none. */
static int mean_of(const struct exhibit *x, double *value, bool failed, struct result *out,
                   struct err *e)
{
    json_t *rows = failed ? NULL : suite_score_rows(x, value, e);
    if (rows)
        return suite_mean(rows, value, x->d.n, out, e);
    free(value);
    return -1;
}

int suite_mean_of_numbers(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e)
{
    const struct exhibit *x = suite_exhibit(s, m, m->set);
    if (!x || (m->kind->needs & NEED_SECOND && !s->reference))
        return 0;
    double *value = mem_alloc((size_t)x->d.n, sizeof *value, e);
    return mean_of(x, value, !value || suite_score(m, s, x, value, e), out, e);
}

static int likelihood(const struct metric *m, const struct suite *s, struct result *out,
                      struct err *e)
{
    const struct exhibit *x = suite_exhibit(s, m, m->set);
    if (!x)
        return 0;
    double *value = mem_alloc((size_t)x->d.n, sizeof *value, e);
    bool failed = !value || s->model->extract(s->model->ctx, &x->d, m->n, value, e);
    return mean_of(x, value, failed, out, e);
}

const struct metric_kind metric_mean_logp = {
    .name = "mean_logp",
    .help = "log-probability of a token of the answer, in nats: minus the loss",
    .forgotten = "low on forget",
    .verified = "PyTorch, OpenUnlearning",
    SUITE_MEAN,
    .needs = NEED_LOGP,
    .row = mean_logp};
const struct metric_kind metric_sum_logp = {.name = "sum_logp",
                                            .help = "log-probability of the whole answer, in nats",
                                            .forgotten = "low on forget",
                                            .verified = "PyTorch",
                                            SUITE_MEAN,
                                            .needs = NEED_LOGP,
                                            .row = sum_logp};
const struct metric_kind metric_exact_memorization = {
    .name = "exact_memorization",
    .help = "share of the answer's tokens that are the model's first choice (arXiv 2205.10770)",
    .forgotten = "low on forget",
    .verified = "OpenUnlearning",
    SUITE_MEAN,
    .needs = NEED_LOGP,
    .row = exact};
const struct metric_kind metric_memorization_accuracy = {
    .name = "memorization_accuracy",
    .help = "MA, the same of all tokens whatever --compat says (arXiv 2210.01504); for plain texts",
    .forgotten = "as on unseen text",
    .verified = "OpenUnlearning",
    SUITE_MEAN,
    .needs = NEED_LOGP,
    .row = accuracy};
const struct metric_kind metric_extraction_strength = {
    .name = "extraction_strength",
    .help = "share of the answer, from its end, that is all first choices (arXiv 2012.07805)",
    .forgotten = "low on forget",
    .verified = "OpenUnlearning",
    SUITE_MEAN,
    .needs = NEED_LOGP,
    .row = strength};
const struct metric_kind metric_extraction_likelihood = {
    .name = "extraction_likelihood",
    .help = "EL_n: n-grams ('n', 10) of what the model says after each prefix that are in the rest "
            "(arXiv 2210.01504)",
    .forgotten = "as on unseen text",
    .verified = "its definition in loops",
    .compute = likelihood,
    .rescore = logged_score,
    .needs = NEED_TEXT};
const struct metric_kind metric_entropy = {.name = "entropy",
                                           .help =
                                               "of the next token at the answer's tokens, in nats",
                                           .forgotten = "as in the retrained model",
                                           .verified = "PyTorch's distribution",
                                           SUITE_MEAN,
                                           .needs = NEED_LOGP | NEED_DISTRIBUTION,
                                           .row = entropy};
const struct metric_kind metric_reciprocal_rank = {
    .name = "reciprocal_rank",
    .help = "of the answer's tokens: 1 where each is the first choice",
    .forgotten = "low on forget",
    .verified = "PyTorch's distribution",
    SUITE_MEAN,
    .needs = NEED_LOGP | NEED_DISTRIBUTION,
    .row = reciprocal_rank};
