/* Probabilities of given answers, and ROUGE of the model's own. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "eval/rouge.h"
#include "suites/kinds.h"

static bool has_list(const struct exhibit *x, int row)
{
    return json_is_array(json_object_get(x->rows->v[row], x->answer));
}

/* Sequences i..i+n-1 are the answers of one row: scalars, or lists if the field holds a list.
 * Returns the mean probability of the answers, and the row in *out. */
static double probability_row(const struct score *v, int n, bool list, json_t **out)
{
    json_t *prob = json_array(), *loss = json_array();
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double l = example_loss(&v[i]), p = exp(-l);
        sum += p;
        json_array_append_new(prob, peer_number(p));
        json_array_append_new(loss, peer_number(l));
    }
    *out = json_pack("{s:O, s:O}", "prob", list ? prob : json_array_get(prob, 0), "avg_loss",
                     list ? loss : json_array_get(loss, 0));
    json_decref(prob);
    json_decref(loss);
    return sum / n;
}

/* One row's answers i..i+n-1: the value that enters the mean, and the row in *out. */
typedef int row_maker(const struct suite *s, const struct exhibit *x, int i, int n, double *value,
                      json_t **out, struct err *e);

static int each_row(const struct metric *m, const struct suite *s, row_maker *make,
                    struct result *out, struct err *e)
{
    const struct exhibit *x = suite_exhibit(s, m, m->set);
    if (!x)
        return 0;
    double *value = mem_alloc((size_t)x->d.n, sizeof *value, e);
    json_t *rows = value ? json_object() : NULL;
    int rc = rows ? 0 : -1, count = 0;
    for (int i = 0, n; !rc && i < x->d.n; i += n) {
        int row = x->d.rows[i];
        for (n = 1; i + n < x->d.n && x->d.rows[i + n] == row;)
            n++;
        json_t *one = NULL;
        rc = make(s, x, i, n, &value[count++], &one, e) || suite_add_row(rows, row, one, e);
    }
    if (!rc)
        return suite_mean(rows, value, count, out, e);
    json_decref(rows);
    free(value);
    return -1;
}

static int make_probability(const struct suite *s, const struct exhibit *x, int i, int n,
                            double *value, json_t **out, struct err *e)
{
    (void)s, (void)e;
    *value = probability_row(&x->scores[i], n, has_list(x, x->d.rows[i]), out);
    return 0;
}

static int make_rouge(const struct exhibit *x, int i, struct rouge *r, json_t **out, struct err *e)
{
    const struct answer *a = &x->answers[i];
    if (has_list(x, x->d.rows[i]))
        return rows_err(x->rows, x->d.rows[i], e, "ROUGE needs one answer, '%s' is a list",
                        x->answer);
    if (rouge_score(a->whole, a->answer, true, r, e))
        return -1;
    *out = json_pack("{s:f, s:f, s:f, s:s, s:s, s:s}", "rouge1_recall", r->recall_1, "rougeL_f1",
                     r->f1_l, "rougeL_recall", r->recall_l, "input", a->input, "ground_truth",
                     a->whole, "generation", a->answer);
    return *out ? 0 : err_set(e, "a text is not valid UTF-8");
}

static int make_recall(const struct suite *s, const struct exhibit *x, int i, int n, double *value,
                       json_t **out, struct err *e)
{
    struct rouge r = {0};
    (void)s, (void)n;
    int rc = make_rouge(x, i, &r, out, e);
    *value = r.recall_l;
    return rc;
}

static int make_rouge_1(const struct suite *s, const struct exhibit *x, int i, int n, double *value,
                        json_t **out, struct err *e)
{
    struct rouge r = {0};
    (void)s, (void)n;
    int rc = make_rouge(x, i, &r, out, e);
    *value = r.recall_1;
    return rc;
}

static int make_f1(const struct suite *s, const struct exhibit *x, int i, int n, double *value,
                   json_t **out, struct err *e)
{
    struct rouge r = {0};
    (void)s, (void)n;
    int rc = make_rouge(x, i, &r, out, e);
    *value = r.f1_l;
    return rc;
}

static int probability(const struct metric *m, const struct suite *s, struct result *out,
                       struct err *e)
{
    return each_row(m, s, make_probability, out, e);
}

static int rouge(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    return each_row(m, s, make_recall, out, e);
}

static int rouge_1(const struct metric *m, const struct suite *s, struct result *out, struct err *e)
{
    return each_row(m, s, make_rouge_1, out, e);
}

static int rouge_f1(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    return each_row(m, s, make_f1, out, e);
}

const struct metric_kind metric_probability = {
    .name = "probability",
    .help = "p(a) = exp(mean log-probability of the answer's tokens), mean over rows",
    .forgotten = "low on forget",
    .verified = "OpenUnlearning",
    .compute = probability,
    .rescore = logged_probability,
    .needs = NEED_LOGP};
const struct metric_kind metric_rouge = {
    .name = "rouge",
    .help = "ROUGE-L recall of the model's own greedy answer, stemmed: longest common subsequence",
    .forgotten = "low on forget",
    .verified = "rouge_score, logs of TOFU",
    .compute = rouge,
    .rescore = logged_recall,
    .needs = NEED_ANSWERS};
const struct metric_kind metric_rouge_1 = {
    .name = "rouge_1",
    .help = "ROUGE-1 recall of the model's own greedy answer, stemmed: common words",
    .forgotten = "low on forget",
    .verified = "rouge_score, logs of TOFU",
    .compute = rouge_1,
    .rescore = logged_rouge_1,
    .needs = NEED_ANSWERS};
const struct metric_kind metric_rouge_f1 = {
    .name = "rouge_f1",
    .help =
        "ROUGE-L F of the same: knowledge and, where a text is continued, verbatim memorisation "
        "(arXiv 2407.06460)",
    .forgotten = "low on forget",
    .verified = "rouge_score, OpenUnlearning's logs",
    .compute = rouge_f1,
    .rescore = logged_f1,
    .needs = NEED_ANSWERS};
