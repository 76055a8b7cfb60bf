/* Kinds of metrics by their definitions, on a model that knows a log (fake_model.h): what is taken
 * from one row, from two other metrics, from an attack; and rows that are cut, or say nothing. */
#include "base/json.h"
#include "base/log.h"
#include "eval/texts.h"
#include "fake_model.h"

static json_t *row_of(const struct peer_log *got, const char *metric, const char *row)
{
    return json_object_get(peer_rows(got->eval, metric), row);
}

/* Row i has 1 + i % MOST_LABELS tokens of the same loss, of which all but the last are by heart. */
static void check_numbers(const json_t *eval)
{
    struct metric metrics[] = {
        {"mean", KIND("mean_logp"), .set = TOFU_RETAIN, .answer = "answer"},
        {"sum", KIND("sum_logp"), .set = TOFU_RETAIN, .answer = "answer"},
        {"exact", KIND("exact_memorization"), .set = TOFU_RETAIN, .answer = "answer"},
        {"accuracy", KIND("memorization_accuracy"), .set = TOFU_RETAIN, .answer = "answer"},
        {"rouge_1", KIND("rouge_1"), .set = TOFU_RETAIN, .answer = "answer"},
        {"el", KIND("extraction_likelihood"), .set = TOFU_RETAIN, .answer = "answer", .n = 7},
        {0}};
    struct peer_log got;
    struct err e;
    struct trial t = {.log = eval, .metrics = metrics, .compat = COMPAT_DROP_LAST_TOKEN};
    if (!ok(!evaluate(&t, &got, &e), "numbers of rows"))
        return note("%s", e.msg);
    double loss = get(json_object_get(peer_rows(eval, "retain_Q_A_Prob"), "2"), "avg_loss");
    near(get(row_of(&got, "mean", "2"), "score"), -loss, RTOL, 0, "mean log-probability");
    near(get(row_of(&got, "sum", "2"), "score"), -3 * loss, RTOL, 0, "of three tokens");
    near(get(row_of(&got, "exact", "2"), "score"), 1, RTOL, 0, "without the last all are by heart");
    near(get(row_of(&got, "accuracy", "2"), "score"), 2 / 3.0, RTOL, 0, "MA counts it");
    double sum = 0;
    int n = 0;
    const char *key;
    json_t *row;
    json_object_foreach(peer_rows(eval, "retain_Q_A_ROUGE"), key, row)
    {
        sum += get(row, "rouge1_recall");
        n++;
    }
    near(peer_aggregate(got.eval, "rouge_1"), sum / n, RTOL, 0, "ROUGE-1 recall of %d rows", n);
    near(peer_aggregate(got.eval, "el"), 0.07, RTOL, 0, "extraction likelihood of 7-grams");
    peer_log_fini(&got);
}

/* A judge for whom every token of an answer costs 2 nats. */
static int judge(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                 struct err *e)
{
    (void)ctx, (void)distribution;
    *out = (struct scores){.n = d->n, .v = mem_alloc((size_t)d->n, sizeof *out->v, e)};
    for (int i = 0; out->v && i < d->n; i++) {
        out->v[i].n = d->seqs[i].n > 1 ? d->seqs[i].n - 1 : 0;
        out->v[i].nll = 2 * out->v[i].n;
    }
    return out->v ? 0 : -1;
}

static void check_perplexity(const json_t *eval)
{
    struct metric metrics[] = {
        {"fluent", KIND("perplexity"), .set = TOFU_FACTS, .answer = "answer"}, {0}};
    const struct backend other = {.score = judge};
    struct peer_log got;
    struct err e;
    struct trial t = {.log = eval, .metrics = metrics, .reference = &other};
    if (ok(!evaluate(&t, &got, &e), "perplexity under another model"))
        near(peer_aggregate(got.eval, "fluent"), exp(2), RTOL, 0, "of two nats a token");
    peer_log_fini(&got);
    t.reference = NULL;
    ok(!evaluate(&t, &got, &e) && !json_object_get(got.eval, "fluent"),
       "none without another model");
    peer_log_fini(&got);
}

