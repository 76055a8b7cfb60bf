/* The TOFU suite where something is missing, and metrics that the peer's logs do not tell: by
 * tokens, by answers, on a model that knows a log (fake_model.h). */
#include "base/json.h"
#include "base/log.h"
#include "eval/texts.h"
#include "fake_model.h"

#define F32_RTOL 2e-7 /* the peer's probabilities are f32 */

static void check_absent(const json_t *eval)
{
    struct peer_log got;
    struct err e;
    ok(!evaluate(&(struct trial){.log = eval, .without[TOFU_FORGET] = true}, &got, &e) &&
           !json_object_get(got.eval, "forget_Q_A_Prob") &&
           !json_object_get(got.eval, "forget_truth_ratio") &&
           !json_object_get(got.eval, "forget_quality"),
       "without the forget set its metrics are absent");
    near(peer_aggregate(got.eval, "model_utility"), peer_aggregate(eval, "model_utility"), F32_RTOL,
         0, "and the utility is what it was");
    peer_log_fini(&got);

    evaluate(&(struct trial){.log = eval, .without[TOFU_FACTS] = true}, &got, &e);
    static const char *const parts[] = {"retain_Q_A_Prob",    "retain_Q_A_ROUGE",
                                        "retain_Truth_Ratio", "ra_Q_A_Prob_normalised",
                                        "ra_Q_A_ROUGE",       "ra_Truth_Ratio"};
    double sum = 0;
    for (int i = 0; i < 6; i++)
        sum += 1 / peer_aggregate(eval, parts[i]);
    near(peer_aggregate(got.eval, "model_utility"), 6 / sum, F32_RTOL, 0,
         "without world facts the utility is the mean of six");
    ok(!json_object_get(got.eval, "forget_quality"), "no forget quality without a retrained model");
    peer_log_fini(&got);

    json_t *empty = json_object();
    json_t *table = NULL;
    ok(!evaluate(&(struct trial){.log = eval, .retain = empty, .table = &table}, &got, &e) &&
           !json_object_get(got.eval, "forget_quality"),
       "nor against a log that lacks the truth ratio");
    const char *note = str(json_object_get(table, "forget_quality"), "note");
    ok(note && strstr(note, "has 0 rows of 'forget_truth_ratio'"), "the table says why");
    json_decref(table);
    peer_log_fini(&got);
    json_decref(empty);
    ok(evaluate(&(struct trial){.log = eval, .broken = true}, &got, &e) &&
           strstr(e.msg, "the device is gone"),
       "an engine's error is passed on: %s", e.msg);
    peer_log_fini(&got);
}

/* What comes from tokens, where every token of a row has the same loss and the last is not by
 * heart.
 */
