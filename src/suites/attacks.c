/* Membership attacks: how well a number tells members, the forget set, from rows that were never
 * trained on. The number is high for what is less likely a member, so that an AUC of 1 says that
 * the forget set is known. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "suites/kinds.h"

static int loss(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_loss(&r->x->scores[r->i]);
    return 0;
}

static int reference(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_loss(&r->x->scores[r->i]) - example_loss(&r->x->reference[r->i]);
    return 0;
}

/* Loss by that of the same text in lower case (arXiv 2012.07805). */
static int lowercase(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_loss(&r->x->scores[r->i]) / example_loss(&r->x->lower_scores[r->i]);
    return 0;
}

/* Loss by the compressed size of the text that is scored. */
static int zlib(const struct one_row *r, double *out, struct err *e)
{
    const struct score *v = &r->x->scores[r->i];
    const struct scorer *model = r->s->model;
    char *text = model->decode(model->ctx, v->label, v->n, e);
    size_t bytes;
    int rc = text ? example_zlib_bytes(text, &bytes, e) : -1;
    if (!rc)
        *out = example_loss(v) / (double)bytes;
    free(text);
    return rc;
}

static int min_k(const struct one_row *r, double *out, struct err *e)
{
    struct score v = suite_tokens(r);
    return example_min_k(&v, r->m->k, out, e);
}

static int min_k_plus_plus(const struct one_row *r, double *out, struct err *e)
{
    struct score v = suite_tokens(r);
    return example_min_k_plus_plus(&v, r->m->k, out, e);
}

static int gradnorm(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = r->x->norms[r->i];
    return 0;
}

double *suite_scores(json_t *rows, const char *side, enum odd missing, struct result *out,
                     struct err *e)
{
    int n = (int)json_object_size(rows), i = 0;
    double *v = mem_alloc((size_t)n, sizeof *v, e);
    const char *index;
    json_t *row;
    if (v)
        json_object_foreach(rows, index, row)
        {
            v[i] = peer_value(json_object_get(row, "score"));
            if (isnan(v[i++]) && odd_add(&out->odd, missing, out->n, side, index, e)) {
                free(v);
                return NULL;
            }
        }
    return v;
}

int suite_attack(json_t *forget, json_t *holdout, struct result *out, struct err *e)
{
    int n = (int)json_object_size(forget), n_holdout = (int)json_object_size(holdout);
    double auc, *a, *b;
    out->n = n + n_holdout;
    a = suite_scores(forget, "", ODD_MISSING, out, e);
    b = a ? suite_scores(holdout, "holdout ", ODD_MISSING, out, e) : NULL;
    int rc = b ? stats_auc(a, n, b, n_holdout, &auc, e) : -1;
    if (!rc)
        rc = interval_of_auc(a, n, b, n_holdout, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED,
                             &out->interval, e);
    if (!rc) {
        out->has_interval = true;
        out->json = json_pack("{s:{s:o, s:O}, s:{s:o, s:O}, s:o, s:o}", "forget", "agg_value",
                              peer_number(stats_mean(a, n)), "value_by_index", forget, "holdout",
                              "agg_value", peer_number(stats_mean(b, n_holdout)), "value_by_index",
                              holdout, "auc", peer_number(auc), "agg_value", peer_number(auc));
        rc = out->json ? 0 : suite_no_memory(e);
    }
    free(a);
    free(b);
    return rc;
}

static int attack(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    const struct exhibit *x[] = {suite_exhibit(s, m, m->set), suite_exhibit(s, m, m->against)};
    json_t *rows[2] = {NULL, NULL};
    int rc = 0;
    if (!x[0] || !x[1] || (m->kind->needs & NEED_SECOND && !s->reference))
        return 0;
    for (int i = 0; i < 2 && !rc; i++) {
        double *value = mem_alloc((size_t)x[i]->d.n, sizeof *value, e);
        if (value && !suite_score(m, s, x[i], value, e))
            rows[i] = suite_score_rows(x[i], value, e);
        free(value);
        rc = rows[i] ? 0 : -1;
    }
    if (!rc)
        rc = suite_attack(rows[0], rows[1], out, e);
    json_decref(rows[0]);
    json_decref(rows[1]);
    return rc;
}

#define ATTACK                                                                                     \
    .forgotten = "as in the retrained model, near 0.5", .compute = attack,                         \
    .rescore = logged_attack, .against = true

const struct metric_kind metric_mia_loss = {ATTACK,
                                            .name = "mia_loss",
                                            .help = "AUC of the loss",
                                            .verified = "OpenUnlearning, scikit-learn",
                                            .needs = NEED_LOGP,
                                            .row = loss};
const struct metric_kind metric_mia_zlib = {ATTACK,
                                            .name = "mia_zlib",
                                            .help = "AUC of the loss by the text's compressed size",
                                            .verified = "OpenUnlearning, zlib",
                                            .needs = NEED_LOGP,
                                            .row = zlib};
const struct metric_kind metric_mia_reference = {
    ATTACK,
    .name = "mia_reference",
    .help = "AUC of the loss less that of another model (`--reference`)",
    .verified = "OpenUnlearning's logs",
    .needs = NEED_LOGP | NEED_REFERENCE,
    .row = reference};
const struct metric_kind metric_mia_lowercase = {
    ATTACK,
    .name = "mia_lowercase",
    .help = "AUC of the loss by that of the text in lower case (arXiv 2012.07805)",
    .verified = "its definition",
    .needs = NEED_LOGP | NEED_LOWER,
    .row = lowercase};
const struct metric_kind metric_mia_min_k = {
    ATTACK,
    .name = "mia_min_k",
    .help = "AUC of the least likely tokens, a share 'k' (0.4) of them (arXiv 2310.16789)",
    .verified = "OpenUnlearning",
    .needs = NEED_LOGP,
    .row = min_k};
const struct metric_kind metric_mia_min_k_plus_plus = {
    ATTACK,
    .name = "mia_min_k_plus_plus",
    .help = "the same, standardised by the distribution (arXiv 2404.02936)",
    .verified = "OpenUnlearning",
    .needs = NEED_LOGP | NEED_DISTRIBUTION,
    .row = min_k_plus_plus};
const struct metric_kind metric_mia_gradnorm = {ATTACK,
                                                .name = "mia_gradnorm",
                                                .help = "AUC of the norm of the loss's gradient",
                                                .verified = "OpenUnlearning",
                                                .needs = NEED_GRADNORM,
                                                .row = gradnorm};
