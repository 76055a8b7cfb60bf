/* Second tier: every ROUGE, KS and utility figure of the published evaluation logs, recomputed from
 * their rows. The TOFU authors' logs and one of the peer's. */
#include "eval/stats.h"
#include "eval/texts.h"
#include "figures.h"

/* The original TOFU code has no 1e-10 in its denominators, which moves its utilities by up to 4e-9.
 */
#define LOG_ATOL 5e-9

static json_t *shared(const char *fmt, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, fmt, name);
    return load(test_shared(path));
}

/* One set of a TOFU log: per-row values keyed by row number. */
static double *column(const json_t *set, const char *key, int *n)
{
    json_t *rows = json_object_get(set, key), *v;
    const char *row;
    double *out = malloc((json_object_size(rows) + 1) * sizeof *out);
    *n = 0;
    json_object_foreach(rows, row, v) out[(*n)++] = real(v);
    return out;
}

static double column_mean(const json_t *set, const char *key)
{
    int n;
    double *v = column(set, key, &n), mean = stats_mean(v, n);
    free(v);
    return mean;
}

static double *tofu_ratios(const json_t *set, enum truth_mean mean, int *n)
{
    double *v = column(set, "avg_paraphrased_loss", n);
    json_t *wrong = json_object_get(set, "average_perturb_loss"), *w;
    const char *row;
    int i = 0, nw;
    json_object_foreach(wrong, row, w)
    {
        double *losses = reals(w, &nw);
        v[i] =
            stats_truth_score(-v[i], stats_answer_logp(losses, nw, mean), TRUTH_TRUE_BETTER, false);
        free(losses);
        i++;
    }
    return v;
}

static double truth_mean_of(const json_t *set, enum truth_mean mean, enum truth_kind kind)
{
    int n;
    double *v = tofu_ratios(set, mean, &n);
    for (int i = 0; i < n; i++)
        v[i] = stats_truth_value(v[i], kind, false);
    double out = stats_mean(v, n);
    free(v);
    return out;
}

static double options_mean(const json_t *set)
{
    int n, nw, i = 0;
    double *v = column(set, "avg_gt_loss", &n);
    json_t *w;
    const char *row;
    json_object_foreach(json_object_get(set, "average_perturb_loss"), row, w)
    {
        double *p = reals(w, &nw);
        for (int k = 0; k < nw; k++)
            p[k] = -p[k];
        v[i] = stats_share(-v[i], p, nw, false);
        free(p);
        i++;
    }
    double out = stats_mean(v, n);
    free(v);
    return out;
}

static double plain_probability(const json_t *set)
{
    int n;
    double *v = column(set, "avg_gt_loss", &n);
    for (int i = 0; i < n; i++)
        v[i] = exp(-v[i]);
    double out = stats_mean(v, n);
    free(v);
    return out;
}

static double tofu_utility(const json_t *log, enum truth_mean mean)
{
    static const char *const sets[] = {"eval_log.json", "eval_real_author_wo_options.json",
                                       "eval_real_world_wo_options.json"};
    double part[9], out = NAN;
    struct err e;
    for (int i = 0; i < 3; i++) {
        const json_t *set = json_object_get(log, sets[i]);
        part[3 * i] = i ? options_mean(set) : plain_probability(set);
        part[3 * i + 1] = column_mean(set, "rougeL_recall");
        part[3 * i + 2] = truth_mean_of(set, mean, TRUTH_TRUE_BETTER);
    }
    return stats_harmonic_mean(part, 9, &out, &e) ? NAN : out;
}

static void tofu_rouge(const json_t *log, struct worst *w)
{
    const char *name, *row;
    json_t *set, *text;
    json_object_foreach((json_t *)log, name, set)
        json_object_foreach(json_object_get(set, "generated_text"), row, text)
    {
        struct rouge r;
        struct err e;
        const char *guess = json_string_value(json_array_get(text, 1));
        if (rouge(json_string_value(json_array_get(text, 2)), guess, ROUGE_STEMMED, &r, &e))
            continue;
        compare(w, r.recall_1, get(json_object_get(set, "rouge1_recall"), row), name, atol(row));
        compare(w, r.recall_l, get(json_object_get(set, "rougeL_recall"), row), name, atol(row));
    }
}

