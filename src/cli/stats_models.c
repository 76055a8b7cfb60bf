/* Statistics that compare models: relearning curves, robustness, shadow models, aggregates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/stats.h"
#include "eval/robustness.h"

/* --- curve --- */

static int check_steps(const struct numbers *steps, struct err *e)
{
    for (int i = 1; i < steps->n; i++)
        if (!(steps->v[i] > steps->v[i - 1]))
            return err_code(e, ERR_BAD_FILE, "'steps' must ascend");
    return 0;
}

static int one_curve(json_t *row, struct err *e)
{
    struct numbers steps = {0}, m = {0}, control = {0};
    double target;
    int one = 1;
    int rc = stats_numbers(&steps, row, "steps", 2, e) || check_steps(&steps, e) ||
             stats_matrix(&m, row, "m", steps.n, &one, e) ||
             json_need_real(row, "target", &target, e) ||
             (json_object_get(row, "control") &&
              stats_matrix(&control, row, "control", steps.n, &one, e));
    if (!rc) {
        struct curve c;
        curve_summary(&c, steps.v, m.v, steps.n, target, control.v);
        json_t *summary = curve_json(&c), *recovery = json_array();
        for (int i = 0; i < m.n; i++) {
            const double r = curve_recovery(m.v[i], m.v[0], target);
            json_array_append_new(recovery, json_finite(r));
        }
        json_object_set_new(summary, "recovery", recovery);
        json_object_set_new(row, "summary", summary);
    }
    free(steps.v);
    free(m.v);
    free(control.v);
    return rc;
}

/* Calls `one` for every object of an array, or for the object. */
static int each_row(json_t *j, int (*one)(json_t *row, struct err *e), struct err *e)
{
    size_t i;
    json_t *row;
    if (json_is_object(j))
        return one(j, e);
    json_array_foreach(j, i, row) if (one(row, e)) return err_prefix(e, "row %zu: ", i + 1);
    return 0;
}

int stats_curve(json_t *j, const struct stats_options *o, struct err *e)
{
    (void)o;
    return each_row(j, one_curve, e);
}

/* --- exposure --- */

static int one_canary(json_t *row, struct err *e)
{
    struct numbers others = {0};
    double loss;
    const int rc =
        json_need_real(row, "loss", &loss, e) || stats_numbers(&others, row, "candidates", 3, e);
    if (!rc) {
        json_put_real(row, "exposure", exposure_of_rank(others.v, others.n, loss));
        json_put_real(row, "estimate", exposure_estimate(others.v, others.n, loss));
    }
    free(others.v);
    return rc;
}

int stats_exposure(json_t *j, const struct stats_options *o, struct err *e)
{
    (void)o;
    return each_row(j, one_canary, e);
}

/* --- robustness --- */

static int one_metric(json_t *row, struct err *e)
{
    double ub, ua, rb, ra, uq;
    if (json_need_real(row, "unlearned_before", &ub, e) ||
        json_need_real(row, "unlearned_after_relearn", &ua, e) ||
        json_need_real(row, "retrained_before", &rb, e) ||
        json_need_real(row, "retrained_after_relearn", &ra, e) ||
        json_need_real(row, "unlearned_after_quantise", &uq, e))
        return -1;
    const double r = robust_relearn(ub, ua, rb, ra), q = robust_quantise(ub, uq);
    json_put_real(row, "R_one_sided", robust_relearn_one_sided(ub, ua, rb, ra));
    json_put_real(row, "Q_one_sided", robust_quantise_one_sided(ub, uq));
    json_put_real(row, "R", r);
    json_put_real(row, "Q", q);
    json_put_real(row, "agg", robust_aggregate(r, q));
    return 0;
}

int stats_robustness(json_t *j, const struct stats_options *o, struct err *e)
{
    (void)o;
    struct numbers holds = {0}, not = {0};
    json_t *f = json_object_get(j, "faithfulness");
    double auc = NAN;
    int rc = each_row(json_object_get(j, "rows"), one_metric, e);
    if (!rc && f &&
        !(rc = stats_numbers(&holds, f, "holds", 1, e) ||
               stats_numbers(&not, f, "does_not", 1, e) ||
               stats_auc(not .v, not .n, holds.v, holds.n, &auc, e)))
        json_put_real(f, "auc", auc);
    free(holds.v);
    free(not .v);
    return rc;
}

