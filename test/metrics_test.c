/* Metrics of numbers against the peer's figures, to a relative 1e-12. First tier: cuts of the
 * reference files under test/data/metrics. Second tier: the whole files. */
#include "base/mem.h"
#include "base/rng.h"
#include "eval/texts.h"
#include "eval/stats.h"
#include "figures.h"

static void check_truth(const json_t *cases, const char *what)
{
    static const char *const names[] = {"closer_to_1_better", "true_better", "prob_mean"};
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        const json_t *right = json_object_get(c, "correct_avg_loss");
        const json_t *wrong = json_object_get(c, "wrong_avg_loss"),
                     *want = json_object_get(c, "scores");
        int kind = 0, n = (int)json_array_size(right);
        while (strcmp(names[kind], str(c, "aggregator")))
            kind++;
        double *value = malloc((size_t)n * sizeof *value);
        for (int k = 0; k < n; k++) {
            int nr, nw;
            double *rs = reals(json_array_get(right, (size_t)k), &nr);
            double *ws = reals(json_array_get(wrong, (size_t)k), &nw);
            double score = stats_truth_score(stats_answer_logp(rs, nr, TRUTH_GEOMETRIC),
                                             stats_answer_logp(ws, nw, TRUTH_GEOMETRIC),
                                             (enum truth_kind)kind, true);
            compare(&w, score, real(json_array_get(want, (size_t)k)), names[kind], (long)i);
            value[k] = stats_truth_value(score, (enum truth_kind)kind, true);
            free(rs);
            free(ws);
        }
        compare(&w, stats_mean(value, n), get(c, "agg_value"), "agg_value", (long)i);
        free(value);
    }
    report(&w, what);
}

static void check_options(const json_t *cases, const char *what)
{
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        const json_t *wrong = json_object_get(c, "wrong_prob"), *want = json_object_get(c, "probs");
        int n;
        double *right = reals(json_object_get(c, "correct_prob"), &n);
        for (int k = 0; k < n; k++) {
            int nw;
            double *ws = reals(json_array_get(wrong, (size_t)k), &nw);
            for (int j = 0; j < nw; j++)
                ws[j] = log(ws[j]);
            right[k] = stats_share(log(right[k]), ws, nw, true);
            compare(&w, right[k], real(json_array_get(want, (size_t)k)), "prob", (long)i);
            free(ws);
        }
        compare(&w, stats_mean(right, n), get(c, "agg_value"), "agg_value", (long)i);
        free(right);
    }
    report(&w, what);
}

static void check_ks(const json_t *cases, const char *a, const char *b, const char *p,
                     const char *what)
{
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        struct ks ks;
        struct err e;
        int na, nb;
        double *x = reals(json_object_get(c, a), &na), *y = reals(json_object_get(c, b), &nb);
        if (nb && !ks_two_sample(x, na, y, nb, &ks, &e)) {
            compare(&w, ks.p, get(c, p), "p", (long)i);
            if (json_object_get(c, "statistic"))
                compare(&w, ks.d, get(c, "statistic"), "d", (long)i);
        }
        free(x);
        free(y);
    }
    report(&w, what);
}

static void check_auc(const json_t *cases, const char *what)
{
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        double auc = NAN;
        struct err e;
        int n0, n1;
        double *zero = reals(json_object_get(c, "label0"), &n0);
        double *one = reals(json_object_get(c, "label1"), &n1);
        if (!stats_auc(zero, n0, one, n1, &auc, &e))
            compare(&w, auc, get(c, "auc"), "auc", (long)i);
        free(zero);
        free(one);
    }
    report(&w, what);
}

static void check_hmean(const json_t *cases, const char *key, const char *what)
{
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        int n;
        double *v = reals(json_object_get(c, "values"), &n), got = 0;
        struct err e;
        int rc = stats_harmonic_mean(v, n, &got, &e);
        if (json_object_get(c, "error"))
            ok(rc == -1, "%s: %s", what, e.msg);
        else
            compare(&w, rc ? INFINITY : got, get(c, key), "values", (long)i);
        free(v);
    }
    report(&w, what);
}

