/* unlearn rescore EVAL.json: recompute the aggregates of an evaluation log from its rows. */
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/results.h"
#include "methods/method.h"
#include "suites/recipe.h"
#include "suites/peer_json.h"

struct options {
    const char *suite, *retain_logs, *truth_ratio, *compat, *out;
    bool json, overwrite;
};

static const struct param params[] = {
    STRING_PARAM(struct options, suite, "tofu", "NAME|FILE", "suite of the log, as in eval"),
    STRING_PARAM(struct options, retain_logs, NULL, "FILE",
                 "the retrained model's log, for forget quality and privacy leak"),
    CHOICE_PARAM(struct options, truth_ratio, "geometric|arithmetic", "geometric",
                 "mean over the wrong answers"),
    STRING_PARAM(struct options, compat, "none", "NAMES",
                 "as in eval: ou gives the figures of OpenUnlearning; see 'unlearn help compat'"),
    STRING_PARAM(
        struct options, out, NULL, "DIR",
        "write TOFU_EVAL.json, TOFU_SUMMARY.json and TOFU_TABLE.json (TOFU: by suite) there"),
    BOOL_PARAM(struct options, overwrite, false,
               "replace the logs in --out; without it existing logs are refused"),
    BOOL_PARAM(struct options, json, false, "print the summary as JSON"),
    {0}};

static const char about[] = "Recomputes every aggregate of an evaluation log from the log's rows, "
                            "with intervals, and prints the\n"
                            "log's own next to it. LOG is a TOFU_EVAL.json that this program or "
                            "OpenUnlearning wrote, or the\n"
                            "eval_log_aggregated.json of TOFU's own program; with --suite mmlu, an "
                            "LMEval_EVAL.json. ROUGE is\n"
                            "computed from the texts. No model is needed.\n";

/* tofu: whether TOFU's own program wrote it, which holds no aggregates. */
static json_t *read_log(const char *path, bool *tofu, struct err *e)
{
    json_t *log = json_read_log(path, e), *own = log;
    if (log && !json_is_object(log)) {
        err_set(e, "'%s' is no evaluation log: it must be a json object", path);
        json_decref(log);
        return NULL;
    }
    *tofu = log && tofu_log_is(log);
    if (*tofu) {
        own = tofu_log_read(log, e);
        json_decref(log);
    }
    return own;
}

/* The retrained model's log, whose truth ratios are computed as `like` computes its own. */
static json_t *read_retained(const char *path, const struct suite *like, struct err *e)
{
    bool tofu;
    json_t *log = read_log(path, &tofu, e), *out = NULL;
    if (log && !tofu && like->truth_mean == TRUTH_GEOMETRIC && !suite_align(like, log, e))
        return log;
    struct suite s = {
        .recipe = like->recipe, .truth_mean = like->truth_mean, .compat = like->compat};
    if (log && (tofu || like->truth_mean != TRUTH_GEOMETRIC) && !suite_rescore(&s, log, e))
        out = json_incref(s.log.eval);
    else if (log)
        err_prefix(e, "'%s': ", path);
    suite_fini(&s);
    json_decref(log);
    return out;
}

static int rescore_metrics(const char *path, const struct suite_recipe *recipe,
                           const struct options *o, struct err *e)
{
    struct suite s = {.recipe = recipe};
    s.truth_mean = strcmp(o->truth_ratio, "arithmetic") ? TRUTH_GEOMETRIC : TRUTH_ARITHMETIC;
    bool tofu;
    if (method_compat(o->compat, &s.compat, e))
        return -1;
    json_t *log = read_log(path, &tofu, e), *retained = NULL;
    int rc = log ? 0 : -1;
    if (!rc && o->retain_logs) {
        retained = read_retained(o->retain_logs, &s, e);
        rc = retained ? 0 : -1;
    }
    s.retain_log = retained;
    if (!rc && (rc = suite_rescore(&s, log, e)))
        err_prefix(e, "'%s': ", path);
    if (!rc)
        rc = (o->out && results_write(&s.log, s.table, o->out, recipe->log, e)) ||
             results_print(&s, log, o->json, NULL, e);
    suite_fini(&s);
    json_decref(retained);
    json_decref(log);
    return rc ? -1 : 0;
}

/* Of multiple choice. */
static int rescore_tasks(const char *path, const struct suite_recipe *recipe,
                         const struct options *o, struct err *e)
{
    struct multiple m = {.table = NULL};
    bool tofu;
    if (o->retain_logs)
        return err_set(e, "--retain-logs is not for suites of tasks, as %s", o->suite);
    json_t *log = read_log(path, &tofu, e);
    int rc = log ? multiple_rescore(&m, recipe, log, e) : -1;
    if (rc && log)
        err_prefix(e, "'%s': ", path);
    if (!rc)
        rc = (o->out && results_write(&m.log, m.table, o->out, recipe->log, e)) ||
             results_print_tasks(&m, o->json, e);
    multiple_fini(&m);
    json_decref(log);
    return rc ? -1 : 0;
}

static int claim_out(const char *path, const char *log, const struct options *o, struct err *e)
{
    struct inputs in = {0};
    const struct results_claim claim = {.out = o->out, .suite = log, .overwrite = o->overwrite};
    bool finished;
    int rc = inputs_add_file(&in, path, e) || inputs_add_file(&in, o->retain_logs, e) ||
                     (o->out && results_claim(&in, &claim, &finished, e))
                 ? -1
                 : 0;
    inputs_fini(&in);
    return rc;
}

static int rescore(const char *path, const struct options *o, struct err *e)
{
    struct suite_recipe recipe;
    if (suite_recipe_open(&recipe, o->suite, e))
        return -1;
    int rc = claim_out(path, recipe.log, o, e) ? -1
             : recipe.n_tasks                  ? rescore_tasks(path, &recipe, o, e)
                                               : rescore_metrics(path, &recipe, o, e);
    suite_recipe_close(&recipe);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    return rescore(a->words[0], options, e);
}

int cmd_rescore(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "rescore",
                     .usage = "LOG [options]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_least = 1,
                     .words_most = 1};
    return args_run(&a, argc, argv, run, &o);
}
