/* Membership inference: how well a score separates members, the forget set, from rows that were
 * never trained on. A higher score means less likely a member, so that an AUC of 1 means that the
 * forget set is recognised. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "suites/metrics.h"

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

/* Loss divided by that of the same text in lower case (arXiv 2012.07805). */
static int lowercase(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = example_loss(&r->x->scores[r->i]) / example_loss(&r->x->lower_scores[r->i]);
    return 0;
}

/* Loss divided by the compressed size of the scored text. */
static int zlib(const struct one_row *r, double *out, struct err *e)
{
    const struct score *v = &r->x->scores[r->i];
    const struct backend *model = r->s->model;
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
    struct score v = metric_tokens(r);
    return example_min_k(&v, r->m->k, out, e);
}

static int min_k_plus_plus(const struct one_row *r, double *out, struct err *e)
{
    struct score v = metric_tokens(r);
    return example_min_k_plus_plus(&v, r->m->k, out, e);
}

static int gradnorm(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = r->x->norms[r->i];
    return 0;
}

double *metric_scores(const struct records *r, const char *side, enum warning missing,
                      struct result *out, struct err *e)
{
    double *v = mem_alloc((size_t)r->n, sizeof *v, e);
    for (int i = 0; v && i < r->n; i++) {
        v[i] = records_cell(r, i)->x[COLUMN_SCORE];
        if (isnan(v[i]))
            warnings_add(&out->warnings, missing, out->n, side, r->v[i].name);
    }
    return v;
}

/* The scores of a side, negated so that members are high. */
static double *member_scores(const struct records *r, const char *side, struct result *out,
                             struct err *e)
{
    double *v = metric_scores(r, side, WARN_MISSING, out, e);
    for (int i = 0; v && i < r->n; i++)
        v[i] = -v[i];
    return v;
}

static int tpr(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    const struct result *attack = suite_result(s, m->inputs[0]);
    if (!attack || attack->n_sides < 2)
        return 0;
    int n = attack->side[0].n, n_other = attack->side[1].n;
    out->n = n + n_other;
    double *members = member_scores(&attack->side[0], "", out, e);
    double *others = members ? member_scores(&attack->side[1], "holdout ", out, e) : NULL;
    int rc = !others || stats_tpr_at_fpr(others, n_other, members, n, m->fpr, &out->figure, e) ||
             interval_of_tpr(others, n_other, members, n, m->fpr, SUITE_DRAWS, SUITE_LEVEL,
                             SUITE_SEED, &out->interval, e);
    free(members);
    free(others);
    out->there = out->has_interval = !rc;
    return rc ? -1 : 0;
}

#define ATTACK(f)                                                                                  \
    .forgotten = "as in the retrained model, near 0.5", .direction = DIRECTION_RETRAINED,          \
    .flags = METRIC_ATTACK, .score = f

const struct metric_kind metrics_attack[] = {
    {.name = "mia_loss",
     .help = "AUC of the loss",
     .verified = "OpenUnlearning, scikit-learn",
     .needs = NEED_LOGP,
     ATTACK(loss)},
    {.name = "mia_zlib",
     .help = "AUC of the loss divided by the text's compressed size (zlib)",
     .verified = "OpenUnlearning, zlib",
     .needs = NEED_LOGP,
     ATTACK(zlib)},
    {.name = "mia_reference",
     .help = "AUC of the loss minus that of another model (`reference`)",
     .verified = "OpenUnlearning's logs",
     .needs = NEED_LOGP | NEED_REFERENCE,
     ATTACK(reference)},
    {.name = "mia_lowercase",
     .help = "AUC of the loss divided by that of the text in lower case (arXiv 2012.07805)",
     .verified = "its definition",
     .needs = NEED_LOGP | NEED_LOWER,
     ATTACK(lowercase)},
    {.name = "mia_min_k",
     .help = "Min-K%: AUC of the mean log-probability of the share 'k' (0.4) least likely tokens "
             "(arXiv 2310.16789)",
     .verified = "OpenUnlearning",
     .needs = NEED_LOGP,
     ATTACK(min_k)},
    {.name = "mia_min_k_plus_plus",
     .help = "Min-K%++: the same, normalised by mean and standard deviation over the vocabulary "
             "(arXiv 2404.02936)",
     .verified = "OpenUnlearning",
     .needs = NEED_LOGP | NEED_DISTRIBUTION,
     ATTACK(min_k_plus_plus)},
    {.name = "mia_gradnorm",
     .help = "AUC of the gradient norm of the loss",
     .verified = "OpenUnlearning",
     .needs = NEED_GRADNORM,
     ATTACK(gradnorm)},
    {.name = "tpr",
     .help = "true positive rate at false positive rate 'fpr' (0.01) (arXiv 2112.03570); input: an "
             "attack",
     .forgotten = "near the false positive rate",
     .direction = DIRECTION_RETRAINED,
     .verified = "scikit-learn",
     .figure = tpr,
     .inputs_least = 1,
     .inputs_most = 1},
    {0}};
