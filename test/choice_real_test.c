/* Second tier: SmolLM2's log-probabilities of published questions against those that
 * lm-evaluation-harness gets from it (test/data/choice/scores.json, by
 * tools/make_choice_golden.py). A part of the questions; UNLEARN_ALL=1 takes all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/choice.h"
#include "eval/backend.h"
#include "choices.h"
#include "tap.h"

/* The sets of scores.json: where their rows are, and how many are checked. */
static const struct set {
    const char *prefix, *task;
    const char *file, *dev; /* %s: what follows the prefix */
    int shots, part;
} sets[] = {
    {"mmlu_0shot/", "mmlu", "data/mmlu/test/%s_test.csv", NULL, 0, 10},
    {"mmlu_5shot/", "mmlu", "data/mmlu/test/%s_test.csv", "data/mmlu/dev/%s_dev.csv", 5, 5},
    {"wmdp/", "wmdp_%s", "data/wmdp/%s_questions.json.gz", NULL, 0, 10},
    {"truthfulqa/", "truthfulqa_%s", "data/truthfulqa/mc_task.json", NULL, 0, 4},
};

static const struct set *set_of(const char *name)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (!strncmp(name, sets[i].prefix, strlen(sets[i].prefix)))
            return &sets[i];
    return NULL;
}

/* The shared file whose name has `subject` in the place of %s. */
static char *shared(const char *form, const char *subject)
{
    char name[256];
    const char *place = strstr(form, "%s");
    snprintf(name, sizeof name, "%.*s%s%s", (int)(place ? place - form : (long)strlen(form)), form,
             place ? subject : "", place ? place + 2 : "");
    return test_shared(name);
}

struct agreement {
    int questions, choices, same;
    double worst;
};

static void compare(struct agreement *r, const struct choice_score *s, const json_t *want)
{
    int best = 0;
    for (int i = 0; i < s->n; i++) {
        double logp = json_number_value(json_array_get(want, (size_t)i));
        r->worst = fmax(r->worst, fabs(logp - s->logp[i]));
        r->choices++;
        if (logp > json_number_value(json_array_get(want, (size_t)best)))
            best = i;
    }
    r->questions++;
    r->same += json_array_size(want) == (size_t)s->n && best == s->best;
}

static int score_set(struct agreement *r, const struct set *set, const char *subject,
                     const struct rows *rows, const struct rows *dev, const json_t *want,
                     const struct model_backend *m, struct err *e)
{
    char task[32];
    struct questions q;
    struct suite_recipe recipe;
    snprintf(task, sizeof task, "%.*s%s", (int)strcspn(set->task, "%"), set->task,
             strchr(set->task, '%') ? subject : "");
    const struct choice_task *t = choices_find(&recipe, task);
    if (!t)
        return err_set(e, "no task '%s'", task);
    if (questions_build(&q, t, subject, rows, dev, set->shots, e)) {
        suite_recipe_close(&recipe);
        return -1;
    }
    struct choice_score *s = calloc((size_t)q.n, sizeof *s);
    int rc = choice_score(s, &q, m->tok, &m->backend, m->model->cfg.positions, e);
    for (int i = 0; i < q.n && !rc; i++)
        compare(r, &s[i], json_array_get(want, (size_t)q.v[i].row));
    choice_scores_free(s, q.n);
    free(s);
    questions_fini(&q);
    suite_recipe_close(&recipe);
    return rc;
}

static void test_set(const char *name, const json_t *want, const struct model_backend *m)
{
    const struct set *set = set_of(name);
    const char *subject = name + strlen(set->prefix);
    char *path = shared(set->file, subject),
         *dev_path = set->dev ? shared(set->dev, subject) : NULL;
    struct rows rows = {0}, dev = {0};
    struct agreement r = {0};
    struct err e;
    int n = (int)json_array_size(want);
    if (!getenv("UNLEARN_ALL") && n > set->part)
        n = set->part;
    if (!path) {
        skip("%s: its questions are not there", name);
    } else if (ok(!rows_open(&rows, path, &e) && (!dev_path || !rows_open(&dev, dev_path, &e)),
                  "%s: rows", name)) {
        struct rows first = rows;
        first.n = n;
        int rc = score_set(&r, set, subject, &first, &dev, want, m, &e);
        ok(!rc && r.questions == n && r.same * 100 >= n * 99, "%s: %d of %d choose the same%s%s",
           name, r.same, n, rc ? ": " : "", rc ? e.msg : "");
        ok(!rc && r.worst <= 1e-3, "%s: %d log-probabilities differ by at most %.1e", name,
           r.choices, r.worst);
    }
    rows_close(&dev);
    rows_close(&rows);
    free(dev_path);
    free(path);
}

int main(void)
{
    char *model = test_smollm2(), *scores = test_data("choice/scores.json");
    struct err e;
    log_set_quiet(true);
    if (!model || !scores) {
        skip("SmolLM2 is not there");
    } else {
        struct model m;
        struct model_backend backend;
        struct tokenizer *tok = tokenizer_open(model, &e);
        json_t *all = json_read_file(scores, &e), *want;
        const char *name;
        if (ok(tok && all && !model_open(&m, model, false, &e), "SmolLM2 and its scores")) {
            ok(!model_backend_init(&backend, &m, tok, 0, &e), "backend");
            json_object_foreach(all, name, want) test_set(name, want, &backend);
            model_backend_fini(&backend);
            model_close(&m);
        }
        tokenizer_close(tok);
        json_decref(all);
    }
    free(scores);
    free(model);
    return done();
}