static void test_tofu_logs(void)
{
    static const struct {
        const char *name;
        double arithmetic, geometric;
    } logs[] = {{"llama2-7b_full_wd0.01", .585886035, .622677364},
                {"llama2-7b_retain90_wd0.01", .575239918, .613744995},
                {"llama2-7b_retain95_wd0.01", .561296152, .600576532},
                {"llama2-7b_retain99_wd0.01", .581165137, .620744476},
                {"phi_full_wd0.01", .503353027, .522073713},
                {"phi_retain90_wd0.01", .513001180, .531990912},
                {"phi_retain95_wd0.01", .506978610, .524958712},
                {"phi_retain99_wd0.01", .498612795, .518603388}};
    enum { N = sizeof logs / sizeof *logs };
    struct worst w = {0};
    double *ratio[N] = {0};
    int n[N] = {0}, found = 0;
    for (int i = 0; i < N; i++) {
        json_t *log = shared("data/tofu_logs/%s/eval_log_aggregated.json", logs[i].name);
        if (!log)
            continue;
        found++;
        tofu_rouge(log, &w);
        near(tofu_utility(log, TRUTH_ARITHMETIC), logs[i].arithmetic, 0, LOG_ATOL,
             "%s: utility, arithmetic truth ratio", logs[i].name);
        near(tofu_utility(log, TRUTH_GEOMETRIC), logs[i].geometric, 0, LOG_ATOL,
             "%s: utility, geometric truth ratio", logs[i].name);
        const json_t *forget = json_object_get(log, "eval_log_forget.json");
        if (i < 2)
            near(truth_mean_of(forget, TRUTH_GEOMETRIC, TRUTH_CLOSER_TO_1),
                 i ? 0.6740192655104356 : .5159854207754343, 1e-9, 0, "%s: forget truth ratio",
                 logs[i].name);
        ratio[i] = tofu_ratios(forget, TRUTH_GEOMETRIC, &n[i]);
        json_decref(log);
    }
    if (found < N) {
        skip("the TOFU logs are not there");
    } else {
        ok(w.n == 2 * 5816, "every generation of the TOFU logs was scored");
        report(&w, "ROUGE of the TOFU logs");
        struct ks ks;
        struct err e;
        ks_two_sample(ratio[0], n[0], ratio[1], n[1], &ks, &e);
        near(ks.p, 1.834066410994743e-21, RTOL, 0, "llama2 full against retain90");
        ks_two_sample(ratio[4], n[4], ratio[5], n[5], &ks, &e);
        near(ks.p, 2.19427430219e-16, 1e-11, 0, "phi full against retain90");
        ks_two_sample(ratio[3], n[3], ratio[1], n[1], &ks, &e);
        near(ks.p, .998197377314, RTOL, 0, "llama2 retain99 (40 rows) against retain90 (300)");
    }
    for (int i = 0; i < N; i++)
        free(ratio[i]);
}

static double *peer_scores(const json_t *log, const char *metric, int *n)
{
    json_t *rows = json_object_get(json_object_get(log, metric), "value_by_index"), *row;
    const char *key;
    double *v = malloc((json_object_size(rows) + 1) * sizeof *v);
    *n = 0;
    json_object_foreach(rows, key, row) v[(*n)++] = get(row, "score");
    return v;
}

static void peer_auc(const json_t *log, const char *metric, const char *what)
{
    const json_t *m = json_object_get(log, metric);
    int nf, nh;
    double *forget = peer_scores(m, "forget", &nf), *holdout = peer_scores(m, "holdout", &nh);
    double auc = NAN;
    struct err e;
    stats_auc(forget, nf, holdout, nh, &auc, &e);
    near(auc, get(m, "auc"), RTOL, 0, "%s: %s", what, metric);
    free(forget);
    free(holdout);
}

