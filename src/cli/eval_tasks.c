/* unlearn eval, for suites of multiple-choice tasks (suites/multiple.h). */
#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/eval.h"
#include "cli/results.h"
#include "report/cost.h"

#define OPT(f) offsetof(struct multiple_args, f)
static const struct param questions[] = {
    {"data", PARAM_STRING, OPT(o.data), 0, 0, NULL, NULL, "PATH", NULL}, /* help: the recipe's */
    {"subjects", PARAM_STRING, OPT(o.subjects), 0, 0, NULL, NULL, "A,B",
     "tasks of these subjects only"},
    {"limit", PARAM_INT, OPT(o.limit), 0, INT32_MAX, NULL, "0", NULL,
     "questions of each task; 0: all"},
    {"shots", PARAM_INT, OPT(o.shots), 0, 64, NULL, "0", NULL,
     "worked examples before each question: the data set's own, or drawn from the other folds"},
    {"folds", PARAM_INT, OPT(o.folds), 0, 1000, NULL, "0", NULL,
     "number of folds that the questions are split into, each evaluated separately; 0: none"},
    {"seed", PARAM_INT, OPT(o.seed), 0, UINT32_MAX, NULL, "0", NULL,
     "seed of the folds and of the examples drawn"},
    {"columns", PARAM_STRING, OPT(o.columns), 0, 0, NULL, NULL, "A,B",
     "names of the fields of a CSV file that has no header line"},
    {0},
};

/* Of suites in which all rows have the same labels. */
static const struct param labels[] = {
    {"text_key", PARAM_STRING, OPT(o.text_key), 0, 0, NULL, "text", "KEY", "field of the text"},
    STRING_PARAM(struct multiple_args, label_key, NULL, "KEY",
                 "field of the label; without it the recipe's"),
    STRING_PARAM(
        struct multiple_args, label_words, NULL, "L=W,L=W",
        "labels in the data and the words that are scored for them; without it the recipe's"),
    {0},
};

/* The help has the recipe's description of the data, and its defaults. */
int eval_tasks_take(struct args *a, struct eval *v)
{
    const struct suite_recipe *r = &v->recipe;
    struct multiple_args *m = &v->multiple;
    const json_t *options = json_object_get(r->json, "options");
    memcpy(m->params, questions, sizeof questions);
    m->params[0].help = r->data;
    for (struct param *p = m->params; p->name; p++) {
        const char *preset = json_string_value(json_object_get(options, p->name));
        p->value = preset ? preset : p->value;
    }
    int status = args_take(a, "questions of the suite", m->params, m);
    if (status == ARGS_GO && r->tasks[0].layouts[0].classes)
        status = args_take(a, "labels", labels, m);
    return status;
}

/* "1=bad,2=good" as lists of labels and of choices, in the keys of a task. */
static int read_label_words(json_t *keys, const char *text, struct err *e)
{
    json_t *of = json_array(), *words = json_array();
    if (json_object_set_new(keys, "labels", of) || json_object_set_new(keys, "choices", words))
        return err_no_memory(e, "labels");
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ","), label = strcspn(at, "=");
        if (!label || label + 1 >= n)
            return err_set(e, "--label-words is '%s': write it like 1=bad,2=good", text);
        if (json_array_append_new(of, json_stringn(at, label)) ||
            json_array_append_new(words, json_stringn(at + label + 1, n - label - 1)))
            return err_set(e, "--label-words '%s' is not valid UTF-8", text);
        at += n + (at[n] == ',');
    }
    return 0;
}

/* Options that take the place of keys of the recipe. */
static int override(struct suite_recipe *r, const struct multiple_args *m, struct err *e)
{
    json_t *keys = json_object();
    int rc = keys ? 0 : err_no_memory(e, "labels");
    if (!rc && m->label_words)
        rc = read_label_words(keys, m->label_words, e);
    if (!rc && m->label_key && json_object_set_new(keys, "answer", json_string(m->label_key)))
        rc = err_set(e, "--label-key '%s' is not valid UTF-8", m->label_key);
    if (!rc && json_object_size(keys))
        rc = suite_tasks_override(r, keys, e);
    json_decref(keys);
    return rc;
}

/* What it took, and of what the results are. */
static int write_cost(const struct model_backend *b, const struct eval *v, double seconds,
                      struct err *e)
{
    char *made_by = setup_made_by(&v->setup, e);
    json_t *cost = made_by ? cost_collect(made_by, NULL, seconds, &b->effort, e) : NULL;
    free(made_by);
    int rc = !cost || eval_tell(v, cost, b->first_row, e) ||
             peer_write(cost, v->kept.out, v->recipe.log, "COST", 0, e);
    json_decref(cost);
    return rc;
}

static int run(struct multiple *m, struct setup *s, struct eval *v, struct err *e)
{
    struct model_backend backend;
    const char *out = v->kept.out;
    const double start = log_seconds();
    if (model_backend_init(&backend, &s->model, s->tokenizer, s->compat, e))
        return -1;
    backend.shows = true;
    const struct multiple_model model = {s->tokenizer, &backend.backend, s->model.cfg.positions};
    int rc = evaluation_kept_open(&v->kept, &backend, e) ||
             multiple_run(m, &v->recipe, &v->multiple.o, &model, e) ||
             (out && results_write(&m->log, m->table, out, v->recipe.log, e)) ||
             (out && write_cost(&backend, v, log_seconds() - start, e));
    model_backend_fini(&backend);
    return rc;
}

static int check(const struct eval *v, struct err *e)
{
    const struct {
        const char *flag, *value;
    } others[] = {{"retrained", v->o.retrained},
                  {"retain-logs", v->o.retain_logs},
                  {"reference", v->o.reference}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].value)
            return err_set(e, "--%s is not for suites of tasks, as %s", others[i].flag, v->o.suite);
    return v->multiple.o.data ? 0
                              : err_set(e, "no data given: %s needs --data PATH: %s",
                                        v->recipe.name, v->recipe.data);
}

int eval_tasks(struct eval *v, struct err *e)
{
    struct setup s = {0};
    struct multiple m = {0};
    int rc = check(v, e) || override(&v->recipe, &v->multiple, e) ||
             setup_open_ensemble(&s, &v->setup, e) || setup_tokenizer(&s, e) || run(&m, &s, v, e) ||
             results_print_tasks(&m, v->to.json, e);
    if (*m.first_bad.msg)
        log_warn("some rows are no questions and were left out; the first: %s", m.first_bad.msg);
    multiple_fini(&m);
    setup_close(&s);
    return rc;
}
