/* Multiple choice: prompts byte for byte as lm-evaluation-harness makes them of the same rows
 * (tools/make_choice_golden.py), which choice is taken, and rows that are no questions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "eval/choice.h"
#include "choices.h"
#include "tap.h"

/* Rows from a JSON array. */
static int rows_of(struct rows *r, const json_t *array)
{
    struct err e;
    char *text = json_dumps(array, 0);
    int rc = rows_read(r, "rows.json", text, strlen(text), &e);
    free(text);
    return rc;
}

/* The questions of a built-in suite's task. */
static int build(struct questions *q, const char *task, const char *subject,
                 const struct rows *rows, const struct rows *shots, int n_shots,
                 struct suite_recipe *r, struct err *e)
{
    const struct choice_task *t = choices_find(r, task);
    return t ? questions_build(q, t, subject, rows, shots, n_shots, e)
             : err_set(e, "no task '%s'", task);
}

static void test_prompts(void)
{
    struct err e;
    char *path = test_data("choice/prompts.json");
    json_t *tasks = path ? json_read_file(path, &e) : NULL, *want;
    const char *name;
    int seen = 0;
    json_object_foreach(tasks, name, want)
    {
        struct rows rows, shots = {0};
        struct questions q;
        struct suite_recipe recipe = {0};
        json_t *requests = json_object_get(want, "requests"), *examples;
        examples = json_object_get(want, "shots");
        bool same = !rows_of(&rows, json_object_get(want, "rows"));
        if (json_array_size(examples))
            same = same && !rows_of(&shots, examples);
        int rc = build(&q, name, "high_school_geography", &rows, &shots,
                       (int)json_array_size(examples), &recipe, &e);
        if (ok(same && !rc && (size_t)q.v[0].n == json_array_size(requests), "%s: a question%s%s",
               name, rc ? ": " : "", rc ? e.msg : "")) {
            for (int i = 0; i < q.v[0].n; i++) {
                json_t *r = json_array_get(requests, (size_t)i);
                const char *context = json_string_value(json_array_get(r, 0));
                const char *choice = json_string_value(json_array_get(r, 1));
                same = same && !strcmp(q.v[0].context[i], context) && *choice == ' ' &&
                       !strcmp(q.v[0].choice[i], choice + 1);
                if (!same)
                    note("[%s|%s] [%s|%s]", q.v[0].context[i], q.v[0].choice[i], context, choice);
            }
            ok(same, "%s: prompt and choices", name);
            questions_fini(&q);
        }
        rows_close(&rows);
        rows_close(&shots);
        suite_recipe_close(&recipe);
        seen++;
    }
    ok(seen == 12, "%d tasks", seen);
    json_decref(tasks);
    free(path);
}

