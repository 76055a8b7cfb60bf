/* Metrics computed from the rows or aggregates of others. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "eval/ks.h"
#include "suites/suite.h"

/* Both inputs of a metric, row by row. */
struct rows_pair {
    json_t *right, *wrong; /* borrowed; NULL: not there */
};

static struct rows_pair find_pair(const struct metric *m, const struct suite *s)
{
    return (struct rows_pair){peer_rows(s->log.eval, m->inputs[0]),
                              peer_rows(s->log.eval, m->inputs[1])};
}

/* The number or the list of numbers at `key`, in v[most]; how many. */
static int numbers(const json_t *row, const char *key, double *v, int most)
{
    const json_t *j = json_object_get(row, key);
    int n = json_is_array(j) ? (int)json_array_size(j) : 1;
    for (int i = 0; i < n && i < most; i++)
        v[i] = peer_value(json_is_array(j) ? json_array_get(j, (size_t)i) : j);
    return n < most ? n : most;
}

/* The longest list at `key` in these rows. */
static int longest(json_t *rows, const char *key)
{
    size_t most = 1;
    const char *index;
    json_t *row;
    json_object_foreach(rows, index, row)
    {
        size_t n = json_array_size(json_object_get(row, key));
        most = n > most ? n : most;
    }
    return (int)most;
}

/* A row's score and what it adds to the mean, from its right and wrong answers. */
struct row_score {
    double score, value;
};
typedef struct row_score row_scorer(const struct metric *m, const struct suite *s,
                                    const double *right, int n_right, const double *wrong,
                                    int n_wrong);

static int score_rows(const struct metric *m, const struct suite *s, const char *from,
                      const char *to, row_scorer *f, struct result *out, struct err *e)
{
    struct rows_pair in = find_pair(m, s);
    if (!in.right || !in.wrong)
        return 0;
    int most_right = longest(in.right, from), most_wrong = longest(in.wrong, from), n = 0, rc = -1;
    double *right = mem_alloc((size_t)most_right, sizeof *right, e);
    double *wrong = right ? mem_alloc((size_t)most_wrong, sizeof *wrong, e) : NULL;
    double *value = wrong ? mem_alloc(json_object_size(in.right), sizeof *value, e) : NULL;
    json_t *rows = value ? json_object() : NULL, *row;
    const char *index;
    if (rows) {
        rc = 0;
        json_object_foreach(in.right, index, row)
        {
            int n_right = numbers(row, from, right, most_right);
            int n_wrong = numbers(json_object_get(in.wrong, index), from, wrong, most_wrong);
            struct row_score got = f(m, s, right, n_right, wrong, n_wrong);
            value[n++] = got.value;
            rc |= json_object_set_new(rows, index, json_pack("{s:o}", to, peer_number(got.score)));
        }
        rc = rc ? suite_no_memory(e) : suite_mean(rows, value, n, out, e);
    }
    if (rc && !out->values)
        free(value);
    free(right);
    free(wrong);
    return rc;
}

static struct row_score options_score(const struct metric *m, const struct suite *s,
                                      const double *right, int n_right, const double *wrong,
                                      int n_wrong)
{
    (void)m, (void)s;
    double p = stats_probability_with_options(stats_mean(right, n_right), wrong, n_wrong);
    return (struct row_score){p, p};
}

static struct row_score truth_score(const struct metric *m, const struct suite *s,
                                    const double *right, int n_right, const double *wrong,
                                    int n_wrong)
{
    double c = stats_answer_probability(right, n_right, s->truth_mean);
    double w = stats_answer_probability(wrong, n_wrong, s->truth_mean);
    double score = stats_truth_score(c, w, m->truth);
    return (struct row_score){score, stats_truth_value(score, m->truth)};
}

static int options(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    return score_rows(m, s, "prob", "prob", options_score, out, e);
}

static int truth_ratio(const struct metric *m, const struct suite *s, struct result *out,
                       struct err *e)
{
    return score_rows(m, s, "avg_loss", "score", truth_score, out, e);
}

/* The scores that are there. Owned by the caller. */
static double *scores_of(json_t *rows, int *n, struct err *e)
{
    double *v = mem_alloc(json_object_size(rows), sizeof *v, e);
    const char *index;
    json_t *row;
    *n = 0;
    if (v)
        json_object_foreach(rows, index, row)
        {
            double x = peer_value(json_object_get(row, "score"));
            if (!isnan(x))
                v[(*n)++] = x;
        }
    return v;
}

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

/* Both logs must be of the same rows; the retrained model's may have more. */
static int check_split(const struct suite *s, const char *metric, json_t *own, json_t *gold,
                       struct err *e)
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
    if (json_object_size(own) != json_object_size(gold))
        log_warn("the retrained model's log has %zu rows of '%s', this model %zu: it must come "
                 "from the same forget set",
                 json_object_size(gold), metric, json_object_size(own));
    return 0;
}

static int forget_quality(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e)
{
    json_t *own = peer_rows(s->log.eval, m->inputs[0]);
    if (!own || !s->retain_log)
        return 0;
    json_t *gold = peer_rows(s->retain_log, m->inputs[0]);
    if (!gold)
        return err_set(e, "the retrained model's log has no rows of '%s'", m->inputs[0]);
    if (check_split(s, m->inputs[0], own, gold, e))
        return -1;
    struct ks ks;
    int n_own, n_gold, rc = -1;
    double *a = scores_of(own, &n_own, e), *b = a ? scores_of(gold, &n_gold, e) : NULL;
    if (b)
        rc = ks_two_sample(a, n_own, b, n_gold, &ks, e);
    if (!rc) {
        out->n = n_own;
        rc = suite_figure(ks.p, out, e);
    }
    free(a);
    free(b);
    return rc;
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
        log_note("%s is the mean of %d of its %d parts: not comparable with published figures",
                 m->name, n, wanted);
    if (stats_harmonic_mean(v, n, &mean, e))
        return -1;
    return suite_figure(mean, out, e);
}

static int privleak(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    if (!json_object_get(s->log.eval, m->inputs[0]))
        return 0;
    double gold = peer_aggregate(s->retain_log, m->inputs[0]);
    if (isnan(gold)) {
        if (s->retain_log)
            log_note("%s: the retrained model's log has no '%s', so it is against an AUC of 0.5",
                     m->name, m->inputs[0]);
        gold = 0.5;
    }
    return suite_figure(stats_privleak(peer_aggregate(s->log.eval, m->inputs[0]), gold), out, e);
}

const struct metric_kind metric_options = {
    .name = "options",
    .help = "the right answer's share; inputs: right, wrong probabilities",
    .compute = options,
    .rescore = logged_probability,
    .inputs_least = 2,
    .inputs_most = 2};
const struct metric_kind metric_truth_ratio = {
    .name = "truth_ratio",
    .help = "wrong by right answers; inputs: right, wrong probabilities",
    .compute = truth_ratio,
    .rescore = logged_truth,
    .inputs_least = 2,
    .inputs_most = 2};
const struct metric_kind metric_forget_quality = {
    .name = "forget_quality",
    .help = "KS test against the retrained model's log; input: a truth ratio",
    .compute = forget_quality,
    .inputs_least = 1,
    .inputs_most = 1};
const struct metric_kind metric_privleak = {
    .name = "privleak",
    .help = "percent off the retrained model's AUC; input: an attack",
    .compute = privleak,
    .inputs_least = 1,
    .inputs_most = 1};
const struct metric_kind metric_utility = {.name = "utility",
                                           .help = "harmonic mean of its inputs",
                                           .compute = utility,
                                           .inputs_least = 1,
                                           .inputs_most = SUITE_INPUTS};