/* Rescored logs need no model: rows as given, metrics of these kinds. */
static int rescore(const char *text, struct metric *metrics, const char *retained, struct suite *s,
                   struct err *e)
{
    json_t *log = json_read_text(text, strlen(text), "log", e);
    json_t *gold = retained ? json_read_text(retained, strlen(retained), "retained", e) : NULL;
    struct suite_recipe recipe = {.metrics = metrics};
    *s = (struct suite){.recipe = &recipe, .retain_log = gold};
    int rc = log ? suite_rescore(s, log, e) : -1;
    json_decref(log);
    json_decref(gold);
    s->recipe = NULL;
    s->retain_log = NULL;
    return rc;
}

/* Members score 0.1 .. 0.5, others 0.25, 0.6, 0.7, 0.8: two members are below all others. */
#define ATTACK                                                                                     \
    "{\"mia\": {\"forget\": {\"value_by_index\": {\"0\": {\"score\": 0.1}, \"1\": {\"score\": "    \
    "0.2}, \"2\": {\"score\": 0.3}, \"3\": {\"score\": 0.4}, \"4\": {\"score\": 0.5}}}, "          \
    "\"holdout\": {\"value_by_index\": {\"0\": {\"score\": 0.25}, \"1\": {\"score\": 0.6}, "       \
    "\"2\": {\"score\": 0.7}, \"3\": {\"score\": 0.8}}}}}"

static void check_attack(void)
{
    struct metric metrics[] = {{.name = "mia", .kind = KIND("mia_loss")},
                               {"found", KIND("tpr"), .inputs = {"mia"}, .fpr = 0.01},
                               {"half", KIND("tpr"), .inputs = {"mia"}, .fpr = 0.25},
                               {"leak", KIND("privleak"), .inputs = {"mia"}},
                               {"off", KIND("rel_diff"), .inputs = {"mia"}},
                               {0}};
    struct suite s;
    struct err e;
    if (!ok(!rescore(ATTACK, metrics, "{\"mia\": {\"agg_value\": 0.6}}", &s, &e), "an attack"))
        return note("%s", e.msg);
    double auc = (4 + 4 + 3 + 3 + 3) / 20.0;
    near(peer_aggregate(s.log.eval, "mia"), auc, RTOL, 0, "its AUC");
    near(peer_aggregate(s.log.eval, "found"), 2 / 5.0, RTOL, 0, "two of five before a false alarm");
    near(peer_aggregate(s.log.eval, "half"), 1, RTOL, 0, "all with one of four");
    near(peer_aggregate(s.log.eval, "leak"), ((1 - auc) - 0.4) / 0.4 * 100, 1e-9, 0, "privleak");
    near(peer_aggregate(s.log.eval, "off"), (auc - 0.6) / 0.6 * 100, 1e-9, 0,
         "relative difference");
    const json_t *line = json_object_get(s.table, "found");
    ok(get(line, "rows") == 9 && get(line, "low") <= 0.4 && get(line, "high") >= 0.4 &&
           get(line, "low") < get(line, "high"),
       "it rests on nine rows and has an interval");
    line = json_object_get(s.table, "mia");
    ok(get(line, "low") < auc && auc < get(line, "high"), "so has the AUC");
    suite_fini(&s);
}

#define LOSSES                                                                                     \
    "{\"canary\": {\"value_by_index\": {\"0\": {\"avg_loss\": 1.5}, \"1\": {\"avg_loss\": 9}, "    \
    "\"2\": {\"avg_loss\": NaN}}}, \"others\": {\"value_by_index\": {\"0\": {\"avg_loss\": [1, "   \
    "2, 3, 4, 5, 6, 7]}, \"1\": {\"avg_loss\": [1, 2, 3, 4, 5, 6, 7]}, \"2\": {\"avg_loss\": "     \
    "[1]}}}}"