/* Both layouts of TruthfulQA, and BoolQ as published. */
static void test_layouts(void)
{
    static const struct {
        const char *task, *row;
        int gold, n_right;
    } cases[] = {
        {"truthfulqa_mc2", "[{\"question\":\"q\",\"mc2_targets\":{\"a\":1,\"b\":1,\"c\":0}}]", 0,
         2},
        {"truthfulqa_mc1", "[{\"question\":\"q\",\"mc1_targets\":{\"a\":1,\"b\":0,\"c\":0}}]", 0,
         0},
        {"boolq", "[{\"question\":\"q\",\"passage\":\"p\",\"answer\":true}]", 1, 0},
        {"mmlu",
         "[{\"question\":\"q\",\"choice0\":\"a\",\"choice1\":\"b\",\"choice2\":\"c\","
         "\"choice3\":\"d\",\"answer\":\"2\"}]",
         2, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e;
        struct rows rows;
        struct questions q;
        struct suite_recipe r = {0};
        if (rows_read(&rows, "x.json", cases[i].row, strlen(cases[i].row), &e))
            continue;
        int rc = build(&q, cases[i].task, "s", &rows, NULL, 0, &r, &e);
        ok(!rc && q.v[0].gold == cases[i].gold && q.v[0].n_right == cases[i].n_right,
           "%s as published%s%s", cases[i].task, rc ? ": " : "", rc ? e.msg : "");
        if (!rc)
            questions_fini(&q);
        rows_close(&rows);
        suite_recipe_close(&r);
    }
}

/* choice_judge against what the harness's process_results makes of these numbers. */
static void test_judge(void)
{
    char *choices[] = {"a long choice", "no", "caf\xc3\xa9"};
    double logp[] = {-6, -5, -4.5};
    struct choice_score s = {.n = 3, .logp = logp};
    struct question q = {.n = 3, .choice = choices, .gold = 2};
    choice_judge(&s, &q);
    ok(s.best == 2 && s.acc == 1, "the likeliest choice is taken");
    ok(s.best_letter == 0 && s.acc_norm == 0, "by character the longest one is");
    logp[2] = -5;
    choice_judge(&s, &q);
    ok(s.best == 1, "of equals the first");
    q.n_right = 2;
    choice_judge(&s, &q);
    near(s.acc, (exp(-6) + exp(-5)) / (exp(-6) + 2 * exp(-5)), 1e-12, 0,
         "several right ones: their share of the probability");
    /* Other order, same choice. */
    char *turned[] = {choices[2], choices[0], choices[1]};
    double turned_logp[] = {-4.5, -6, -5};
    struct choice_score t = {.n = 3, .logp = turned_logp};
    struct question r = {.n = 3, .choice = turned, .gold = 0};
    choice_judge(&t, &r);
    ok(t.acc == 1 && t.best == 0, "the order of choices does not matter");
}

static void test_bad_rows(void)
{
    static const char good[] =
        "{\"question\":\"q\",\"choices\":[\"a\",\"b\",\"c\",\"d\"],\"answer\":0}";
    static const struct {
        const char *row, *says;
    } bad[] = {
        {"{\"choices\":[\"a\",\"b\"],\"answer\":0}", "no field 'question'"},
        {"{\"question\":\"q\",\"choices\":[\"a\"],\"answer\":0}",
         "1 choices, a question needs at least two"},
        {"{\"question\":\"q\",\"choices\":[\"a\",\"b\"],\"answer\":2}", "none of the 2 choices"},
        {"{\"question\":\"q\",\"choices\":[\"a\",\"b\"],\"answer\":-1}", "none of the 2 choices"},
        {"{\"question\":\"q\",\"choices\":[\"a\",3],\"answer\":0}", "is no text"},
        {"{\"question\":\"q\",\"choices\":[\"a\",\"b\"]}", "no field 'answer'"},
        {"{\"question\":\"q\",\"choices\":[\"a\",\"b\\u0000\"],\"answer\":0}", "U+0000"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[512];
        struct err e;
        struct rows rows;
        struct questions q;
        struct suite_recipe r = {0};
        snprintf(text, sizeof text, "%s\n%s\n", good, bad[i].row);
        if (!ok(!rows_read(&rows, "x.jsonl", text, strlen(text), &e), "rows"))
            continue;
        int rc = build(&q, "wmdp_bio", NULL, &rows, NULL, 0, &r, &e);
        ok(!rc && q.n == 1 && q.bad == 1 && strstr(q.first.msg, bad[i].says) &&
               strstr(q.first.msg, "line 2"),
           "left out and counted: %s", rc ? e.msg : q.first.msg);
        if (!rc)
            questions_fini(&q);
        rows_close(&rows);
        suite_recipe_close(&r);
    }
}

static void test_refusals(void)
{
    static const struct {
        const char *task, *row, *says;
        int shots;
    } bad[] = {
        {"wmdp_bio", "{\"question\":\"q\",\"choices\":[\"a\"],\"answer\":0}",
         "no row is a question", 0},
        {"wmdp_bio", "{\"question\":\"q\"}", "needs the field 'choices'", 0},
        {"truthfulqa_mc1", "{\"question\":\"q\"}", "'mc1_targets.choices' nor 'mc1_targets'", 0},
        {"truthfulqa_mc2", "{\"question\":\"q\",\"mc2_targets\":{\"a\":1,\"b\":0,\"c\":1}}",
         "must list correct answers, then wrong ones", 0},
        {"truthfulqa_mc1", "{\"question\":\"q\",\"mc1_targets\":{\"a\":1,\"b\":1}}",
         "must list correct answers, then wrong ones", 0},
        {"wmdp_bio", "{\"question\":\"q\",\"choices\":[\"a\",\"b\"],\"answer\":0}",
         "2 worked examples", 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = {0};
        struct rows rows;
        struct questions q;
        struct suite_recipe r = {0};
        if (rows_read(&rows, "x.jsonl", bad[i].row, strlen(bad[i].row), &e))
            continue;
        int rc = build(&q, bad[i].task, NULL, &rows, NULL, bad[i].shots, &r, &e);
        ok(rc && strstr(e.msg, bad[i].says), "refused: %s", e.msg);
        rows_close(&rows);
        suite_recipe_close(&r);
    }
}

/* The sequences that a model is shown: all labels are as likely. */
struct shown {
    const struct ids *whole; /* [choices] */
    int positions;
    bool same;
};

static int look(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                struct err *e)
{
    struct shown *s = ctx;
    (void)distribution;
    *out = (struct scores){.v = mem_alloc((size_t)d->n, sizeof *out->v, e), .n = d->n};
    for (int i = 0; i < d->n; i++) {
        const struct seq *q = &d->seqs[i];
        int all = (int)s->whole[i].n, most = s->positions + 1, n = all < most ? all : most;
        int labels = 0;
        s->same = s->same && q->n == n &&
                  !memcmp(q->ids, s->whole[i].v + all - n, (size_t)n * sizeof(int));
        for (int t = 0; t < q->n; t++)
            labels += q->labels[t] != LABEL_NONE;
        s->same = s->same && labels && q->labels[n - 1] == q->ids[n - 1];
        out->v[i].nll = labels;
    }
    return 0;
}

/* A question that is longer than the model takes loses its beginning, and no token more: as in
 * lm-evaluation-harness the last token takes no position. */
static void test_long_context(void)
{
    static char *const contexts[] = {"one two three four five six seven", "eight"};
    struct err e = {.msg = "it does"};
    char *path = test_data("tok"), *choices[] = {"nine", "ten eleven"};
    struct tokenizer *tok = tokenizer_open(path, &e);
    for (int k = 0; tok && k < 2; k++) {
        struct ids whole[2] = {0};
        for (int i = 0; i < 2; i++) {
            char text[128];
            snprintf(text, sizeof text, "%s %s", contexts[k], choices[i]);
            BUG_ON(tokenizer_encode(tok, text, strlen(text), true, &whole[i], &e));
        }
        char *both[] = {contexts[k], contexts[k]};
        struct question one = {.n = 2, .context = both, .choice = choices};
        struct questions q = {.v = &one, .n = 1};
        for (int positions = (int)whole[1].n - 3; positions <= (int)whole[1].n; positions++) {
            struct choice_score score;
            struct shown s = {.whole = whole, .positions = positions, .same = true};
            const struct backend model = {.ctx = &s, .score = look};
            int rc = choice_score(&score, &q, tok, &model, positions, &e);
            ok(!rc && s.same, "'%s' in %d positions: its last tokens", contexts[k], positions);
            choice_scores_free(&score, 1);
        }
        free(whole[0].v);
        free(whole[1].v);
    }
    ok(tok != NULL, "a tokenizer: %s", e.msg);
    tokenizer_close(tok);
    free(path);
}

int main(void)
{
    test_long_context();
    test_prompts();
    test_layouts();
    test_judge();
    test_bad_rows();
    test_refusals();
    return done();
}
