/* unlearn eval: evaluate a model with a suite. */
#include <stdio.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/eval.h"
#include "cli/recording.h"
#include "cli/results.h"
#include "suites/metrics.h"

static const struct param output_params[] = {
    BOOL_PARAM(struct eval_output, list, false, "print all suites and kinds of metrics"),
    BOOL_PARAM(struct eval_output, markdown, false,
               "with --list: the kinds of metrics as a table, with what each was verified against"),
    STRING_PARAM(struct eval_output, out, NULL, "DIR",
                 "write TOFU_EVAL.json, _SUMMARY.json, _TABLE.json, _COST.json and _TOKENS.json "
                 "(TOFU: by suite) there"),
    BOOL_PARAM(struct eval_output, resume, false,
               "resume the interrupted evaluation in --out; a finished one must be of the same "
               "model, data and options, and stays as it is"),
    BOOL_PARAM(struct eval_output, overwrite, false,
               "replace the suite's results in --out; without it or --resume they are refused"),
    BOOL_PARAM(struct eval_output, json, false, "print the summary as JSON"),
    {0},
};

static const char about[] = "Runs a suite of metrics on a model. The default, tofu, takes data in "
                            "TOFU's format (arXiv 2401.06121):\n"
                            "probability of the answers, ROUGE-L recall of generated answers, "
                            "truth ratio, memorisation; membership\n"
                            "inference attacks if a holdout set is given; forget quality and "
                            "privacy leak against the retrained\n"
                            "model's log, and model utility. Each suite has its own options for "
                            "its data (--suite NAME --help);\n"
                            "metrics of sets that are not given are left out. The logs are in "
                            "OpenUnlearning's format; means and\n"
                            "AUCs have a 95 % bootstrap interval.\n"
                            "\n"
                            "With --out the model's outputs are cached there: an evaluation that "
                            "was interrupted, by Ctrl-C or a\n"
                            "full disk, resumes when the command is repeated with --resume, and "
                            "gives the same bytes as an\n"
                            "uninterrupted one.\n"
                            "\n"
                            "--retrained MODEL runs the suite on that model as well; its log is "
                            "used as that of --retain-logs, and\n"
                            "goes to OUT/retrained. A second table has a line for each data set, "
                            "computed on the answers in its first\n"
                            "field: KL, the mean over all tokens of KL(p || q) in nats, where p is "
                            "the retrained model; top-1\n"
                            "agreement, the share of tokens with the same first choice; KS p, of "
                            "the rows' mean log-probabilities;\n"
                            "AUC, the probability that a row's loss in the retrained model is "
                            "above a row's in the model (0.5: the\n"
                            "losses do not distinguish them); AUC gap, where there is a holdout "
                            "set: mia_loss of the model minus that\n"
                            "of the retrained one. With --retain-logs too, the log is used for the "
                            "metrics and the model for this\n"
                            "table.\n"
                            "\n"
                            "Suites of multiple choice (mmlu, wmdp, truthfulqa, arc, ...) and of "
                            "classification read their questions\n"
                            "from --data PATH. Those of lm-evaluation-harness are worded and "
                            "scored as in its version 0.4.8.\n";

static void list_suites(void)
{
    printf("suites:\n");
    for (const struct suite_text *t = suite_texts; t->name; t++) {
        struct suite_recipe r;
        struct err e = {.msg = ""};
        if (suite_recipe_open(&r, t->name, &e))
            continue;
        printf("  %-16s%s\n", t->name, r.about);
        if (r.n_tasks)
            printf("  %-16s--data %s\n", "", r.data);
        suite_recipe_close(&r);
    }
}

/* All suites and kinds of metrics; the latter alone as a Markdown table. */
static void print_list(bool markdown)
{
    if (markdown) {
        printf("| kind | what it is | forgotten when | verified against |\n|---|---|---|---|\n");
    } else {
        command_wrap_begin();
        list_suites();
        printf("\nkinds of metrics:\n");
    }
    const struct metric_kind *k;
    for (int i = 0; (k = metric_kind_at(i)); i++) {
        if (markdown)
            printf("| %s | %s | %s | %s |\n", k->name, k->help, k->forgotten, k->verified);
        else
            printf("  %-23s%s\n", k->name, k->help);
    }
    if (!markdown)
        command_wrap_end();
}