static void check_exposure(void)
{
    struct metric metrics[] = {{.name = "canary", .kind = KIND("probability")},
                               {.name = "others", .kind = KIND("probability")},
                               {"seen", KIND("exposure"), .inputs = {"canary", "others"}},
                               {"off", KIND("rel_diff"), .inputs = {"seen"}},
                               {0}};
    struct suite s;
    struct err e;
    if (!ok(!rescore(LOSSES, metrics, NULL, &s, &e), "canaries"))
        return note("%s", e.msg);
    const json_t *rows = peer_rows(s.log.eval, "seen");
    near(get(json_object_get(rows, "0"), "score"), 2, RTOL, 0, "second of eight: two bits");
    near(get(json_object_get(rows, "1"), "score"), 0, 0, 0, "the last of eight: none");
    ok(isnan(get(json_object_get(rows, "2"), "score")), "none of a missing loss");
    const json_t *odd = json_object_get(json_object_get(s.table, "seen"), "odd");
    ok(get(json_object_get(odd, "missing"), "count") == 1, "which is counted");
    ok(!json_object_get(s.log.eval, "off") &&
           strstr(str(json_object_get(s.table, "off"), "note"), "needs the retrained model's"),
       "a relative difference needs the retrained model");
    suite_fini(&s);
}

/* An encoder that cuts: of 'whole' only `most` ids are left, as of a text before its end token. */
struct cutter {
    struct fake f;
    int most, left_out;
};

static int encode_cut(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                      int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct cutter *c = ctx;
    int rc = encode(&c->f, prompt, answer, prompt_ids, n_prompt, whole_ids, n_whole, e);
    c->left_out = *n_whole > c->most ? *n_whole - c->most : 0;
    *n_whole -= c->left_out;
    *n_prompt = *n_prompt < c->most ? *n_prompt : c->most;
    return rc;
}

static int score_labels(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                        struct err *e)
{
    (void)ctx, (void)distribution;
    *out = (struct scores){.n = d->n, .v = mem_alloc((size_t)d->n, sizeof *out->v, e)};
    for (int i = 0; out->v && i < d->n; i++)
        for (int t = 1; t < d->seqs[i].n; t++)
            out->v[i].n += d->seqs[i].labels[t] != LABEL_NONE;
    return out->v ? 0 : -1;
}

/* Four rows: whole, cut, with nothing left of the answer, and a list of which one is cut. */
static void check_cut(void)
{
    static const char text[] =
        "[{\"q\": \"ab\", \"a\": \"cd\"}, {\"q\": \"ab\", \"a\": \"cdefghij\"}, {\"q\": "
        "\"abcdefgh\", \"a\": \"i\"}, {\"q\": \"ab\", \"a\": [\"c\", \"defghijk\"]}]";
    struct metric metrics[] = {{"p", KIND("probability"), .answer = "a"}, {0}};
    struct cutter c = {.most = 7};
    const struct encoder enc = {
        .encode = encode_cut, .ctx = &c, .pad_id = -1, .unscored = true, .left_out = &c.left_out};
    const struct backend model = {.score = score_labels};
    struct suite_set set = {.name = "set"};
    struct suite_recipe recipe = {.metrics = metrics, .sets = &set, .n_sets = 1};
    struct rows rows;
    struct err e;
    const struct rows *sets[] = {&rows};
    struct suite s = {
        .recipe = &recipe, .sets = sets, .encoder = &enc, .model = &model, .question = "q"};
    ok(!rows_read(&rows, "rows", text, sizeof text - 1, &e), "four rows");
    if (!ok(!suite_run(&s, &e), "rows that are too long"))
        note("%s", e.msg);
    const json_t *line = json_object_get(s.table, "p");
    ok(get(line, "rows") == 3 && get(line, "missing") == 1, "three of four have a probability");
    struct buf said = {0};
    for (int k = 0; k < WARN_COUNT; k++)
        warnings_write(&s.results[0].warnings, (enum warning)k, &said, &e);
    ok(said.data && !strcmp(said.data, "1 of 4 rows have no value and are left out (2)"
                                       "1 of 4 rows have no token to score (2)"
                                       "3 of 4 rows are truncated to the maximum length (1, 2, 3)"),
       "%s", said.data);
    buf_fini(&said);
    suite_fini(&s);
    rows_close(&rows);
}

