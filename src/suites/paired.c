/* Metrics computed row by row from two others: the probabilities of the right answer and of the
 * wrong ones. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "suites/kinds.h"

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

/* log2 |R| - log2 rank of the right answer's loss among all |R| (arXiv 1802.08232). */
static struct row_score exposure_score(const struct metric *m, const struct suite *s,
                                       const double *right, int n_right, const double *wrong,
                                       int n_wrong)
{
    double loss = stats_mean(right, n_right), x;
    int rank = 1;
    (void)m, (void)s;
    for (int i = 0; i < n_wrong; i++)
        rank += wrong[i] < loss;
    x = isnan(loss) || isnan(stats_mean(wrong, n_wrong)) ? NAN : log2(n_wrong + 1) - log2(rank);
    return (struct row_score){x, x};
}

static int exposure(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    return score_rows(m, s, "avg_loss", "score", exposure_score, out, e);
}

const struct metric_kind metric_options = {
    .name = "options",
    .help =
        "the right answer's share of the probability of all; inputs: right, wrong probabilities",
    .forgotten = "low on forget",
    .verified = "OpenUnlearning",
    .compute = options,
    .rescore = logged_probability,
    .inputs_least = 2,
    .inputs_most = 2};
const struct metric_kind metric_truth_ratio = {
    .name = "truth_ratio",
    .help =
        "r = p(wrong) / p(right), means over answers; 'truth': min(r, 1/r), max(0, 1 - r) or the "
        "right one's share; inputs: right, wrong probabilities",
    .forgotten = "as in the retrained model",
    .verified = "OpenUnlearning, logs of TOFU",
    .compute = truth_ratio,
    .rescore = logged_truth,
    .inputs_least = 2,
    .inputs_most = 2};
const struct metric_kind metric_exposure = {
    .name = "exposure",
    .help = "of a canary: bits by which it is likelier than the alternatives (arXiv 1802.08232); "
            "inputs: canary, alternatives",
    .forgotten = "about 1",
    .verified = "its definition",
    .compute = exposure,
    .rescore = logged_score,
    .inputs_least = 2,
    .inputs_most = 2};
