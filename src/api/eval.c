/* Evaluations of the library (unlearn.h): suites/evaluation.h with options by name. */
#include "api/api.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "suites/evaluation.h"

struct unlearn_eval {
    struct api_options options;
};

/* One evaluation as the options have it. */
struct asked {
    struct evaluation_options o;
    struct setup_options setup;
    struct suite_recipe recipe;
    struct param set_params[EVAL_SETS + 1];
    const char *files[EVAL_SETS];
};

int unlearn_eval_new(struct unlearn_eval **out, struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct unlearn_eval *v = mem_alloc(1, sizeof *v, &own);
    *out = NULL;
    if (!v || api_options_init(&v->options, &own)) {
        unlearn_eval_free(v);
        return api_fail(e, &own);
    }
    *out = v;
    return 0;
}

void unlearn_eval_free(struct unlearn_eval *v)
{
    if (v)
        api_options_fini(&v->options);
    free(v);
}

int unlearn_eval_set(struct unlearn_eval *v, const char *name, const char *value,
                     struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    return api_options_set(&v->options, name, value, &own) ? api_fail(e, &own) : 0;
}

int unlearn_eval_rows(struct unlearn_eval *v, const char *name, const char *text, size_t n,
                      struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    return api_options_rows(&v->options, name, text, n, &own) ? api_fail(e, &own) : 0;
}

/* Rows of tasks and of attacks come from elsewhere. */
static int check_suite(const struct asked *q, struct err *e)
{
    const bool attacks = evaluation_is_robust(&q->recipe);
    return q->recipe.n_tasks || attacks
               ? err_about(e, "suite", "the suite '%s' is for the command line: it has %s",
                           q->o.suite, attacks ? "attacks" : "tasks of its own")
               : 0;
}

static int configure(struct api_options *options, struct asked *q, struct err *e)
{
    enum { PRESETS = 4 };
    struct param_preset presets[PRESETS + 1] = {0};
    const struct param_table tables[] = {
        {"metrics", evaluation_params, &q->o},          {"data", q->set_params, q->files},
        {"limit", evaluation_limit_params, &q->o},      {"model and text", setup_params, &q->setup},
        {"conversations", chat_params, &q->setup.chat}, {"guards", guard_params, &q->setup.guard}};
    enum { TABLES = sizeof tables / sizeof *tables };
    if (api_options_take(options, &tables[0], NULL, e) ||
        suite_recipe_open(&q->recipe, q->o.suite, e) || check_suite(q, e) ||
        evaluation_presets(&q->recipe, presets, PRESETS, e))
        return -1;
    evaluation_set_params(&q->recipe, q->set_params);
    for (int k = 1; k < TABLES; k++)
        if (api_options_take(options, &tables[k], presets, e))
            return -1;
    return api_options_check(options, tables, TABLES, e);
}

/* Owned by the caller. */
static int write_results(const struct suite *s, char **json, struct err *e)
{
    struct buf text = {0};
    json_t *all = json_pack("{s:O, s:O, s:O}", "summary", s->log.summary, "table", s->table, "eval",
                            s->log.eval);
    const int rc = all ? json_write_buf(all, &text, 0, e) : err_no_memory(e, "results");
    json_decref(all);
    if (rc)
        buf_fini(&text);
    *json = text.data;
    return rc;
}

int unlearn_eval_start(struct unlearn_eval *v, const struct unlearn_hooks *h, char **json,
                       struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    struct asked q = {.o = {.suite = NULL}};
    *json = NULL;
    api_begin(&call, h);
    json_object_clear(v->options.used);
    struct evaluation_kept kept = {.interrupt = call.hooks.interrupt};
    struct evaluation run = {
        .o = &q.o, .setup = &q.setup, .recipe = &q.recipe, .files = q.files, .kept = &kept};
    const int rc = api_options_write(&v->options, NULL, &own) || configure(&v->options, &q, &own) ||
                   evaluation_run(&run, &own) || write_results(&run.suite, json, &own);
    evaluation_fini(&run);
    cache_file_close(&kept.file, true);
    suite_recipe_close(&q.recipe);
    api_options_unlink(&v->options);
    return api_end(&call, rc, e, &own);
}
