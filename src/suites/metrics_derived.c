/* Metrics computed from other metrics: row by row from two (the probabilities of correct and of
 * wrong answers), or from values and rows and those of the retrained model's log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/robustness.h"
#include "eval/stats.h"
#include "suites/metrics.h"

static void options(const struct metric *m, const struct suite *s, const double *right, int n_right,
                    const double *wrong, int n_wrong, struct cell *out)
{
    (void)m;
    out->x[COLUMN_PROB] = stats_share(stats_log_mean_exp(right, n_right), wrong, n_wrong,
                                      s->compat & COMPAT_TRUTH_TINY);
}

static int options_value(const struct metric *m, unsigned compat, struct records *r, int i,
                         double *out, struct err *e)
{
    (void)m, (void)compat, (void)e;
    *out = records_mean(r, COLUMN_PROB, i);
    return 0;
}

static void truth_ratio(const struct metric *m, const struct suite *s, const double *right,
                        int n_right, const double *wrong, int n_wrong, struct cell *out)
{
    double c = stats_answer_logp(right, n_right, s->truth_mean);
    double w = stats_answer_logp(wrong, n_wrong, s->truth_mean);
    out->x[COLUMN_SCORE] = stats_truth_score(c, w, m->truth, s->compat & COMPAT_TRUTH_TINY);
}

static int truth_value(const struct metric *m, unsigned compat, struct records *r, int i,
                       double *out, struct err *e)
{
    (void)e;
    *out = stats_truth_value(records_cell(r, i)->x[COLUMN_SCORE], m->truth,
                             compat & COMPAT_TRUTH_TINY);
    return 0;
}

/* log2 |R| - log2 rank of the correct answer's loss among all |R| (arXiv 1802.08232). */
static void exposure(const struct metric *m, const struct suite *s, const double *right,
                     int n_right, const double *wrong, int n_wrong, struct cell *out)
{
    double loss = stats_mean(right, n_right);
    int rank = 1;
    (void)m, (void)s;
    for (int i = 0; i < n_wrong; i++)
        rank += wrong[i] < loss;
    out->x[COLUMN_SCORE] =
        isnan(loss) || isnan(stats_mean(wrong, n_wrong)) ? NAN : log2(n_wrong + 1) - log2(rank);
}

/* Whether both logs are of the same rows, judged by their texts. */
static int check_texts(const struct suite *s, const char *metric, const struct records *own,
                       struct err *e)
{
    for (int i = 0; i < own->n; i++) {
        const char *row = own->v[i].name;
        const json_t *a = peer_truth(s->log.eval, metric, row);
        const json_t *b = peer_truth(s->retain_log, metric, row);
        if (a && b && !json_equal(a, b))
            return err_set(
                e,
                "row %s of the retrained model's log is of another data set ('%.60s', this model's "
                "log has '%.60s'): evaluate both models on the same forget file",
                row, json_string_value(b), json_string_value(a));
    }
    return 0;
}

/* KS test of the scores that are not NaN. */
static int compare_scores(const struct records *own, const struct records *gold, struct result *out,
                          struct err *e)
{
    struct ks ks = {.p = NAN};
    int rc = -1;
    out->n = own->n;
    double *a = metric_scores(own, "", WARN_MISSING, out, e);
    double *b = a ? metric_scores(gold, "", WARN_MISSING_RETRAINED, out, e) : NULL;
    if (b)
        rc = ks_two_sample(a, stats_present(a, own->n), b, stats_present(b, gold->n), &ks, e);
    free(a);
    free(b);
    out->figure = ks.p;
    out->there = !rc;
    return rc;
}

static int forget_quality(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e)
{
    const struct result *own = suite_result(s, m->inputs[0]);
    struct records gold = {0};
    if (!own || !own->n_sides || !s->retain_log)
        return 0;
    int n = own->side[0].n, rc;
    if (peer_read_rows(peer_rows(s->retain_log, m->inputs[0]), COLUMN_BIT(COLUMN_SCORE), 0, &gold,
                       e))
        rc = -1;
    else if (!gold.n) {
        snprintf(out->note, sizeof out->note,
                 "not computed: the retrained model's log has 0 rows of '%s'", m->inputs[0]);
        rc = 0;
    } else
        rc = check_texts(s, m->inputs[0], &own->side[0], e) ||
             compare_scores(&own->side[0], &gold, out, e);
    if (!rc && gold.n && n != gold.n)
        snprintf(out->note, sizeof out->note,
                 "the retrained model's log has %d rows of '%s', this model %d: comparable with "
                 "published results only if both are evaluated on the same forget file",
                 gold.n, m->inputs[0], n);
    records_fini(&gold);
    return rc;
}