static void check_leak(const json_t *cases, double (*f)(double, double), const char *what)
{
    struct worst w = {0};
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        double ref = get(c, "retain");
        double got = f(get(c, "forget"), isnan(ref) ? get(c, "ref_value") : ref);
        compare(&w, got, get(c, "agg_value"), "agg_value", (long)i);
    }
    report(&w, what);
}

static void check_files(char *(*find)(const char *), const char *metrics, const char *stats,
                        const char *tier)
{
    char name[64], what[96];
#define LOAD(dir, file) (snprintf(name, sizeof name, "%s/%s.json", dir, file), load(find(name)))
#define WHAT(text)      (snprintf(what, sizeof what, "%s %s", tier, text), what)
    json_t *numbers = LOAD(metrics, "number_metrics");
    json_t *ks = LOAD(stats, "ks_2samp"), *auc = LOAD(stats, "roc_auc"),
           *hmean = LOAD(stats, "hmean");
    if (!numbers || !ks || !auc || !hmean) {
        skip("%s: reference files are not there", tier);
    } else {
        check_truth(json_object_get(numbers, "truth_ratio"), WHAT("truth ratio"));
        check_options(json_object_get(numbers, "probability_w_options"), WHAT("options"));
        check_ks(json_object_get(numbers, "ks_test"), "forget", "retain", "agg_value",
                 WHAT("forget quality"));
        check_leak(json_object_get(numbers, "privleak"), stats_privleak, WHAT("privleak"));
        check_leak(json_object_get(numbers, "rel_diff"), stats_relative_difference,
                   WHAT("rel_diff"));
        check_hmean(json_object_get(numbers, "hm_aggregate"), "agg_value", WHAT("utility"));
        check_ks(ks, "a", "b", "pvalue", WHAT("ks"));
        check_auc(auc, WHAT("auc"));
        check_hmean(hmean, "hmean", WHAT("harmonic mean"));
    }
#undef LOAD
#undef WHAT
    json_t *all[] = {numbers, ks, auc, hmean};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_decref(all[i]);
}

/* p between two even grids of which the second is moved up by shift / (na nb). */
static double shifted_p(int na, int nb, double shift)
{
    double *a = malloc((size_t)na * sizeof *a), *b = malloc((size_t)nb * sizeof *b);
    struct ks ks;
    struct err e;
    for (int i = 0; i < na; i++)
        a[i] = (double)i * nb;
    for (int i = 0; i < nb; i++)
        b[i] = (double)i * na + shift;
    bool fine = !ks_two_sample(a, na, b, nb, &ks, &e);
    free(a);
    free(b);
    return fine ? ks.p : NAN;
}

