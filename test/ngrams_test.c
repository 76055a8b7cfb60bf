/* Intervals, rates, BLEU, n-grams and repetition against the figures of tools/make_eval_golden.py.
 */
#include "eval/texts.h"
#include "eval/stats.h"
#include "figures.h"

static void check_intervals(void)
{
    json_t *j = load(test_data("metrics/intervals.json")), *c;
    struct worst w = {0};
    struct err e;
    size_t i;
    json_array_foreach(json_object_get(j, "means"), i, c)
    {
        int n;
        double *v = reals(json_object_get(c, "values"), &n);
        struct interval got = {NAN, NAN};
        interval_of_mean(v, n, (int)get(c, "draws"), get(c, "level"), (uint32_t)get(c, "seed"),
                         &got, &e);
        compare(&w, got.low, get(c, "low"), "bootstrap, low", (long)i);
        compare(&w, got.high, get(c, "high"), "bootstrap, high", (long)i);
        free(v);
    }
    report(&w, "bootstrap intervals");
    w = (struct worst){0};
    json_array_foreach(json_object_get(j, "rates"), i, c)
    {
        struct interval got = interval_of_rate((int)get(c, "k"), (int)get(c, "n"), get(c, "level"));
        compare_to(&w, got.low, get(c, "low"), 1e-10, "rate, low", (long)i);
        compare_to(&w, got.high, get(c, "high"), 1e-10, "rate, high", (long)i);
    }
    report(&w, "Clopper-Pearson intervals");
    json_decref(j);
    double v[] = {NAN, 2, NAN, 2}, nan = NAN;
    struct interval got;
    ok(!interval_of_mean(v, 4, 50, 0.95, 1, &got, &e) && got.low == 2 && got.high == 2,
       "an interval leaves out what is missing");
    ok(!interval_of_mean(&nan, 1, 50, 0.95, 1, &got, &e) && isnan(got.low) &&
           !interval_of_mean(v, 0, 50, 0.95, 1, &got, &e) && isnan(got.high) &&
           isnan(interval_of_rate(0, 0, 0.95).low),
       "an interval of nothing is missing");
}

static void compare_interval(struct worst *w, const struct interval *got, const json_t *want,
                             const char *what, long i)
{
    compare(w, got->low, real(json_array_get(want, 0)), what, i);
    compare(w, got->high, real(json_array_get(want, 1)), what, i);
}

static void check_tpr(void)
{
    json_t *j = load(test_data("metrics/tpr.json")), *c;
    struct worst w = {0}, again = {0};
    size_t i;
    json_array_foreach(j, i, c)
    {
        int n0, n1;
        double *zero = reals(json_object_get(c, "label0"), &n0), tpr = NAN, auc = NAN, flip = NAN;
        double *one = reals(json_object_get(c, "label1"), &n1);
        struct err e;
        if (!stats_tpr_at_fpr(zero, n0, one, n1, get(c, "most"), &tpr, &e))
            compare(&w, tpr, get(c, "tpr"), "tpr", (long)i);
        int draws = (int)get(c, "draws");
        uint32_t seed = (uint32_t)get(c, "seed");
        struct interval ci = {NAN, NAN};
        interval_of_auc(zero, n0, one, n1, draws, get(c, "level"), seed, &ci, &e);
        compare_interval(&again, &ci, json_object_get(c, "auc_interval"), "auc", (long)i);
        interval_of_tpr(zero, n0, one, n1, get(c, "most"), draws, get(c, "level"), seed, &ci, &e);
        compare_interval(&again, &ci, json_object_get(c, "tpr_interval"), "tpr", (long)i);
        stats_auc(zero, n0, one, n1, &auc, &e);
        for (int k = 0; k < n0; k++)
            zero[k] = -zero[k];
        for (int k = 0; k < n1; k++)
            one[k] = -one[k];
        stats_auc(zero, n0, one, n1, &flip, &e);
        near(auc + flip, 1, RTOL, 0, "case %zu: the AUC of the negated scores", i);
        free(zero);
        free(one);
    }
    report(&w, "true positive rate at a false positive rate");
    report(&again, "intervals of both, and of AUCs");
    json_decref(j);
    double v[] = {1, 2}, nan = NAN, tpr;
    struct interval ci;
    struct err e;
    ok(!interval_of_auc(v, 2, &nan, 1, 9, 0.9, 1, &ci, &e) && isnan(ci.low) && isnan(ci.high),
       "an interval without one of the sides is missing");
    ok(!stats_tpr_at_fpr(v, 2, &nan, 1, 0.01, &tpr, &e) && isnan(tpr),
       "a rate without one of the sides is missing");
}

