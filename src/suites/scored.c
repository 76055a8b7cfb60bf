/* Metrics made of one number a row: memorisation, as the mean over a set, and membership attacks,
 * as how well the number tells members, the forget set, from rows that were never trained on. An
 * attack's number is high for what is less likely a member, so that an AUC of 1 says that the
 * forget set is known. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "suites/suite.h"

#define MIN_K 0.4 /* share of an answer's tokens; OpenUnlearning's choice */

static int loss(const struct suite *s, const struct exhibit *x, int i, double *out, struct err *e)
{
    (void)s, (void)e;
    *out = example_loss(&x->scores[i]);
    return 0;
}

static int reference(const struct suite *s, const struct exhibit *x, int i, double *out,
                     struct err *e)
{
    (void)s, (void)e;
    *out = example_loss(&x->scores[i]) - example_loss(&x->reference[i]);
    return 0;
}

/* Loss by that of the same text in lower case (arXiv 2012.07805). */
static int lowercase(const struct suite *s, const struct exhibit *x, int i, double *out,
                     struct err *e)
{
    (void)s, (void)e;
    *out = example_loss(&x->scores[i]) / example_loss(&x->lower_scores[i]);
    return 0;
}

/* Loss by the compressed size of the text that is scored. */
static int zlib(const struct suite *s, const struct exhibit *x, int i, double *out, struct err *e)
{
    const struct score *v = &x->scores[i];
    char *text = s->model->decode(s->model->ctx, v->label, v->n, e);
    size_t bytes;
    int rc = text ? example_zlib_bytes(text, &bytes, e) : -1;
    if (!rc)
        *out = example_loss(v) / (double)bytes;
    free(text);
    return rc;
}

/* The answer as memorisation scores and attacks on tokens see it. */
static struct score tokens_of(const struct suite *s, const struct exhibit *x, int i)
{
    return s->compat & COMPAT_DROP_LAST_TOKEN ? example_drop_last(&x->scores[i]) : x->scores[i];
}

static int exact(const struct suite *s, const struct exhibit *x, int i, double *out, struct err *e)
{
    (void)e;
    struct score v = tokens_of(s, x, i);
    *out = example_exact(&v);
    return 0;
}

static int strength(const struct suite *s, const struct exhibit *x, int i, double *out,
                    struct err *e)
{
    (void)e;
    struct score v = tokens_of(s, x, i);
    *out = example_strength(&v, s->compat & COMPAT_ES_FLOOR);
    return 0;
}

static int min_k(const struct suite *s, const struct exhibit *x, int i, double *out, struct err *e)
{
    struct score v = tokens_of(s, x, i);
    return example_min_k(&v, MIN_K, out, e);
}

static int min_k_plus_plus(const struct suite *s, const struct exhibit *x, int i, double *out,
                           struct err *e)
{
    struct score v = tokens_of(s, x, i);
    return example_min_k_plus_plus(&v, MIN_K, out, e);
}

static int gradnorm(const struct suite *s, const struct exhibit *x, int i, double *out,
                    struct err *e)
{
    (void)s, (void)e;
    *out = x->norms[i];
    return 0;
}

static int entropy(const struct suite *s, const struct exhibit *x, int i, double *out,
                   struct err *e)
{
    (void)s, (void)e;
    *out = example_entropy(&x->scores[i]);
    return 0;
}

static int reciprocal_rank(const struct suite *s, const struct exhibit *x, int i, double *out,
                           struct err *e)
{
    (void)s, (void)e;
    *out = example_reciprocal_rank(&x->scores[i]);
    return 0;
}

/* The numbers of one set, as rows and in value[x->d.n]. */
static json_t *score_set(const struct metric *m, const struct suite *s, const struct exhibit *x,
                         double *value, struct err *e)
{
    json_t *rows = json_object();
    int rc = rows ? 0 : suite_no_memory(e);
    for (int i = 0; !rc && i < x->d.n; i++) {
        int row = x->d.rows[i];
        if (json_is_array(json_object_get(x->rows->v[row], x->answer)))
            rc = rows_err(x->rows, row, e, "it needs one answer, '%s' is a list", x->answer);
        else if (!(rc = m->kind->row(s, x, i, &value[i], e)))
            rc = suite_add_row(rows, row, json_pack("{s:o}", "score", peer_number(value[i])), e);
    }
    if (!rc)
        return rows;
    json_decref(rows);
    return NULL;
}

int suite_mean_of_numbers(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e)
{
    const struct exhibit *x = suite_exhibit(s, m->set, m->answer);
    if (!x)
        return 0;
    double *value = mem_alloc((size_t)x->d.n, sizeof *value, e);
    json_t *rows = value ? score_set(m, s, x, value, e) : NULL;
    if (rows)
        return suite_mean(rows, value, x->d.n, out, e);
    free(value);
    return -1;
}