static void test_ks(void)
{
    static const struct {
        int n, h;
        double p;
    } known[] = {{400, 400, 1.0635896769518578e-239}, {200, 200, 1.9426434495222354e-119},
                 {40, 40, 1.860340365603627e-23},     {400, 100, 2.196072998681761e-11},
                 {400, 20, .7000433606572674},        {200, 40, 6.48608042418048e-4},
                 {40, 10, .16497269950224194},        {400, 140, 3.9054713571083378e-22}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        near(shifted_p(known[i].n, known[i].n, known[i].h * known[i].n), known[i].p, RTOL, 0,
             "ks n=%d h=%d", known[i].n, known[i].h);
    near(shifted_p(10001, 10001, 0.02 * 10001 * 10001), shifted_p(10000, 10000, 0.02 * 1e8), 0,
         2e-3, "ks above 10,000 values goes on where the exact law ends");
    near(shifted_p(10001, 5000, 0.02 * 10001 * 5000), shifted_p(9999, 5000, 0.02 * 9999 * 5000), 0,
         2e-3, "the same for unequal samples");
    struct ks ks;
    struct err e;
    double v[2] = {1, NAN};
    ok(!ks_two_sample(v, 1, v, 0, &ks, &e) && isnan(ks.p), "ks without values is missing");
    ok(!ks_two_sample(v, 1, v, 2, &ks, &e) && isnan(ks.p), "ks of NaN is missing");
}

/* Of samples of any size and with many ties: what holds whatever the numbers are. */
static void test_properties(void)
{
    struct rng r;
    struct err e;
    int lopsided = 0, outside = 0, apart = 0, flipped = 0;
    rng_seed(&r, 11);
    for (int round = 0; round < 200; round++) {
        double a[60], b[60], auc, flip;
        int n = 1 + (int)rng_below(&r, 60), m = round % 2 ? n : 1 + (int)rng_below(&r, 60);
        struct ks ks, back, self;
        for (int i = 0; i < n; i++)
            a[i] = rng_below(&r, 12);
        for (int i = 0; i < m; i++)
            b[i] = rng_below(&r, 12) + round % 3;
        ks_two_sample(a, n, b, m, &ks, &e);
        ks_two_sample(b, m, a, n, &back, &e);
        ks_two_sample(a, n, a, n, &self, &e);
        lopsided += fabs(ks.d - back.d) > 1e-15 || fabs(ks.p - back.p) > 1e-12 * ks.p;
        outside += !(ks.p >= 0 && ks.p <= 1 && ks.d >= 0 && ks.d <= 1);
        apart += self.p != 1 || self.d != 0;
        stats_auc(a, n, b, m, &auc, &e);
        stats_auc(b, m, a, n, &flip, &e);
        flipped += fabs(auc + flip - 1) > 1e-15 || auc < 0 || auc > 1;
    }
    ok(!lopsided, "ks is symmetric");
    ok(!outside, "ks: distance and p are between 0 and 1");
    ok(!apart, "ks: a sample is like itself");
    ok(!flipped, "auc of the other side is what is left of 1");
}

static void test_missing(void)
{
    double v[] = {NAN, 1, NAN, 3}, nan = NAN, auc;
    struct err e;
    ok(stats_mean(v, 4) == 2 && isnan(stats_mean(&nan, 1)) && isnan(stats_mean(v, 0)),
       "mean skips what is missing");
    ok(!stats_auc(v, 4, v, 4, &auc, &e) && auc == 0.5, "auc skips what is missing");
    ok(!stats_auc(&nan, 1, v, 4, &auc, &e) && isnan(auc), "auc of one side only is missing");
    double losses[] = {1, 3};
    near(stats_answer_logp(losses, 2, TRUTH_GEOMETRIC), -2, RTOL, 0, "geometric mean");
    near(stats_answer_logp(losses, 2, TRUTH_ARITHMETIC), log((exp(-1) + exp(-3)) / 2), RTOL, 0,
         "arithmetic mean");
    for (int k = TRUTH_CLOSER_TO_1; k <= TRUTH_PROB_MEAN; k++) {
        double score = stats_truth_score(-1, stats_answer_logp(v, 2, TRUTH_GEOMETRIC),
                                         (enum truth_kind)k, k % 2);
        ok(isnan(score) && isnan(stats_truth_value(score, (enum truth_kind)k, k % 2)),
           "a truth ratio of kind %d with a missing loss is missing", k);
    }
}

/* A constant added to every loss is one factor on every probability: ratios and shares stay,
 * however small the probabilities are. With the peer's 1e-10 they do not. */
static void test_small_probabilities(void)
{
    static const double added[] = {0, 10, 45, 800, 1e6};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        double right[] = {1.5 + added[i], 2 + added[i]}, wrong[] = {1 + added[i], 3 + added[i]};
        double tolerance = 1e-12 * (1 + added[i]); /* the losses themselves are rounded */
        double arithmetic[] = {log((exp(-1.5) + exp(-2)) / 2), log((exp(-1) + exp(-3)) / 2)};
        double c = stats_answer_logp(right, 2, TRUTH_ARITHMETIC);
        double w = stats_answer_logp(wrong, 2, TRUTH_ARITHMETIC);
        double ratio = exp(arithmetic[1] - arithmetic[0]);
        double score = stats_truth_score(c, w, TRUTH_CLOSER_TO_1, false);
        near(score, ratio, tolerance, 0, "losses + %g: ratio", added[i]);
        near(stats_truth_value(score, TRUTH_CLOSER_TO_1, false), fmin(ratio, 1 / ratio), tolerance,
             0, "closer to 1");
        near(stats_truth_score(c, w, TRUTH_PROB_MEAN, false), 1 / (1 + ratio), tolerance, 0,
             "the share of both");
        const double logp[] = {-wrong[0], -wrong[1]};
        near(stats_share(-right[0], logp, 2, false), exp(-1.5) / (exp(-1.5) + exp(-1) + exp(-3)),
             tolerance, 0, "the share of all");
        const double gap = stats_truth_score(c, w, TRUTH_CLOSER_TO_1, true) / ratio;
        ok(added[i] < 40 ? gap > 0.99 : gap < 1e-6, "under compat %g times that", gap);
    }
    ok(isinf(stats_truth_score(-800, 0, TRUTH_CLOSER_TO_1, false)) &&
           stats_truth_value(INFINITY, TRUTH_CLOSER_TO_1, false) == 0 &&
           stats_truth_value(0, TRUTH_CLOSER_TO_1, false) == 0,
       "ratios without bound, and 0, are as far from 1 as can be");
    ok(isnan(stats_truth_score(-INFINITY, -INFINITY, TRUTH_CLOSER_TO_1, false)) &&
           isnan(stats_share(-INFINITY, &(double){-INFINITY}, 1, false)),
       "of two impossible answers there is none");
    double v[] = {NAN, -3, -1};
    near(stats_log_mean_exp(v, 3), log((exp(-3) + exp(-1)) / 2), RTOL, 0,
         "the mean of what is there");
    ok(isnan(stats_log_mean_exp(v, 1)) && isinf(stats_log_mean_exp(&(double){-INFINITY}, 1)),
       "of nothing, and of 0");
}