static int utility(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    double v[SUITE_INPUTS];
    int n = 0, wanted = 0;
    for (; wanted < SUITE_INPUTS && m->inputs[wanted]; wanted++) {
        const struct result *part = suite_result(s, m->inputs[wanted]);
        if (part)
            v[n++] = part->figure;
    }
    if (!n)
        return 0;
    if (n < wanted)
        snprintf(out->note, sizeof out->note,
                 "the mean of %d of its %d inputs: not comparable with published results", n,
                 wanted);
    out->there = true;
    return stats_harmonic_mean(v, n, &out->figure, e);
}

/* Relative to the retrained model's value; without it, an AUC relative to 0.5. */
static int relate(const struct metric *m, const struct suite *s, bool auc,
                  double (*f)(double, double), struct result *out)
{
    const struct result *own = suite_result(s, m->inputs[0]);
    double gold = peer_aggregate(s->retain_log, m->inputs[0]);
    if (!own)
        return 0;
    if (isnan(gold) && !auc && !(own->n_sides > 1 || json_object_get(own->kept, "auc"))) {
        snprintf(out->note, sizeof out->note,
                 "not computed: it needs the retrained model's '%s' (retain_logs)", m->inputs[0]);
        return 0;
    }
    if (isnan(gold)) {
        snprintf(out->note, sizeof out->note,
                 "relative to an AUC of 0.5, the retrained model's is not given (retain_logs)");
        gold = 0.5;
    }
    out->there = true;
    out->figure = f(own->figure, gold);
    return 0;
}

static int privleak(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    (void)e;
    return relate(m, s, true, stats_privleak, out);
}

static int rel_diff(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    (void)e;
    return relate(m, s, false, stats_relative_difference, out);
}

/* --- aggregates (arXiv 2506.12618): harmonic means of parts, all of which must be there --- */

static double complement(const struct suite *s, const char *metric, double x)
{
    (void)s, (void)metric;
    return 1 - x;
}

/* How near an AUC is to the retrained model's, relative to that: 1 if they are equal. */
static double similarity(const struct suite *s, const char *metric, double auc)
{
    const double gold = peer_aggregate(s->retain_log, metric);
    if (isnan(auc) || isnan(gold))
        return NAN;
    return auc == gold ? 1 : fmax(1 - fabs(auc - gold) / gold, 0);
}

static double unchanged(const struct suite *s, const char *metric, double x)
{
    (void)s, (void)metric;
    return x;
}

static void aggregate(const struct metric *m, const struct suite *s,
                      double (*part)(const struct suite *, const char *, double),
                      struct result *out)
{
    double v[SUITE_INPUTS];
    int n = 0;
    for (; n < SUITE_INPUTS && m->inputs[n]; n++) {
        const struct result *of = suite_result(s, m->inputs[n]);
        if (!of)
            return;
        v[n] = part(s, m->inputs[n], of->figure);
    }
    for (int i = 0; i < n; i++)
        if (isnan(v[i]) && part == similarity) {
            snprintf(out->note, sizeof out->note,
                     "not computed: it needs the retrained model's '%s' (retain_logs)",
                     m->inputs[i]);
            return;
        } else if (isnan(v[i]))
            return;
    out->figure = aggregate_hm(v, n);
    out->there = true;
}

#define AGGREGATE(name, part)                                                                      \
    static int name(const struct metric *m, const struct suite *s, struct result *out,             \
                    struct err *e)                                                                 \
    {                                                                                              \
        (void)e;                                                                                   \
        aggregate(m, s, part, out);                                                                \
        return 0;                                                                                  \
    }

AGGREGATE(memorisation, complement)
AGGREGATE(privacy, similarity)
AGGREGATE(overall, unchanged)