/* 'The rain' and 'falls' are one text, of which what comes after the first is scored. */
static void check_continued(void)
{
    static const char text[] = "[{\"q\": \"The rain\", \"a\": \"falls\"}]";
    struct fake f = {0};
    const struct encoder plain = {.encode = encode, .ctx = &f, .pad_id = -1};
    const struct prompt_settings how = {.question = "q", .continued = true};
    struct rows rows;
    struct dataset d;
    struct err e;
    ok(!rows_read(&rows, "rows", text, sizeof text - 1, &e), "a text in two pieces");
    if (!ok(!observations_dataset(&d, &rows, &how, "a", &plain, &e), "its sequence"))
        return note("%s", e.msg);
    char got[32] = "";
    int first = 0;
    for (int t = 0; t < d.seqs[0].n && t < 31; t++) {
        got[t] = (char)d.seqs[0].ids[t];
        first += d.seqs[0].labels[t] == LABEL_NONE;
    }
    ok(d.n == 1 && !strcmp(got, "The rain falls") && first == 8 && d.n_labels == 6,
       "'%s', scored from %d on", got, first);
    dataset_fini(&d);
    rows_close(&rows);
}

static void check_names(void)
{
    struct warnings w = {0};
    struct err e;
    struct buf said = {0};
    char name[16];
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "%d", i);
        warnings_add(&w, WARN_EMPTY, 40, "holdout ", name);
    }
    warnings_write(&w, WARN_EMPTY, &said, &e);
    ok(said.data && !strcmp(said.data, "9 of 40 generated answers are empty (holdout 0, holdout "
                                       "1, holdout 2, holdout 3, holdout 4, holdout 5 ...)"),
       "the first six are named");
    buf_fini(&said);
}

/* Every kind says what it is, when it tells of forgetting, and what it was checked against. */
static void check_words(void)
{
    int silent = 0, n = 0;
    for (; metric_kind_at(n); n++)
        silent += !metric_kind_at(n)->help || !metric_kind_at(n)->forgotten ||
                  !metric_kind_at(n)->verified || strchr(metric_kind_at(n)->help, '|');
    ok(n == 48 && !silent, "%d kinds are described", n);
}

static void check_no_memory(void)
{
    struct metric metrics[] = {{.name = "mia", .kind = KIND("mia_loss")},
                               {"found", KIND("tpr"), .inputs = {"mia"}, .fpr = 0.01},
                               {"off", KIND("rel_diff"), .inputs = {"mia"}},
                               {0}};
    struct suite s;
    struct err e;
    long n = 0, silent = 0;
    int rc;
    do {
        mem_fail_at(n++);
        rc = rescore(ATTACK, metrics, NULL, &s, &e);
        mem_fail_at(-1);
        silent += rc && !strstr(e.msg, "out of memory");
        suite_fini(&s);
    } while (rc && n < 1000);
    ok(!rc && n > 10 && !silent, "each of %ld allocations may fail", n - 1);
}

int main(void)
{
    log_set_quiet(true);
    json_t *eval = load(test_data("tofu/TOFU_EVAL.json"));
    check_numbers(eval);
    check_perplexity(eval);
    check_attack();
    check_exposure();
    check_cut();
    check_continued();
    check_names();
    check_words();
    check_no_memory();
    json_decref(eval);
    return done();
}