static void check_tokens(const json_t *eval, const json_t *retain)
{
    struct peer_log got;
    struct err e;
    if (!ok(!evaluate(&(struct trial){.log = eval, .retain = retain}, &got, &e), "with a holdout"))
        return note("%s", e.msg);
    double auc = peer_aggregate(eval, "mia_loss");
    near(peer_aggregate(got.eval, "mia_min_k"), auc, RTOL, 0, "min-k of equal tokens is the loss");
    near(peer_aggregate(got.eval, "privleak"),
         stats_privleak(auc, peer_aggregate(retain, "mia_min_k")), RTOL, 0, "privleak");
    const json_t *zlib = json_object_get(json_object_get(got.eval, "mia_zlib"), "forget");
    const json_t *row =
        json_object_get(peer_rows(json_object_get(got.eval, "mia_zlib"), "forget"), "2");
    double loss = get(json_object_get(peer_rows(eval, "forget_Q_A_Prob"), "2"), "avg_loss");
    near(get(row, "score"), loss / 12, RTOL, 0, "loss by 12 bytes of zlib");
    ok(json_object_size(zlib) == 2, "an attack has two sets of rows");
    near(get(json_object_get(peer_rows(got.eval, "exact_memorization"), "4"), "score"), 0.8, RTOL,
         0, "four tokens of five by heart");
    near(peer_aggregate(got.eval, "extraction_strength"), 0, 0, 0, "nothing is extracted");
    ok(!json_object_get(got.eval, "mia_reference"),
       "no attack needs a reference that is not there");
    peer_log_fini(&got);

    unsigned compat = COMPAT_DROP_LAST_TOKEN;
    evaluate(&(struct trial){.log = eval, .retain = NULL, .compat = compat}, &got, &e);
    row = json_object_get(peer_rows(got.eval, "exact_memorization"), "4");
    near(get(row, "score"), 1, RTOL, 0, "all are without the last token");
    row = json_object_get(peer_rows(got.eval, "exact_memorization"), "0");
    ok(json_is_null(json_object_get(row, "score")), "where that was the only one, it is missing");
    near(peer_aggregate(got.eval, "privleak"),
         stats_privleak(peer_aggregate(got.eval, "mia_min_k"), 0.5), RTOL, 0,
         "privleak without a retrained model");
    peer_log_fini(&got);
    evaluate(&(struct trial){.log = eval, .without[TOFU_HOLDOUT] = true}, &got, &e);
    ok(!json_object_get(got.eval, "mia_loss") && !json_object_get(got.eval, "privleak"),
       "no attack without rows to tell apart");
    peer_log_fini(&got);
}

/* Metrics of answers, in a table of one's own. */
static void check_answers(const json_t *eval)
{
    struct metric metrics[] = {
        {"f1", KIND("rouge_f1"), .set = TOFU_FORGET, .answer = "answer"},
        {"bleu", KIND("bleu"), .set = TOFU_FORGET, .answer = "answer"},
        {"same", KIND("exact_match"), .set = TOFU_FACTS, .answer = "answer"},
        {"unique", KIND("unique_words"), .set = TOFU_FACTS, .answer = "answer"},
        {"repeated", KIND("repetition"), .set = TOFU_FACTS, .answer = "answer"},
        {"bigrams", KIND("word_entropy"), .set = TOFU_FACTS, .answer = "answer"},
        {"entropy", KIND("entropy"), .set = TOFU_FACTS, .answer = "answer"},
        {"lower", KIND("mia_lowercase"), .set = TOFU_FORGET, .against = TOFU_FACTS,
         .answer = "answer"},
        {"rank", KIND("reciprocal_rank"), .set = TOFU_FACTS, .answer = "answer"},
        {0}};
    struct peer_log got;
    json_t *table = NULL, *row;
    struct err e;
    struct trial t = {.log = eval, .metrics = metrics, .table = &table};
    if (!ok(!evaluate(&t, &got, &e), "metrics of answers"))
        return note("%s", e.msg);
    double f1 = 0, worst = 0;
    const char *key;
    json_object_foreach(peer_rows(eval, "forget_Q_A_ROUGE"), key, row)
    {
        struct bleu b = {0};
        f1 += get(row, "rougeL_f1") / (double)json_object_size(peer_rows(eval, "forget_Q_A_ROUGE"));
        bleu_add(&b, str(row, "ground_truth"), str(row, "generation"), &e);
        double bleu = get(json_object_get(peer_rows(got.eval, "bleu"), key), "score");
        worst = fmax(worst, fabs(bleu - bleu_sentence(&b)));
    }
    near(peer_aggregate(got.eval, "f1"), f1, RTOL, 0, "ROUGE-L F");
    near(worst, 0, 0, RTOL, "BLEU of every row");
    const json_t *lower = json_object_get(json_object_get(got.eval, "lower"), "forget");
    row = json_object_get(json_object_get(lower, "value_by_index"), "3");
    double loss = get(json_object_get(peer_rows(eval, "forget_Q_A_Prob"), "3"), "avg_loss");
    near(get(row, "score"), loss / LOWER_LOSS, RTOL, 0, "loss by the loss in lower case");
    ok(peer_aggregate(got.eval, "same") == 0 && peer_aggregate(got.eval, "entropy") == 0 &&
           isnan(peer_aggregate(got.eval, "rank")),
       "exact match; entropy; ranks that the model does not give");
    const json_t *line = json_object_get(table, "rank");
    ok(get(line, "rows") == 0 && get(line, "missing") == 30, "30 of 30 ranks are missing");
    line = json_object_get(table, "repeated");
    ok(get(line, "rows") == 30 && get(line, "missing") == 0, "repetition rests on 30 answers");
    ok(get(line, "low") <= get(line, "value") && get(line, "value") <= get(line, "high"),
       "within its interval");
    line = json_object_get(table, "same");
    near(get(line, "high"), 1 - pow(0.025, 1.0 / 30), 1e-10, 0, "none of 30: Clopper and Pearson");
    json_decref(table);
    peer_log_fini(&got);
}