void eval_kept_close(struct evaluation_kept *k, int rc, struct err *e)
{
    struct err why = {0};
    if (rc)
        why = *e;
    if (rc && cache_file_any(&k->file))
        err_set(
            e, "%.200s; the model's outputs are kept in '%.200s': repeat the command with --resume",
            why.msg, k->file.path);
    else if (rc && *k->interrupt && !k->out)
        err_set(e, "%.200s; with --out DIR it could be resumed", why.msg);
    cache_file_close(&k->file, rc != 0);
}

static int add_file(void *in, const char *path, struct err *e)
{
    return inputs_add_file(in, path, e);
}

static int add_inputs(const struct eval *v, struct inputs *in, struct err *e)
{
    const struct evaluation_options *o = &v->o;
    const char *const models[] = {v->setup.model, v->setup.adapter, o->reference, o->retrained,
                                  v->robust.target};
    int rc = inputs_add_file(in, o->retain_logs, e) || inputs_add_file(in, o->before, e);
    if (!rc && o->before && !file_is_dir(o->before))
        rc = inputs_add_file(in, o->before, e);
    for (size_t i = 0; i < sizeof models / sizeof *models && !rc; i++)
        rc = setup_add_input(in, models[i], e);
    for (int i = 0; i < v->recipe.n_sets && !rc; i++)
        rc = inputs_add_rows(in, v->files[i], e);
    if (!rc && v->recipe.n_tasks && v->multiple.o.data)
        rc = multiple_each_file(&v->recipe, &v->multiple.o, add_file, in, e);
    return rc;
}

/* Those that change nothing in the results. */
static void drop_free(json_t *options)
{
    static const char *const free_ones[] = {"resume",   "overwrite", "out",     "json",  "list",
                                            "markdown", "batch",     "threads", "ledger"};
    for (size_t i = 0; i < sizeof free_ones / sizeof *free_ones; i++)
        json_object_del(options, free_ones[i]);
}

/* Before anything is computed: what may be written, and whether it is there already. */
static int claim_out(struct eval *v, bool *finished, struct err *e)
{
    const struct eval_output *o = &v->to;
    struct results_claim c = {
        .out = o->out, .suite = v->recipe.log, .overwrite = o->overwrite, .resume = o->resume};
    struct inputs in = {0};
    *finished = false;
    if (!o->out)
        return 0;
    drop_free(v->options);
    int rc = add_inputs(v, &in, e) || !(v->inputs = inputs_hash(&in, e)) ? -1 : 0;
    c.files = v->inputs;
    c.options = v->options;
    rc = rc || results_claim(&in, &c, finished, e);
    char *retrained = !rc && v->o.retrained ? file_join(o->out, "retrained", e) : NULL;
    if (!rc && v->o.retrained && !*finished) {
        bool ignored;
        c.out = retrained;
        c.overwrite |= c.resume;
        rc = !retrained || results_claim(&in, &c, &ignored, e);
    }
    free(retrained);
    inputs_fini(&in);
    return rc;
}

int eval_tell(const struct eval *v, json_t *cost, json_t *first_row, struct err *e)
{
    json_t *of = json_object_get(cost, "evaluation");
    return (first_row && json_object_set(of, "first_row", first_row)) ||
                   (v->inputs && json_object_set(of, "files", v->inputs)) ||
                   (v->inputs && json_object_set(of, "options", v->options))
               ? err_no_memory(e, "cost")
               : 0;
}