static int run_all(struct err *e)
{
    double a[] = {1, 2, 3}, b[] = {2, 4}, auc;
    struct ks ks;
    struct rouge r;
    struct bleu bleu = {0};
    struct fluency f;
    struct interval i;
    return rouge("the quick brown fox", "the slow brown dog jumps", ROUGE_STEMMED, &r, e) ||
           ks_two_sample(a, 3, b, 2, &ks, e) || stats_auc(a, 3, b, 2, &auc, e) ||
           stats_tpr_at_fpr(a, 3, b, 2, 0.1, &auc, e) ||
           interval_of_mean(a, 3, 10, 0.9, 1, &i, e) ||
           interval_of_tpr(a, 3, b, 2, 0.1, 10, 0.9, 1, &i, e) ||
           bleu_add(&bleu, "a b.", "a, c", e) || fluency_of("a b c", 2, &f, e);
}

static void test_no_memory(void)
{
    struct err e;
    mem_fail_at(-1);
    int rc = run_all(&e);
    long n = mem_fail_at(-1), failed = 0;
    for (long i = 0; i < n; i++) {
        mem_fail_at(i);
        failed += run_all(&e) == 1;
    }
    mem_fail_at(-1);
    ok(!rc && n > 6 && failed == n, "each of %ld allocations may fail", n);
}

int main(void)
{
    test_ks();
    test_properties();
    test_missing();
    test_small_probabilities();
    test_no_memory();
    check_files(test_data, "metrics", "metrics", "cut:");
    check_files(test_shared, "golden/metrics", "golden/stats", "whole:");
    return done();
}
