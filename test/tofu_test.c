/* The TOFU suite against logs of the peer. A fake model answers with the losses and generations
 * that a log holds, the suite computes everything else, and its log must equal the peer's: same
 * metrics, same structure, same texts, same numbers.
 *
 * Tolerances: what is computed from the stored losses in f64 (truth ratios, forget quality) or from
 * texts (ROUGE) agrees to 1e-12. Probabilities agree to 2e-7 only, because the peer computes and
 * stores them in f32 (one step is 6e-8 relative) and its normalised probabilities and utility from
 * those. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/bleu.h"
#include "figures.h"
#include "suites/tofu.h"

#define F32_RTOL   2e-7
#define LOWER_LOSS 7.0

static const char *const prefixes[TOFU_SETS] = {"forget", "retain", "ra", "wf", "holdout"};

/* ---- a model that knows only a log ---- */

enum { MOST_LABELS = 7 };

/* Every text names what it stands for: the question "12|", the answer "forget_Q_A_PERT_Prob|3". The
 * ids are the bytes. */
struct fake {
    const json_t *log; /* borrowed */
    int ids[2][256];
    bool broken; /* fails as an engine may */
};

static int encode(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                  int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct fake *f = ctx;
    (void)e;
    *n_prompt = *n_whole = 0;
    for (const char *s = prompt; *s; s++)
        f->ids[0][(*n_prompt)++] = f->ids[1][(*n_whole)++] = *s;
    for (const char *s = answer; *s; s++)
        f->ids[1][(*n_whole)++] = *s;
    *prompt_ids = f->ids[0];
    *whole_ids = f->ids[1];
    return 0;
}

/* The log's row that sequence i stands for, and which answer. */
static const json_t *stored(const struct fake *f, const struct dataset *d, int i, bool rouge,
                            int *item)
{
    char text[256], row[32], metric[64];
    int n = d->seqs[i].n;
    for (int t = 0; t < n; t++)
        text[t] = (char)d->seqs[i].ids[t];
    text[n] = 0;
    sscanf(text, "%31[^|]|%63[^|]|%d", row, metric, item);
    if (!strncmp(metric, "holdout", 7)) /* kept with the attack on losses only */
        return json_object_get(peer_rows(json_object_get(f->log, "mia_loss"), "holdout"), row);
    if (rouge)
        strcpy(strstr(metric, "_Q_A_"), "_Q_A_ROUGE");
    return json_object_get(peer_rows(f->log, metric), row);
}

/* A text without the capital of "Q_A" came through the lower case. */
static bool is_lower(const struct seq *s)
{
    for (int t = 0; t < s->n; t++)
        if (s->ids[t] == 'Q')
            return false;
    return true;
}

static int fake_score(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                      struct err *e)
{
    (void)distribution;
    struct fake *f = ctx;
    if (f->broken)
        return err_set(e, "the device is gone");
    size_t room = (size_t)d->n * MOST_LABELS;
    *out = (struct scores){.n = d->n,
                           .v = mem_alloc((size_t)d->n, sizeof *out->v, e),
                           .floats = mem_alloc(2 * room, sizeof(float), e),
                           .ints = mem_alloc(2 * room, sizeof(int), e)};
    if (!out->v || !out->floats || !out->ints) {
        scores_fini(out);
        return -1;
    }
    for (int i = 0; i < d->n; i++) {
        int item;
        const json_t *row = stored(f, d, i, false, &item);
        const json_t *loss =
            json_object_get(row, json_object_get(row, "score") ? "score" : "avg_loss");
        struct score *v = &out->v[i];
        double x = real(json_is_array(loss) ? json_array_get(loss, (size_t)item) : loss);
        if (is_lower(&d->seqs[i]))
            x = LOWER_LOSS;
        *v = (struct score){.n = 1 + i % MOST_LABELS,
                            .logp = out->floats + (size_t)i * MOST_LABELS,
                            .mean = out->floats + room + (size_t)i * MOST_LABELS,
                            .variance = out->floats + room + (size_t)i * MOST_LABELS,
                            .label = out->ints + (size_t)i * MOST_LABELS,
                            .best = out->ints + room + (size_t)i * MOST_LABELS};
        v->nll = v->n * x;
        for (int k = 0; k < v->n; k++) { /* the last token is not by heart */
            v->logp[k] = (float)-x;
            v->best[k] = k == v->n - 1;
        }
    }
    return 0;
}

static int fake_gradnorm(void *ctx, const struct dataset *d, double *out, struct err *e)
{
    (void)ctx, (void)e;
    for (int i = 0; i < d->n; i++)
        out[i] = i;
    return 0;
}

static char *fake_decode(void *ctx, const int *ids, int n, struct err *e)
{
    (void)ctx, (void)ids;
    return mem_strdup(n > 3 ? "a long text" : "text", e);
}

static int fake_generate(void *ctx, const struct dataset *d, int max_new, struct answer *out,
                         struct err *e)
{
    struct fake *f = ctx;
    for (int i = 0; i < d->n; i++) {
        int item;
        const json_t *row = stored(f, d, i, true, &item);
        struct buf b = {0};
        int rc = buf_printf(&b, e, "%s %s", str(row, "input"), str(row, "ground_truth"));
        out[i].whole = rc ? NULL : mem_strdup(b.data, e);
        buf_clear(&b);
        rc = rc || buf_printf(&b, e, "\n%s <eos>, %d at most", str(row, "generation"), max_new);
        out[i].answer = rc ? NULL : mem_strdup(b.data, e);
        out[i].input = mem_strdup(str(row, "input"), e);
        buf_fini(&b);
        if (!out[i].whole || !out[i].answer || !out[i].input)
            return -1;
    }
    return f->broken ? err_set(e, "the device is gone") : 0;
}

