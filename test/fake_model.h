/* A model that knows only a log of the TOFU suite: it answers with the losses and generations that
 * the log holds, and the suite computes everything else. */

#ifndef TEST_FAKE_MODEL_H
#define TEST_FAKE_MODEL_H

#include "base/buf.h"
#include "base/mem.h"
#include "figures.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

/* The sets of suites/tofu.json, in order. */
enum tofu_set { TOFU_FORGET, TOFU_RETAIN, TOFU_AUTHORS, TOFU_FACTS, TOFU_HOLDOUT, TOFU_SETS };

#define LOWER_LOSS 7.0 /* of any text in lower case */

static const char *const prefixes[TOFU_SETS] = {"forget", "retain", "ra", "wf", "holdout"};

enum { MOST_LABELS = 7 };

/* Every text names what it stands for: the question "12|", the answer "forget_Q_A_PERT_Prob|3". The
 * ids are the bytes. */
struct fake {
    const json_t *log; /* borrowed */
    int ids[2][4096];
    bool broken; /* fails as an engine may */
};

static inline int encode(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                         int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct fake *f = ctx;
    (void)e;
    *n_prompt = *n_whole = 0;
    for (const char *s = prompt ? prompt : ""; *s; s++)
        f->ids[0][(*n_prompt)++] = f->ids[1][(*n_whole)++] = *s;
    for (const char *s = answer; *s; s++)
        f->ids[1][(*n_whole)++] = *s;
    *prompt_ids = f->ids[0];
    *whole_ids = f->ids[1];
    return 0;
}

/* The log's row that sequence i stands for, and which answer. */
static inline const json_t *stored(const struct fake *f, const struct dataset *d, int i, bool rouge,
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
static inline bool is_lower(const struct seq *s)
{
    for (int t = 0; t < s->n; t++)
        if (s->ids[t] == 'Q')
            return false;
    return true;
}

static inline int fake_score(void *ctx, const struct dataset *d, bool distribution,
                             struct scores *out, struct err *e)
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

static inline int fake_gradnorm(void *ctx, const struct dataset *d, double *out, struct err *e)
{
    (void)ctx, (void)e;
    for (int i = 0; i < d->n; i++)
        out[i] = i;
    return 0;
}

/* Tells which n it was asked for. */
static inline int fake_extract(void *ctx, const struct dataset *d, int n, double *out,
                               struct err *e)
{
    (void)ctx, (void)e;
    for (int i = 0; i < d->n; i++)
        out[i] = n / 100.0;
    return 0;
}

static inline char *fake_decode(void *ctx, const int *ids, int n, struct err *e)
{
    (void)ctx, (void)ids;
    return mem_strdup(n > 3 ? "a long text" : "text", e);
}

static inline int fake_generate(void *ctx, const struct dataset *d,
                                const struct answer_limit *limits, struct answer *out,
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
        rc = rc || buf_printf(&b, e, "\n%s <eos>, %d at most", str(row, "generation"),
                              limits[i].max_new_tokens);
        out[i].answer = rc ? NULL : mem_strdup(b.data, e);
        out[i].input = mem_strdup(str(row, "input"), e);
        buf_fini(&b);
        if (!out[i].whole || !out[i].answer || !out[i].input)
            return -1;
    }
    return f->broken ? err_set(e, "the device is gone") : 0;
}

/* Rows that name the figures of the log: as many and with as many wrong answers as it has. */
static inline void make_rows(struct rows *rows, const json_t *log, enum tofu_set set)
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

static inline const struct metric_kind *KIND(const char *name)
{
    struct err e;
    const struct metric_kind *k = metric_kind_find(name, &e);
    BUG_ON(!k);
    return k;
}

struct trial {
    const json_t *log, *retain; /* retain: the retrained model's log or NULL */
    bool without[TOFU_SETS];
    unsigned compat;
    struct metric *metrics; /* NULL: TOFU's */
    const struct backend *reference;
    json_t **table; /* NULL: not wanted */
    bool broken;    /* the engine fails */
    long fail_at;   /* allocation of the suite that fails, from 1; 0: none */
};

static inline int evaluate(const struct trial *t, struct peer_log *out, struct err *e)
{
    struct rows rows[TOFU_SETS] = {0};
    const struct rows *sets[TOFU_SETS] = {0};
    for (int i = 0; i < TOFU_SETS; i++) {
        make_rows(&rows[i], t->log, (enum tofu_set)i);
        sets[i] = t->without[i] || !rows[i].n ? NULL : &rows[i];
    }
    struct fake f = {.log = t->log, .broken = t->broken};
    struct encoder enc = {.encode = encode, .ctx = &f, .pad_id = -1};
    struct backend model = {.ctx = &f,
                            .score = fake_score,
                            .generate = fake_generate,
                            .gradnorm = fake_gradnorm,
                            .extract = fake_extract,
                            .decode = fake_decode,
                            .eos = "<eos>"};
    struct suite_recipe tofu, recipe;
    if (suite_recipe_open(&tofu, "tofu", e))
        return -1;
    recipe = tofu;
    if (t->metrics)
        recipe.metrics = t->metrics;
    struct suite s = {.recipe = &recipe,
                      .sets = sets,
                      .encoder = &enc,
                      .model = &model,
                      .reference = t->reference,
                      .question = "question",
                      .max_new_tokens = 200,
                      .compat = t->compat,
                      .retain_log = t->retain};
    mem_fail_at(t->fail_at - 1);
    int rc = suite_run(&s, e);
    mem_fail_at(-1);
    suite_recipe_close(&tofu);
    for (int i = 0; i < TOFU_SETS; i++)
        rows_close(&rows[i]);
    *out = s.log;
    s.log = (struct peer_log){0};
    if (t->table)
        *t->table = json_incref(s.table);
    suite_fini(&s);
    return rc;
}

#endif
