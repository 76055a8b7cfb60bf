/* The TOFU suite against logs of the peer. The suite on a model that knows the
 * peer's log (fake_model.h) must write the same one: same metrics, same structure, same texts, same
 * numbers.
 *
 * Tolerances: what is computed from the stored losses in f64 (truth ratios, forget quality) or from
 * texts (ROUGE) agrees to 1e-12. Probabilities agree to 2e-7 only, because the peer computes and
 * stores them in f32 (one step is 6e-8 relative) and its normalised probabilities and utility from
 * those. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "fake_model.h"

#define F32_RTOL 2e-7

static double tolerance(const char *metric, const char *key)
{
    bool f32 = !strcmp(key, "prob") || (!strcmp(key, "agg_value") && strstr(metric, "Prob")) ||
               !strcmp(metric, "model_utility");
    return f32 ? F32_RTOL : RTOL;
}

/* Number of places where two values differ in kind, order of keys, text, or number. */
static int differences(const char *metric, const char *key, const json_t *got, const json_t *want)
{
    int n = 0;
    if (json_is_real(got) && json_is_number(want)) {
        double a = real(got), b = real(want);
        n = !(a == b || fabs(a - b) <= tolerance(metric, key) * fabs(b));
    } else if (json_typeof(got) != json_typeof(want)) {
        n = 1;
    } else if (json_is_array(got)) {
        n = json_array_size(got) != json_array_size(want);
        for (size_t i = 0; !n && i < json_array_size(got); i++)
            n = differences(metric, key, json_array_get(got, i), json_array_get(want, i));
    } else if (json_is_object(got)) {
        n = json_object_size(got) != json_object_size(want);
        void *a = json_object_iter((json_t *)got), *b = json_object_iter((json_t *)want);
        for (; a && b; a = json_object_iter_next((json_t *)got, a),
                       b = json_object_iter_next((json_t *)want, b))
            n += strcmp(json_object_iter_key(a), json_object_iter_key(b))
                     ? 1
                     : differences(metric, json_object_iter_key(a), json_object_iter_value(a),
                                   json_object_iter_value(b));
    } else {
        n = !json_equal(got, want);
    }
    if (n && !json_is_object(got))
        note("%s %s: %g, want %g", metric, key, peer_value(got), peer_value(want));
    return n;
}

/* What a log's losses do not tell: compared elsewhere, with a real model. */
static bool needs_tokens(const char *metric)
{
    return (!strncmp(metric, "mia_", 4) && strcmp(metric, "mia_loss")) ||
           !strncmp(metric, "ex", 2) || !strcmp(metric, "privleak");
}

/* Ours: the peer's logs have neither these aggregates nor what they are computed from. */
static bool is_ours(const char *metric)
{
    static const char *const ours[] = {"memorisation", "privacy", "overall",
                                       "retain_extraction_strength", "forget_truth_prob_mean"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(metric, ours[i]))
            return true;
    return false;
}

static void compare_logs(const struct peer_log *got, const json_t *eval, const json_t *summary,
                         const char *tier)
{
    struct suite_recipe tofu;
    struct err e;
    int missing = 0;
    if (!ok(!suite_recipe_open(&tofu, "tofu", &e), "%s: the suite is read", tier))
        return;
    for (const struct metric *m = tofu.metrics; m->name; m++) {
        if (needs_tokens(m->name) || is_ours(m->name))
            continue;
        const json_t *have = json_object_get(got->eval, m->name);
        const json_t *want = json_object_get(eval, m->name);
        missing += !have || !want;
        if (have && want) {
            int n = differences(m->name, "", have, want);
            ok(!n, "%s: %s %.17g: %d differences", tier, m->name,
               peer_aggregate(got->eval, m->name), n);
        }
    }
    suite_recipe_close(&tofu);
    ok(!missing, "%s: every metric is there", tier);
    const char *name;
    json_t *x;
    int n = 0;
    json_object_foreach((json_t *)summary, name, x) if (!needs_tokens(name)) n +=
        differences(name, "agg_value", json_object_get(got->summary, name), x);
    ok(!n, "%s: the summary agrees", tier);
}

/* Our writer on the peer's own log gives the peer's own bytes. */
static void check_bytes(const json_t *eval, const char *path, const char *tier)
{
    struct peer_log log = {.eval = (json_t *)eval, .summary = (json_t *)eval};
    struct err e;
    size_t n, m;
    char *dir = file_join(test_dir(), "logs/deep", &e),
         *written = file_join(dir, "X_EVAL.json", &e);
    char *want = file_read(path, &n, &e), *got = NULL;
    if (!peer_log_write(&log, dir, "X", &e))
        got = file_read(written, &m, &e);
    ok(got && want && n == m && !memcmp(got, want, n),
       "%s: a log that is read and written keeps its bytes", tier);
    free(dir);
    free(written);
    free(want);
    free(got);
}

static void check_log(char *eval_path, char *summary_path, char *retain_path, const char *tier)
{
    struct err e;
    json_t *eval = eval_path ? json_read_file(eval_path, &e) : NULL;
    json_t *summary = summary_path ? json_read_file(summary_path, &e) : NULL;
    json_t *retain = retain_path ? json_read_file(retain_path, &e) : NULL;
    struct peer_log got = {0};
    if (!eval || !summary || !retain) {
        skip("%s: the peer's log is not there", tier);
    } else if (ok(!evaluate(
                      &(struct trial){.log = eval, .retain = retain, .compat = COMPAT_TRUTH_TINY},
                      &got, &e),
                  "%s: the suite runs", tier)) {
        compare_logs(&got, eval, summary, tier);
        check_bytes(eval, eval_path, tier);
    } else {
        note("%s", e.msg);
    }
    peer_log_fini(&got);
    json_decref(eval);
    json_decref(summary);
    json_decref(retain);
    free(eval_path);
    free(summary_path);
    free(retain_path);
}

int main(void)
{
    log_set_quiet(true);
    check_log(test_data("tofu/TOFU_EVAL.json"), test_data("tofu/TOFU_SUMMARY.json"),
              test_data("tofu/retain_EVAL.json"), "cut");
#define PEER "data/openunlearning_evals/tofu_Llama-3.2-1B-Instruct_"
    check_log(test_shared(PEER "full/evals_forget10/TOFU_EVAL.json"),
              test_shared(PEER "full/evals_forget10/TOFU_SUMMARY.json"),
              test_shared(PEER "retain90/TOFU_EVAL.json"), "1B");
#undef PEER
#define RUN "golden_ou_smollm2/"
    check_log(test_shared(RUN "target/TOFU_EVAL.json"), test_shared(RUN "target/TOFU_SUMMARY.json"),
              test_shared(RUN "retain/TOFU_EVAL.json"), "SmolLM2 target");
#undef RUN
    return done();
}