const struct metric_kind metrics_derived[] = {
    {.name = "options",
     .help = "the correct answer's share of the probability of all answers; inputs: correct, wrong "
             "probabilities",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .aspect = ASPECT_PROBABILITY,
     .verified = "OpenUnlearning",
     .columns = COLUMN_BIT(COLUMN_PROB),
     .joined = COLUMN_PROB,
     .join = options,
     .value = options_value,
     .inputs_least = 2,
     .inputs_most = 2},
    {.name = "truth_ratio",
     .help = "truth ratio r = p(wrong) / p(correct), means over answers; 'truth': min(r, 1/r), "
             "max(0, 1 - r) or the correct answer's share; inputs: correct, wrong probabilities",
     .forgotten = "as in the retrained model",
     .direction = DIRECTION_RETRAINED,
     .aspect = ASPECT_TRUTH,
     .verified = "OpenUnlearning, logs of TOFU",
     .joined = COLUMN_LOSS,
     .join = truth_ratio,
     .value = truth_value,
     .inputs_least = 2,
     .inputs_most = 2},
    {.name = "exposure",
     .help = "exposure of a canary in bits, against alternatives (arXiv 1802.08232); inputs: "
             "canary, alternatives",
     .forgotten = "about 1",
     .direction = DIRECTION_LOW,
     .flags = METRIC_PRIVACY,
     .verified = "its definition",
     .joined = COLUMN_LOSS,
     .join = exposure,
     .inputs_least = 2,
     .inputs_most = 2},
    {.name = "privleak",
     .help = "PrivLeak: percent by which 1 - AUC exceeds the retrained model's (arXiv 2407.06460); "
             "input: an attack",
     .forgotten = "0",
     .direction = DIRECTION_RETRAINED,
     .verified = "OpenUnlearning, published logs",
     .flags = METRIC_PRIVACY,
     .figure = privleak,
     .inputs_least = 1,
     .inputs_most = 1},
    {.name = "rel_diff",
     .help = "percent by which a metric exceeds the retrained model's; input: any metric",
     .forgotten = "0",
     .direction = DIRECTION_RETRAINED,
     .verified = "OpenUnlearning",
     .figure = rel_diff,
     .inputs_least = 1,
     .inputs_most = 1},
    {.name = "forget_quality",
     .help = "p-value of the two-sample Kolmogorov-Smirnov test against the retrained model's log, "
             "exact up to 10,000 rows; input: a truth ratio",
     .forgotten = "high: the distributions do not differ",
     .direction = DIRECTION_HIGH,
     .verified = "scipy, published logs",
     .figure = forget_quality,
     .inputs_least = 1,
     .inputs_most = 1},
    {.name = "utility",
     .help = "harmonic mean of its inputs: model utility of retain, real authors and world facts "
             "(arXiv 2401.06121)",
     .forgotten = "must stay high",
     .direction = DIRECTION_HIGH,
     .verified = "scipy, published logs",
     .figure = utility,
     .inputs_least = 1,
     .inputs_most = SUITE_INPUTS},
    {.name = "memorisation",
     .help = "harmonic mean of 1 - each input (arXiv 2506.12618): extraction strength, exact "
             "memorisation, probability of a paraphrase, truth ratio",
     .forgotten = "1: nothing is memorised",
     .direction = DIRECTION_HIGH,
     .flags = METRIC_FORGETTING,
     .verified = "published rows of UDS",
     .figure = memorisation,
     .inputs_least = 1,
     .inputs_most = SUITE_INPUTS},
    {.name = "privacy",
     .help =
         "harmonic mean of how near each AUC is to the retrained model's, max(0, 1 - abs(a - b) / "
         "b): sMIA (arXiv 2506.12618); inputs: attacks",
     .forgotten = "1: as in the retrained model",
     .direction = DIRECTION_HIGH,
     .flags = METRIC_PRIVACY,
     .verified = "published rows of UDS",
     .figure = privacy,
     .inputs_least = 1,
     .inputs_most = SUITE_INPUTS},
    {.name = "overall",
     .help = "harmonic mean of memorisation, privacy and utility (arXiv 2506.12618), all of which "
             "must be known",
     .forgotten = "high",
     .direction = DIRECTION_HIGH,
     .flags = METRIC_FORGETTING,
     .verified = "published rows of UDS",
     .figure = overall,
     .inputs_least = 1,
     .inputs_most = SUITE_INPUTS},
    {0}};
