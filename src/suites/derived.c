/* Metrics computed from the rows or aggregates of others, and of the retrained model's log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/ks.h"
#include "suites/kinds.h"

/* The text of row `index` in any metric of the log that has texts of this set ("forget_..."). */
static const char *truth_of(const json_t *eval, const char *set, const char *index)
{
    size_t n = strcspn(set, "_");
    const char *name;
    json_t *metric;
    json_object_foreach((json_t *)eval, name, metric)
    {
        const json_t *row = json_object_get(json_object_get(metric, "value_by_index"), index);
        const char *text = json_string_value(json_object_get(row, "ground_truth"));
        if (text && !strncmp(name, set, n))
            return text;
    }
    return NULL;
}

/* Whether both logs are of the same rows, as far as their texts tell. */
static int check_texts(const struct suite *s, const char *metric, json_t *own, struct err *e)
{
    const char *index;
    json_t *row;
    json_object_foreach(own, index, row)
    {
        const char *a = truth_of(s->log.eval, metric, index);
        const char *b = truth_of(s->retain_log, metric, index);
        if (a && b && strcmp(a, b))
            return err_set(e,
                           "row %s of the retrained model's log is of another data set ('%.60s', "
                           "here '%.60s'): evaluate both models on the same forget file",
                           index, b, a);
    }
    return 0;
}

/* KS test of the scores that are there. */
static int compare_scores(json_t *own, json_t *gold, struct ks *ks, struct result *out,
                          struct err *e)
{
    int n = (int)json_object_size(own), n_gold = (int)json_object_size(gold), rc = -1;
    out->n = n;
    double *a = suite_scores(own, "", ODD_MISSING, out, e);
    double *b = a ? suite_scores(gold, "", ODD_MISSING_RETRAINED, out, e) : NULL;
    if (b)
        rc = ks_two_sample(a, stats_present(a, n), b, stats_present(b, n_gold), ks, e);
    free(a);
    free(b);
    return rc;
}

static int forget_quality(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e)
{
    json_t *own = peer_rows(s->log.eval, m->inputs[0]);
    json_t *gold = peer_rows(s->retain_log, m->inputs[0]);
    size_t n = json_object_size(own), n_gold = json_object_size(gold);
    if (!n || !s->retain_log)
        return 0;
    if (n != n_gold) {
        snprintf(out->note, sizeof out->note,
                 "not computed: the retrained model's log has %zu rows of '%s', this model %zu; "
                 "evaluate both on the same forget file",
                 n_gold, m->inputs[0], n);
        return 0;
    }
    struct ks ks;
    if (check_texts(s, m->inputs[0], own, e) || compare_scores(own, gold, &ks, out, e))
        return -1;
    return suite_figure(ks.p, out, e);
}

static int utility(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    double v[SUITE_INPUTS], mean;
    int n = 0, wanted = 0;
    for (; wanted < SUITE_INPUTS && m->inputs[wanted]; wanted++)
        if (json_object_get(s->log.eval, m->inputs[wanted]))
            v[n++] = peer_aggregate(s->log.eval, m->inputs[wanted]);
    if (!n)
        return 0;
    if (n < wanted)
        snprintf(out->note, sizeof out->note,
                 "the mean of %d of its %d parts: not comparable with published figures", n,
                 wanted);
    if (stats_harmonic_mean(v, n, &mean, e))
        return -1;
    return suite_figure(mean, out, e);
}

static bool is_auc(const struct metric *m, const struct suite *s)
{
    return json_object_get(json_object_get(s->log.eval, m->inputs[0]), "auc") != NULL;
}