/* --- lira and rmia --- */

/* Scores of the rows whose membership is `is`, packed; their number. */
static int pick(double *to, const double *score, const struct numbers *member, bool is)
{
    int n = 0;
    for (int i = 0; i < member->n; i++)
        if ((member->v[i] != 0) == is)
            to[n++] = score[i];
    return n;
}

static int put_auc(json_t *to, const char *auc_key, const char *tpr_key, const double *score,
                   const struct numbers *member, struct err *e)
{
    double *a = mem_alloc((size_t)member->n * 2, sizeof *a, e), auc = NAN, tpr = NAN;
    if (!a)
        return -1;
    const int n0 = pick(a, score, member, false), n1 = pick(a + member->n, score, member, true);
    const int rc = stats_auc(a, n0, a + member->n, n1, &auc, e) ||
                   (tpr_key && stats_tpr_at_fpr(a, n0, a + member->n, n1, 0.05, &tpr, e));
    json_put_real(to, auc_key, auc);
    if (tpr_key)
        json_put_real(to, tpr_key, tpr);
    free(a);
    return rc;
}

struct shadows {
    struct numbers observed, in, out, member;
    int n; /* shadow models a side */
};

static int lira_block(json_t *j, const char *key, const struct shadows *s, bool pooled,
                      struct err *e)
{
    static const char *const names[] = {"ratio", "ratio_median", "offline"};
    const int rows = s->observed.n;
    double *score = mem_alloc((size_t)rows, sizeof *score, e);
    json_t *block = json_object();
    int rc = !score;
    for (int kind = LIRA_RATIO; !rc && kind <= LIRA_OFFLINE; kind++) {
        rc = lira_scores(s->observed.v, s->in.v, s->out.v, rows, s->n, kind, pooled, score, e);
        json_object_set_new(block, names[kind], rc ? json_null() : stats_array(score, rows));
        if (rc || !s->member.v || kind == LIRA_RATIO_MEDIAN)
            continue;
        rc = kind == LIRA_RATIO ? put_auc(block, "auc", "tpr_at_5", score, &s->member, e)
                                : put_auc(block, "auc_offline", NULL, score, &s->member, e);
        int right = 0;
        for (int i = 0; i < rows; i++)
            right += (score[i] > 0) == (s->member.v[i] != 0);
        if (kind == LIRA_RATIO)
            json_put_real(block, "accuracy_at_0", (double)right / rows);
    }
    free(score);
    json_object_set_new(j, key, block);
    return rc;
}

static int put_phi(json_t *j, struct err *e)
{
    json_t *scaling = json_object_get(j, "logit_scaling");
    struct numbers p = {0};
    if (!scaling)
        return 0;
    if (stats_numbers(&p, scaling, "confidence", 1, e))
        return free(p.v), -1;
    for (int i = 0; i < p.n; i++)
        p.v[i] = lira_phi(p.v[i]);
    json_object_set_new(scaling, "phi", stats_array(p.v, p.n));
    free(p.v);
    return 0;
}

int stats_lira(json_t *j, const struct stats_options *o, struct err *e)
{
    (void)o;
    struct shadows s = {0};
    int one = 1;
    int rc = stats_numbers(&s.observed, j, "observed", 1, e) ||
             stats_matrix(&s.in, j, "shadow_in", s.observed.n, &s.n, e) ||
             stats_matrix(&s.out, j, "shadow_out", s.observed.n, &s.n, e) ||
             (json_object_get(j, "forgotten") &&
              stats_matrix(&s.member, j, "forgotten", s.observed.n, &one, e)) ||
             lira_block(j, "per_example", &s, false, e) || lira_block(j, "pooled", &s, true, e) ||
             put_phi(j, e);
    free(s.observed.v);
    free(s.in.v);
    free(s.out.v);
    free(s.member.v);
    return rc;
}

struct population {
    struct numbers p, refs, trained, pop, pop_refs;
    unsigned char *flags; /* owned [p.n * n_refs] */
    int n_refs;
};