/* Two rows, of which one lacks a loss; also as the retrained model's log. */
static const char small_log[] =
    "{\"forget_Q_A_Prob\": {\"value_by_index\": {\"0\": {\"avg_loss\": NaN}, \"1\": {\"avg_loss\": "
    "0.5}}}, "
    "\"forget_Q_A_PARA_Prob\": {\"value_by_index\": {\"0\": {\"avg_loss\": NaN}, \"1\": "
    "{\"avg_loss\": 0.5}}}, "
    "\"forget_Q_A_PERT_Prob\": {\"value_by_index\": {\"0\": {\"avg_loss\": [1, 2]}, \"1\": "
    "{\"avg_loss\": [1, 2]}}}, "
    "\"forget_Q_A_ROUGE\": {\"value_by_index\": {\"0\": {\"input\": \"q\", \"ground_truth\": \"\", "
    "\"generation\": \"\"}, \"1\": {\"input\": \"q\", \"ground_truth\": \"a b\", \"generation\": "
    "\"b\"}}}, "
    "\"forget_truth_ratio\": {\"value_by_index\": {\"0\": {\"score\": 1}, \"1\": {\"score\": "
    "NaN}}}}";

static void check_missing_loss(const json_t *log)
{
    struct peer_log got;
    struct err e;
    ok(!evaluate(&(struct trial){.log = log}, &got, &e), "a log with a missing loss");
    near(peer_aggregate(got.eval, "forget_Q_A_Prob"), exp(-0.5), RTOL, 0, "the mean skips it");
    const json_t *row = json_object_get(peer_rows(got.eval, "forget_Q_A_Prob"), "0");
    ok(json_is_null(json_object_get(row, "prob")), "its row holds null");
    near(peer_aggregate(got.eval, "forget_truth_ratio"), exp(-1), 1e-9, 0,
         "and so does its truth ratio");
    near(peer_aggregate(got.eval, "forget_Q_A_ROUGE"), 0.25, RTOL, 0, "ROUGE counts empty texts");
    peer_log_fini(&got);
}

static void check_no_memory(const json_t *log)
{
    struct err e;
    long n = 0, silent = 0;
    int rc;
    do {
        struct peer_log got;
        rc = evaluate(&(struct trial){.log = log, .retain = log, .fail_at = ++n}, &got, &e);
        silent += rc && !strstr(e.msg, "out of memory");
        peer_log_fini(&got);
    } while (rc && n < 10000);
    ok(!rc && n > 40 && !silent, "each of %ld allocations may fail", n - 1);
}

int main(void)
{
    log_set_quiet(true);
    struct err e;
    char *path = test_data("tofu/TOFU_EVAL.json");
    json_t *eval = json_read_file(path, &e);
    char *gold = test_data("tofu/retain_EVAL.json");
    json_t *retain = json_read_file(gold, &e);
    json_t *small = json_read_text(small_log, sizeof small_log - 1, "log", &e);
    check_absent(eval);
    check_tokens(eval, retain);
    check_answers(eval);
    json_decref(retain);
    check_missing_loss(small);
    check_no_memory(small);
    json_decref(eval);
    json_decref(small);
    free(path);
    free(gold);
    return done();
}