static void test_peer_log(void)
{
    static const char *const rouges[] = {"forget_Q_A_ROUGE", "retain_Q_A_ROUGE", "ra_Q_A_ROUGE",
                                         "wf_Q_A_ROUGE"};
    static const char *const attacks[] = {
        "mia_loss",    "mia_zlib", "mia_reference", "mia_min_k", "mia_min_k_plus_plus",
        "mia_gradnorm"};
    const char *fmt = "data/openunlearning_evals/tofu_Llama-3.2-1B-Instruct_%s/TOFU_EVAL.json";
    json_t *full = shared(fmt, "full/evals_forget10"), *retain = shared(fmt, "retain90");
    if (!full || !retain) {
        skip("the peer's logs are not there");
    } else {
        struct worst w = {0};
        for (int i = 0; i < 4; i++) {
            json_t *rows = json_object_get(json_object_get(full, rouges[i]), "value_by_index"), *c;
            const char *row;
            json_object_foreach(rows, row, c)
            {
                struct rouge r;
                struct err e;
                if (rouge(str(c, "ground_truth"), str(c, "generation"), ROUGE_STEMMED, &r, &e))
                    continue;
                compare(&w, r.recall_1, get(c, "rouge1_recall"), rouges[i], atol(row));
                compare(&w, r.recall_l, get(c, "rougeL_recall"), rouges[i], atol(row));
                compare(&w, r.f1_l, get(c, "rougeL_f1"), rouges[i], atol(row));
            }
        }
        ok(w.n == 3 * 1017, "every generation of the 1B log was scored");
        report(&w, "ROUGE of the 1B log");
        for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
            peer_auc(full, attacks[i], "1B full");
        struct ks ks;
        struct err e;
        int n, m;
        double *a = peer_scores(full, "forget_truth_ratio", &n);
        double *b = peer_scores(retain, "forget_truth_ratio", &m);
        ks_two_sample(a, n, b, m, &ks, &e);
        near(ks.p, get(json_object_get(full, "forget_quality"), "agg_value"), RTOL, 0,
             "1B full: forget quality");
        near(ks.d, 0.35, RTOL, 0, "1B full: distance");
        free(a);
        free(b);
    }
    json_decref(full);
    json_decref(retain);
}

/* Memorisation, attacks and privleak of the peer's runs on SmolLM2, from their rows. */
static void test_smollm2_logs(void)
{
    static const char *const models[] = {"base", "target", "retain"};
    static const char *const attacks[] = {"mia_loss", "mia_zlib", "mia_min_k",
                                          "mia_min_k_plus_plus", "mia_gradnorm"};
    json_t *gold = shared("golden_ou_smollm2/%s/TOFU_EVAL.json", "retain");
    for (int i = 0; i < 3; i++) {
        json_t *log = shared("golden_ou_smollm2/%s/TOFU_EVAL.json", models[i]);
        if (!log || !gold) {
            skip("the log of %s is not there", models[i]);
            json_decref(log);
            continue;
        }
        for (int k = 0; k < 2; k++) {
            const char *metric = k ? "extraction_strength" : "exact_memorization";
            int n;
            double *v = peer_scores(log, metric, &n);
            near(stats_mean(v, n), get(json_object_get(log, metric), "agg_value"), RTOL, 0,
                 "%s: %s of %d rows", models[i], metric, n);
            free(v);
        }
        for (size_t k = 0; k < sizeof attacks / sizeof *attacks; k++)
            peer_auc(log, attacks[k], models[i]);
        double auc = get(json_object_get(log, "mia_min_k"), "agg_value");
        double ref = i == 2 ? 0.5 : get(json_object_get(gold, "mia_min_k"), "agg_value");
        near(stats_privleak(auc, ref), get(json_object_get(log, "privleak"), "agg_value"), RTOL, 0,
             "%s: privleak", models[i]);
        json_decref(log);
    }
    json_decref(gold);
}

int main(void)
{
    test_tofu_logs();
    test_peer_log();
    test_smollm2_logs();
    return done();
}