static json_t *side(json_t *rows, const double *value, int n, struct err *e)
{
    json_t *out = json_pack("{s:o, s:o}", "agg_value", peer_number(stats_mean(value, n)),
                            "value_by_index", rows);
    if (!out)
        suite_no_memory(e);
    return out;
}

static int attack(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    const struct exhibit *in = suite_exhibit(s, m->set, m->answer);
    const struct exhibit *against = suite_exhibit(s, m->against, m->answer);
    if (!in || !against || (m->kind->needs & NEED_REFERENCE && !s->reference))
        return 0;
    int n = in->d.n, n_against = against->d.n;
    double auc, *value = mem_alloc((size_t)n + (size_t)n_against, sizeof *value, e);
    json_t *rows = value ? score_set(m, s, in, value, e) : NULL;
    json_t *forget = rows ? side(rows, value, n, e) : NULL;
    rows = forget ? score_set(m, s, against, value + n, e) : NULL;
    json_t *holdout = rows ? side(rows, value + n, n_against, e) : NULL;
    int rc = holdout ? stats_auc(value, n, value + n, n_against, &auc, e) : -1;
    if (!rc) {
        out->n = n + n_against;
        out->json = json_pack("{s:O, s:O, s:o, s:o}", "forget", forget, "holdout", holdout, "auc",
                              peer_number(auc), "agg_value", peer_number(auc));
        rc = out->json ? 0 : suite_no_memory(e);
    }
    json_decref(forget);
    json_decref(holdout);
    free(value);
    return rc;
}

const struct metric_kind metric_exact_memorization = {
    .name = "exact_memorization",
    .help = "share of tokens that are the model's first choice",
    .compute = suite_mean_of_numbers,
    .rescore = logged_score,
    .needs = NEED_LOGP,
    .row = exact};
const struct metric_kind metric_extraction_strength = {
    .name = "extraction_strength",
    .help = "share of the answer that follows from its beginning",
    .compute = suite_mean_of_numbers,
    .rescore = logged_score,
    .needs = NEED_LOGP,
    .row = strength};
const struct metric_kind metric_entropy = {.name = "entropy",
                                           .help = "of the next token, in nats",
                                           .compute = suite_mean_of_numbers,
                                           .rescore = logged_score,
                                           .needs = NEED_LOGP | NEED_DISTRIBUTION,
                                           .row = entropy};
const struct metric_kind metric_reciprocal_rank = {.name = "reciprocal_rank",
                                                   .help = "of the answer's tokens",
                                                   .compute = suite_mean_of_numbers,
                                                   .rescore = logged_score,
                                                   .needs = NEED_LOGP | NEED_DISTRIBUTION,
                                                   .row = reciprocal_rank};
const struct metric_kind metric_mia_loss = {.name = "mia_loss",
                                            .help = "AUC of the loss",
                                            .compute = attack,
                                            .rescore = logged_attack,
                                            .needs = NEED_LOGP,
                                            .row = loss,
                                            .against = true};
const struct metric_kind metric_mia_zlib = {.name = "mia_zlib",
                                            .help = "AUC of the loss by compressed size",
                                            .compute = attack,
                                            .rescore = logged_attack,
                                            .needs = NEED_LOGP,
                                            .row = zlib,
                                            .against = true};
const struct metric_kind metric_mia_reference = {.name = "mia_reference",
                                                 .help =
                                                     "AUC of the loss less the reference model's",
                                                 .compute = attack,
                                                 .rescore = logged_attack,
                                                 .needs = NEED_LOGP | NEED_REFERENCE,
                                                 .row = reference,
                                                 .against = true};
const struct metric_kind metric_mia_lowercase = {.name = "mia_lowercase",
                                                 .help = "AUC of the loss by that in lower case",
                                                 .compute = attack,
                                                 .rescore = logged_attack,
                                                 .needs = NEED_LOGP | NEED_LOWER,
                                                 .row = lowercase,
                                                 .against = true};
const struct metric_kind metric_mia_min_k = {.name = "mia_min_k",
                                             .help = "AUC of the least likely tokens",
                                             .compute = attack,
                                             .rescore = logged_attack,
                                             .needs = NEED_LOGP,
                                             .row = min_k,
                                             .against = true};
const struct metric_kind metric_mia_min_k_plus_plus = {
    .name = "mia_min_k_plus_plus",
    .help = "AUC of the least likely tokens, standardised",
    .compute = attack,
    .rescore = logged_attack,
    .needs = NEED_LOGP | NEED_DISTRIBUTION,
    .row = min_k_plus_plus,
    .against = true};
const struct metric_kind metric_mia_gradnorm = {.name = "mia_gradnorm",
                                                .help = "AUC of gradient norms",
                                                .compute = attack,
                                                .rescore = logged_attack,
                                                .needs = NEED_GRADNORM,
                                                .row = gradnorm,
                                                .against = true};