/* Against the retrained model's figure, for want of it an AUC against 0.5. */
static int relate(const struct metric *m, const struct suite *s, bool auc,
                  double (*f)(double, double), struct result *out, struct err *e)
{
    double own = peer_aggregate(s->log.eval, m->inputs[0]);
    double gold = peer_aggregate(s->retain_log, m->inputs[0]);
    if (!json_object_get(s->log.eval, m->inputs[0]))
        return 0;
    if (isnan(gold) && !auc) {
        snprintf(out->note, sizeof out->note,
                 "not computed: it needs the retrained model's '%s' (--retain-logs)", m->inputs[0]);
        return 0;
    }
    if (isnan(gold)) {
        snprintf(out->note, sizeof out->note,
                 "against an AUC of 0.5, for want of the retrained model's (--retain-logs)");
        gold = 0.5;
    }
    return suite_figure(f(own, gold), out, e);
}

static int privleak(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    return relate(m, s, true, stats_privleak, out, e);
}

static int rel_diff(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    return relate(m, s, is_auc(m, s), stats_relative_difference, out, e);
}

/* The scores of an attack's side with the sign that makes members high. */
static double *member_scores(const json_t *attack, const char *side, const char *name, int *n,
                             struct result *out, struct err *e)
{
    json_t *rows = peer_rows(attack, side);
    double *v = suite_scores(rows, name, ODD_MISSING, out, e);
    *n = (int)json_object_size(rows);
    for (int i = 0; v && i < *n; i++)
        v[i] = -v[i];
    return v;
}

static int tpr(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    const json_t *attack = json_object_get(s->log.eval, m->inputs[0]);
    int n, n_other;
    double x;
    if (!peer_rows(attack, "forget") || !peer_rows(attack, "holdout"))
        return 0;
    out->n = (int)(json_object_size(peer_rows(attack, "forget")) +
                   json_object_size(peer_rows(attack, "holdout")));
    double *members = member_scores(attack, "forget", "", &n, out, e);
    double *others =
        members ? member_scores(attack, "holdout", "holdout ", &n_other, out, e) : NULL;
    int rc = others ? stats_tpr_at_fpr(others, n_other, members, n, m->fpr, &x, e) : -1;
    if (!rc)
        rc = interval_of_tpr(others, n_other, members, n, m->fpr, SUITE_DRAWS, SUITE_LEVEL,
                             SUITE_SEED, &out->interval, e);
    free(members);
    free(others);
    out->has_interval = true;
    return rc ? -1 : suite_figure(x, out, e);
}

const struct metric_kind metric_tpr = {
    .name = "tpr",
    .help = "share of members found at a share 'fpr' (0.01) of false alarms (arXiv 2112.03570); "
            "input: an attack",
    .forgotten = "near the false alarms' share",
    .verified = "scikit-learn",
    .compute = tpr,
    .inputs_least = 1,
    .inputs_most = 1};
const struct metric_kind metric_forget_quality = {
    .name = "forget_quality",
    .help = "p-value of the two-sample Kolmogorov-Smirnov test against the retrained model's log, "
            "exact up to 10,000 rows; input: a truth ratio",
    .forgotten = "high: cannot be told apart",
    .verified = "scipy, published logs",
    .compute = forget_quality,
    .inputs_least = 1,
    .inputs_most = 1};
const struct metric_kind metric_privleak = {
    .name = "privleak",
    .help = "percent by which 1 - AUC lies above the retrained model's (arXiv 2407.06460); input: "
            "an attack",
    .forgotten = "0",
    .verified = "OpenUnlearning, published logs",
    .compute = privleak,
    .inputs_least = 1,
    .inputs_most = 1};
const struct metric_kind metric_rel_diff = {
    .name = "rel_diff",
    .help = "percent by which a figure lies above the retrained model's; input: any metric",
    .forgotten = "0",
    .verified = "OpenUnlearning",
    .compute = rel_diff,
    .inputs_least = 1,
    .inputs_most = 1};
const struct metric_kind metric_utility = {
    .name = "utility",
    .help = "harmonic mean of its inputs: model utility of retain, real authors and world facts "
            "(arXiv 2401.06121)",
    .forgotten = "must stay high",
    .verified = "scipy, published logs",
    .compute = utility,
    .inputs_least = 1,
    .inputs_most = SUITE_INPUTS};
