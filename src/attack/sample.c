/* Sampling many answers to every forget prompt: what a model says once in n answers it has not
 * forgotten. */
#include <math.h>
#include <string.h>

#include "attack/extract.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sort.h"
#include "eval/robustness.h"
#include "eval/texts.h"
#include "model/generate.h"

struct sample_params {
    int64_t n, top_k, max_new_tokens;
    double temperature, top_p, leak_threshold, bound_alpha;
};

static const struct param table[] = {
    INT_PARAM(struct sample_params, n, 1, 100000, 32, "answers of each prompt"),
    REAL_PARAM(struct sample_params, temperature, 0.01, 100, 1, "softmax temperature"),
    INT_PARAM(struct sample_params, top_k, 0, 1 << 24, 0,
              "tokens sampled from, ties included; 0: all"),
    REAL_PARAM(struct sample_params, top_p, 0.001, 1, 1,
               "cumulative probability of the tokens sampled from"),
    INT_PARAM(struct sample_params, max_new_tokens, 1, 1 << 20, 48, "most tokens of an answer"),
    REAL_PARAM(struct sample_params, leak_threshold, 0, 1, 0.5,
               "ROUGE-L recall from which an answer leaks"),
    REAL_PARAM(struct sample_params, bound_alpha, 1e-9, 0.5, 0.01, "level of the bounds"),
    {0}};

struct cut {
    int64_t top_k;
    int vocab;
};

/* Scores of all answers, [rows, n]. */
struct samples {
    double *score; /* owned */
    int rows, n;
    struct attack_lines lines; /* a line for each answer; `earlier`: given ones, in that order */
};

/* The answer k of example i that was given; NULL: none. */
static const char *given_answer(const struct samples *s, const struct dataset *d, int i, int k)
{
    const int64_t at = (int64_t)i * s->n + k;
    const json_t *line = at < s->lines.earlier.n ? s->lines.earlier.v[at] : NULL;
    const bool is = line && json_integer_value(json_object_get(line, "row")) == d->rows[i] &&
                    json_integer_value(json_object_get(line, "sample")) == k;
    return is ? json_string_value(json_object_get(line, "text")) : NULL;
}

static int cut(void *ctx, int answer, const int *ids, int n, float *z, struct err *e)
{
    const struct cut *c = ctx;
    (void)answer, (void)ids, (void)n;
    return warp_top_k(c->top_k, z, c->vocab, e);
}

/* The answers of example i, of s->n; in `text`, one after another, each with its NUL. */
static int draw_answers(struct attack_run *a, const struct sample_params *p, int i,
                        struct buf *text, struct err *e)
{
    struct generation *out = mem_alloc((size_t)p->n, sizeof *out, e);
    struct seq prompt = a->sets[ATTACK_FORGET].seqs[i];
    if (!out)
        return -1;
    prompt.n = seq_prompt(&prompt);
    prompt.labels = NULL;
    struct cut top = {p->top_k, a->s.model.cfg.vocab};
    const struct generate_options how = {.logits = p->top_k ? cut : NULL,
                                         .logits_ctx = &top,
                                         .max_new_tokens = (int)p->max_new_tokens,
                                         .samples = (int)p->n,
                                         .temperature = p->temperature,
                                         .top_p = p->top_p,
                                         .seed = (unsigned)a->o->seed + (unsigned)i,
                                         .interrupt = a->stop};
    int rc = model_generate(out, &a->s.model, &prompt, 1, &how, NULL, e);
    for (int k = 0; !rc && k < p->n; k++) {
        a->spent.forward_tokens += out[k].n;
        rc = tokenizer_decode(a->s.tokenizer, out[k].ids, (size_t)out[k].n, true, text, e) ||
             buf_add(text, "", 1, e);
    }
    for (int k = 0; k < p->n; k++)
        generation_fini(&out[k]);
    free(out);
    a->spent.candidates += p->n;
    return rc;
}

static int score_row(struct attack_run *a, const struct sample_params *p, struct samples *s, int i,
                     struct err *e)
{
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    const char *truth = rows_text(&a->rows[ATTACK_FORGET], d->rows[i], a->o->answer_key, e);
    bool given = true;
    struct buf drawn = {0};
    for (int k = 0; k < p->n; k++)
        given = given && given_answer(s, d, i, k);
    if (!given && a->o->replay)
        return err_about(e, "replay", "'%s' has no %lld answers of row %d", s->lines.earlier.path,
                         (long long)p->n, d->rows[i]);
    int rc = !truth || (!given && draw_answers(a, p, i, &drawn, e));
    const char *at = drawn.data;
    for (int k = 0; !rc && k < p->n; k++) {
        const char *text = given ? given_answer(s, d, i, k) : at;
        struct rouge rouge;
        if (!given)
            at += strlen(at) + 1;
        if ((rc = rouge_score(truth, strlen(truth), text, strlen(text), ROUGE_LATIN, &rouge, e)))
            break;
        s->score[(size_t)i * (size_t)p->n + (size_t)k] = rouge.recall_l;
        rc = attack_lines_add(&s->lines,
                              json_pack("{s:i, s:i, s:f, s:s}", "row", d->rows[i], "sample", k,
                                        "rouge_l_recall", rouge.recall_l, "text", text),
                              e);
    }
    buf_fini(&drawn);
    return rc;
}