/* The tables that follow from the suite. */
static int take_tables(struct args *a, struct eval *v, struct param_preset *presets, int most)
{
    struct err e = {.msg = ""};
    if (suite_recipe_open(&v->recipe, v->o.suite, &e) ||
        evaluation_presets(&v->recipe, presets, most, &e))
        return args_usage(a, &e);
    a->presets = presets;
    evaluation_set_params(&v->recipe, v->set_params);
    int status = v->recipe.n_tasks ? eval_tasks_take(a, v)
                                   : args_take(a, "data of the suite", v->set_params, v->files);
    if (status == ARGS_GO && evaluation_is_robust(&v->recipe))
        status = args_take(a, "attacks", robust_params, &v->robust);
    else if (status == ARGS_GO && !v->recipe.n_tasks)
        status = args_take(a, "how much of it", evaluation_limit_params, &v->o);
    if (status == ARGS_GO)
        status = args_take(a, "model and text", setup_params, &v->setup);
    if (status == ARGS_GO)
        status = args_take(a, "conversations", chat_params, &v->setup.chat);
    if (status == ARGS_GO)
        status = args_take(a, "guards", guard_params, &v->setup.guard);
    if (status == ARGS_GO && !v->recipe.n_tasks)
        status = args_take(a, "thresholds of the verdict", verdict_params, &v->limits);
    return status == ARGS_GO ? args_finish(a) : status;
}

static bool has_set(const struct eval *v, enum role role, bool given)
{
    for (int i = 0; i < v->recipe.n_sets; i++)
        if (v->recipe.sets[i].role == role && !v->files[i] == !given)
            return true;
    return false;
}

/* What to compare with where forgetting is measured without a retrained model. */
static void advise(const struct eval *v)
{
    if (v->o.retrained || v->o.retain_logs || v->to.json || !has_set(v, ROLE_FORGET, true))
        return;
    log_note("no retrained model: this tells how the model answers, not that it is as if");
    log_note("it had never seen the forget set (doc/no_retrained_model.md); compare with");
    if (has_set(v, ROLE_HOLDOUT, false))
        log_note("  rows of the same kind, never seen  --holdout FILE");
    log_note("  paraphrases and what lies near     unlearn eval --suite scope");
    log_note("  the model before                   unlearn eval --model BEFORE, unlearn report");
}

static int evaluate(struct eval *v, struct err *e)
{
    static const char kept[] =
        "\ninterrupted: the current batch is finished and kept in --out, for --resume;\n"
        "a second Ctrl-C ends at once and loses that batch\n";
    static const char unkept[] =
        "\ninterrupted: the current batch is finished; without --out nothing is kept\n";
    if (v->to.resume && v->to.overwrite)
        return err_set(
            e, "--resume continues the evaluation in --out, --overwrite replaces it: give one");
    v->kept = (struct evaluation_kept){.out = v->to.out,
                                       .suite = v->recipe.log,
                                       .overwrite = v->to.overwrite,
                                       .interrupt = interrupt_catch(v->to.out ? kept : unkept)};
    bool finished;
    int rc = claim_out(v, &finished, e);
    if (finished && !rc)
        log_note("the evaluation in '%s' is finished: nothing is left to do", v->to.out);
    if (!finished)
        rc = rc || (v->recipe.n_tasks                  ? eval_tasks(v, e)
                    : evaluation_is_robust(&v->recipe) ? eval_robust(v, e)
                                                       : eval_suite(v, e));
    if (!rc && !finished)
        advise(v);
    eval_kept_close(&v->kept, rc, e);
    return rc;
}

int cmd_eval(int argc, char **argv)
{
    enum { PRESETS = 4 };
    struct eval v = {.kept = {.out = NULL}};
    struct param_preset presets[PRESETS + 1] = {0};
    struct recording_options kept;
    struct args a = {.command = "eval",
                     .usage = "--model M --forget FILE --retain FILE [options]",
                     .about = about,
                     .tables = {{"metrics", evaluation_params, &v.o},
                                {"output", output_params, &v.to},
                                {"ledger", recording_params, &kept}},
                     .open = true};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && v.to.list) {
        print_list(v.to.markdown);
        status = STATUS_DONE;
    }
    if (status == ARGS_GO)
        status = take_tables(&a, &v, presets, PRESETS);
    if (status == ARGS_GO) {
        struct err e = {.msg = ""};
        struct recording record;
        v.options = args_values(&a);
        int failed = recording_begin(&record, &a, &kept, &e);
        if (!failed) {
            failed = evaluate(&v, &e);
            recording_end(&record, failed ? &e : NULL);
        }
        status = failed ? args_fail(&a, &e) : STATUS_DONE;
    }
    suite_recipe_close(&v.recipe);
    json_decref(v.options);
    json_decref(v.inputs);
    args_fini(&a);
    return status;
}