/* Rows that name the figures of the log: as many and with as many wrong answers as it has. */
static void make_rows(struct rows *rows, const json_t *log, enum tofu_set set)
{
    static const char *const fields[][2] = {
        {"answer", "Prob"}, {"paraphrased_answer", "PARA_Prob"}, {"perturbed_answer", "PERT_Prob"}};
    json_t *list = json_array();
    char name[64], text[96];
    snprintf(name, sizeof name, "%s_Q_A_Prob", prefixes[set]);
    int n = (int)json_object_size(peer_rows(log, name));
    if (set == TOFU_HOLDOUT)
        n = (int)json_object_size(peer_rows(json_object_get(log, "mia_loss"), "holdout"));
    for (int i = 0; i < n; i++) {
        json_t *row = json_pack("{s:s}", "question", (snprintf(text, sizeof text, "%d|", i), text));
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s_Q_A_%s", prefixes[set], fields[k][1]);
            snprintf(text, sizeof text, "%d", i);
            json_t *stored_row = json_object_get(peer_rows(log, name), text), *all = json_array();
            const json_t *loss = json_object_get(stored_row, "avg_loss");
            for (int j = 0; j < (json_is_array(loss) ? (int)json_array_size(loss) : 1); j++) {
                snprintf(text, sizeof text, "%s|%d", name, j);
                json_array_append_new(all, json_string(text));
            }
            if (stored_row || (set == TOFU_HOLDOUT && !k))
                json_object_set(row, fields[k][0],
                                json_is_array(loss) ? all : json_array_get(all, 0));
            json_decref(all);
        }
        json_array_append_new(list, row);
    }
    char *lines = json_dumps(list, 0);
    struct err e;
    if (n && rows_read(rows, prefixes[set], lines, strlen(lines), &e))
        note("%s", e.msg);
    free(lines);
    json_decref(list);
}

struct trial {
    const json_t *log, *retain; /* retain: the retrained model's log or NULL */
    bool without[TOFU_SETS];
    unsigned compat;
    const struct metric *metrics; /* NULL: TOFU's */
    json_t **table;               /* NULL: not wanted */
    bool broken;                  /* the engine fails */
    long fail_at;                 /* allocation of the suite that fails, from 1; 0: none */
};

static int evaluate(const struct trial *t, struct peer_log *out, struct err *e)
{
    struct rows rows[TOFU_SETS] = {0};
    const struct rows *sets[TOFU_SETS] = {0};
    for (int i = 0; i < TOFU_SETS; i++) {
        make_rows(&rows[i], t->log, (enum tofu_set)i);
        sets[i] = t->without[i] || !rows[i].n ? NULL : &rows[i];
    }
    struct fake f = {.log = t->log, .broken = t->broken};
    struct encoder enc = {.encode = encode, .ctx = &f, .pad_id = -1};
    struct scorer model = {&f, fake_score, fake_generate, fake_gradnorm, fake_decode, "<eos>"};
    struct suite s = {.metrics = t->metrics ? t->metrics : tofu_metrics,
                      .sets = sets,
                      .encoder = &enc,
                      .model = &model,
                      .question = TOFU_QUESTION,
                      .max_new_tokens = TOFU_MAX_NEW_TOKENS,
                      .compat = t->compat,
                      .retain_log = t->retain};
    mem_fail_at(t->fail_at - 1);
    int rc = suite_run(&s, e);
    mem_fail_at(-1);
    for (int i = 0; i < TOFU_SETS; i++)
        rows_close(&rows[i]);
    *out = s.log;
    s.log = (struct peer_log){0};
    if (t->table)
        *t->table = json_incref(s.table);
    suite_fini(&s);
    return rc;
}

/* ---- comparing logs ---- */

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

static void compare_logs(const struct peer_log *got, const json_t *eval, const json_t *summary,
                         const char *tier)
{
    int missing = 0;
    for (const struct metric *m = tofu_metrics; m->name; m++) {
        if (needs_tokens(m->name))
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
    } else if (ok(!evaluate(&(struct trial){.log = eval, .retain = retain}, &got, &e),
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

/* ---- what may be missing ---- */

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
    ok(evaluate(&(struct trial){.log = eval, .retain = empty}, &got, &e) &&
           strstr(e.msg, "forget_quality"),
       "a log that lacks the truth ratio is refused: %s", e.msg);
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
    static const struct metric metrics[] = {
        {"f1", &metric_rouge_f1, .set = TOFU_FORGET, .answer = "answer"},
        {"bleu", &metric_bleu, .set = TOFU_FORGET, .answer = "answer"},
        {"same", &metric_exact_match, .set = TOFU_FACTS, .answer = "answer"},
        {"unique", &metric_unique_words, .set = TOFU_FACTS, .answer = "answer"},
        {"repeated", &metric_repetition, .set = TOFU_FACTS, .answer = "answer"},
        {"bigrams", &metric_word_entropy, .set = TOFU_FACTS, .answer = "answer"},
        {"entropy", &metric_entropy, .set = TOFU_FACTS, .answer = "answer"},
        {"lower", &metric_mia_lowercase, .set = TOFU_FORGET, .against = TOFU_FACTS,
         .answer = "answer"},
        {"rank", &metric_reciprocal_rank, .set = TOFU_FACTS, .answer = "answer"},
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