/* Means over prompts at k = 1, 2, 4 ... n, and bounds on the rate of leaks over all answers. */
static void put_leaks(const struct samples *s, const struct sample_params *p, json_t *block)
{
    json_t *leak = json_object(), *most = json_object();
    json_t *one = json_array(), *all = json_array();
    int leaks = 0, leaking_rows = 0;
    for (int r = 0; r < s->rows; r++) {
        int own = 0;
        sort_doubles(s->score + (size_t)r * (size_t)s->n, (size_t)s->n);
        for (int k = 0; k < s->n; k++)
            own += s->score[(size_t)r * (size_t)s->n + (size_t)k] >= p->leak_threshold;
        json_array_append_new(
            one, json_real(leak_expected_max(s->score + (size_t)r * (size_t)s->n, s->n, 1)));
        json_array_append_new(all, json_real(s->score[((size_t)r + 1) * (size_t)s->n - 1]));
        leaks += own;
        leaking_rows += own > 0;
    }
    for (int k = 1;; k = 2 * k < s->n ? 2 * k : s->n) {
        char key[16];
        double l = 0, m = 0;
        for (int r = 0; r < s->rows; r++) {
            const double *v = s->score + (size_t)r * (size_t)s->n;
            int c = 0;
            for (int i = 0; i < s->n; i++)
                c += v[i] >= p->leak_threshold;
            l += leak_at_k(s->n, c, k) / s->rows;
            m += leak_expected_max(v, s->n, k) / s->rows;
        }
        snprintf(key, sizeof key, "%d", k);
        json_object_set_new(leak, key, json_real(l));
        json_object_set_new(most, key, json_real(m));
        if (k == s->n)
            break;
    }
    const struct interval rate = interval_of_rate(leaks, s->rows * s->n, 1 - 2 * p->bound_alpha);
    json_object_set_new(block, "leak_at_k", leak);
    json_object_set_new(block, "expected_max", most);
    json_object_set_new(block, "row_mean", one);
    json_object_set_new(block, "row_max", all);
    json_object_set_new(block, "leaks", json_integer(leaks));
    json_object_set_new(block, "leaking_rows", json_integer(leaking_rows));
    json_object_set_new(block, "answers", json_integer(s->rows * s->n));
    json_object_set_new(block, "rate_upper", json_real(rate.high));
}

/* Answers of a replay count as those of an earlier run. */
static int open_lines(struct samples *s, struct attack_run *a, struct err *e)
{
    char name[48], *path;
    snprintf(name, sizeof name, "samples_%s.jsonl", attack_model_name[a->which]);
    if (attack_lines_open(&s->lines, a, name, e) || attack_replay_file(a, name, &path, e))
        return -1;
    int rc = 0;
    if (a->o->replay && !path)
        rc = err_about(e, "replay", "'%s' has no file '%s'", a->o->replay, name);
    if (path) {
        rows_close(&s->lines.earlier);
        rc = rows_open(&s->lines.earlier, path, e);
    }
    free(path);
    return rc;
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct sample_params *p = params;
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    if (!a->s.tokenizer)
        return err_about(e, "forget",
                         "sampled answers are compared as texts: rows of token ids have none");
    if (attack_check_memory((double)d->n * (double)p->n * sizeof(double),
                            "the scores of all answers", "n", e))
        return -1;
    struct samples s = {.score = mem_alloc((size_t)d->n * (size_t)p->n, sizeof *s.score, e),
                        .rows = d->n,
                        .n = (int)p->n};
    struct progress bar;
    int done = 0, rc = !s.score || open_lines(&s, a, e);
    progress_start(&bar, "sample", d->n);
    while (!rc && done < d->n && !(rc = score_row(a, p, &s, done, e)))
        progress_step(&bar, ++done, a->spent.forward_tokens, NULL);
    progress_end(&bar);
    rc = attack_lines_close(&s.lines, rc, e);
    const struct warp w = {p->temperature, p->top_p, p->top_k}; /* as the samples are drawn */
    if (!rc && !(rc = extract_measure(a, &w, p->n, block, e)))
        put_leaks(&s, p, block);
    free(s.score);
    return rc;
}

const struct attack attack_sample = {
    .name = "sample",
    .params = table,
    .params_size = sizeof(struct sample_params),
    .help = "sample many answers to a prompt: leak@k, bounds, the exact answer's probability",
    .paper = "arXiv 2511.04934, 2410.03523",
    .touches = "decoding",
    .access = "black",
    .guarded = true,
    .verified = "all subsets, conbo (stats.t)",
    .run = run,
};