static int read_population(struct population *q, const json_t *j, struct err *e)
{
    if (stats_numbers(&q->p, j, "target", 1, e) ||
        stats_matrix(&q->refs, j, "references", q->p.n, &q->n_refs, e) ||
        stats_matrix(&q->trained, j, "reference_trained_on_it", q->p.n, &q->n_refs, e) ||
        stats_numbers(&q->pop, j, "population_target", 1, e) ||
        stats_matrix(&q->pop_refs, j, "population_references", q->pop.n, &q->n_refs, e))
        return -1;
    q->flags = mem_alloc((size_t)q->trained.n, 1, e);
    for (int i = 0; q->flags && i < q->trained.n; i++)
        q->flags[i] = q->trained.v[i] != 0;
    return !q->flags;
}

int stats_rmia(json_t *j, const struct stats_options *o, struct err *e)
{
    struct population q = {0};
    double *score = NULL;
    json_t *scores = json_object();
    int rc = read_population(&q, j, e) || !(score = mem_alloc((size_t)q.p.n, sizeof *score, e));
    for (int online = 0; !rc && online < 2; online++) {
        char key[64];
        snprintf(key, sizeof key, online ? "online_gamma%.1f" : "a%.1f_gamma%.1f",
                 online ? o->gamma : o->offline_a, o->gamma);
        rc = rmia_scores(q.p.v, q.refs.v, q.flags, q.p.n, q.pop.v, q.pop_refs.v, q.pop.n, q.n_refs,
                         online ? -1 : o->offline_a, o->gamma, score, e);
        if (!rc)
            json_object_set_new(scores, key, stats_array(score, q.p.n));
    }
    json_object_set_new(j, "scores", scores);
    free(score);
    free(q.flags);
    free(q.p.v);
    free(q.refs.v);
    free(q.trained.v);
    free(q.pop.v);
    free(q.pop_refs.v);
    return rc;
}

/* --- aggregates --- */

struct aggregate {
    const char *name, *parts[10]; /* harmonic mean of the parts, in this order of dependence */
};

static const struct aggregate aggregates[] = {
    {"mem", {"one_minus_es", "one_minus_em", "one_minus_paraprob", "one_minus_truth"}},
    {"privacy_mia", {"s_loss", "s_zlib", "s_mink", "s_minkpp"}},
    {"privacy", {"privacy_mia", "uds"}},
    {"model_utility",
     {"retain_q_prob", "retain_q_rouge", "retain_truth_ratio", "ra_q_prob", "ra_q_rouge",
      "ra_truth_ratio", "wf_q_prob", "wf_q_rouge", "wf_truth_ratio"}},
    {"utility", {"model_utility", "fluency"}},
    {"utility_rel", {NULL}}, /* a ratio, below */
    {"overall", {"mem", "privacy", "utility_rel"}},
};

/* Missing where a part is missing. Non-zero: out of memory. */
static int put_aggregate(json_t *row, const struct aggregate *a, const json_t *full)
{
    double v[10];
    int n = 0;
    for (; a->parts[n]; n++) {
        const json_t *part = json_object_get(row, a->parts[n]);
        if (!json_is_number(part))
            return json_object_set_new(row, a->name, json_null());
        v[n] = json_number_value(part);
    }
    if (n)
        return json_object_set_new(row, a->name, json_real(aggregate_hm(v, n)));
    const char *epoch = json_string_value(json_object_get(row, "epoch"));
    const json_t *own = json_object_get(row, "utility"),
                 *all = epoch ? json_object_get(full, epoch) : NULL;
    const bool known = json_is_number(own) && json_is_number(all);
    return json_object_set_new(
        row, a->name,
        known ? json_real(fmin(json_number_value(own) / json_number_value(all), 1)) : json_null());
}

int stats_aggregates(json_t *j, const struct stats_options *o, struct err *e)
{
    (void)o;
    size_t i;
    json_t *row, *models = json_object_get(j, "models");
    if (!json_is_array(models))
        return err_code(e, ERR_BAD_FILE, "'models' is missing, or not an array");
    json_array_foreach(models, i, row)
    {
        if (!json_is_object(row))
            return err_code(e, ERR_BAD_FILE, "model %zu is not an object", i + 1);
        for (size_t k = 0; k < sizeof aggregates / sizeof *aggregates; k++)
            if (put_aggregate(row, &aggregates[k], json_object_get(j, "full_utility")))
                return err_no_memory(e, "aggregates");
    }
    return 0;
}