static void check_bleu(void)
{
    json_t *j = load(test_data("metrics/bleu.json")), *c;
    struct worst w = {0};
    struct err e;
    size_t i;
    json_array_foreach(json_object_get(j, "sentences"), i, c)
    {
        struct bleu b = {0};
        if (!bleu_add(&b, str(c, "truth"), str(c, "guess"), &e))
            compare(&w, bleu_sentence(&b), get(c, "bleu"), str(c, "guess"), (long)i);
    }
    json_array_foreach(json_object_get(j, "corpora"), i, c)
    {
        struct bleu b = {0};
        const json_t *truth = json_object_get(c, "truth"), *guess = json_object_get(c, "guess");
        for (size_t k = 0; k < json_array_size(truth); k++)
            bleu_add(&b, json_string_value(json_array_get(truth, k)),
                     json_string_value(json_array_get(guess, k)), &e);
        compare(&w, bleu_corpus(&b), get(c, "bleu"), "corpus", (long)i);
    }
    report(&w, "BLEU");
    json_decref(j);
}

static void check_ngrams(void)
{
    json_t *j = load(test_data("metrics/ngrams.json")), *c;
    struct worst w = {0};
    struct err e;
    size_t i;
    json_array_foreach(j, i, c)
    {
        int na, nb, ids[512];
        double *a = reals(json_object_get(c, "a"), &na), *b = reals(json_object_get(c, "b"), &nb);
        for (int k = 0; k < na + nb; k++)
            ids[k] = (int)(k < na ? a[k] : b[k - na]);
        struct ngrams g = {0};
        if (!ngrams_compare(ids, na, nb, (int)get(c, "n"), &g, &e)) {
            compare(&w, g.a, get(c, "n_a"), "n_a", (long)i);
            compare(&w, g.b, get(c, "n_b"), "n_b", (long)i);
            compare(&w, g.common, get(c, "common"), "common", (long)i);
            compare(&w, g.b_in_a, get(c, "b_in_a"), "b_in_a", (long)i);
            compare(&w, g.distinct_a, get(c, "distinct_a"), "distinct_a", (long)i);
            compare(&w, g.entropy_a, get(c, "entropy_a"), "entropy_a", (long)i);
        }
        free(a);
        free(b);
    }
    report(&w, "n-grams");
    json_decref(j);
}

static void test_fluency(void)
{
    struct fluency f;
    struct err e;
    ok(!fluency_of("The cat. The cat. The dog!", 2, &f, &e) && f.words == 6 && f.unique == 0.5,
       "three different words of six");
    near(f.repetition, 0.4, RTOL, 0, "two of five bigrams come again");
    near(f.entropy, log2(5) - 0.8, RTOL, 0, "entropy of bigrams");
    ok(!fluency_of("one", 2, &f, &e) && f.unique == 1 && isnan(f.repetition) && isnan(f.entropy),
       "a text without n-grams");
    ok(!fluency_of(" ...", 1, &f, &e) && f.words == 0 && isnan(f.unique), "a text without words");
}

int main(void)
{
    check_intervals();
    check_tpr();
    check_bleu();
    check_ngrams();
    test_fluency();
    return done();
}
