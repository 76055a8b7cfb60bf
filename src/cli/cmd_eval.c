/* unlearn eval: what a model still knows. */
#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/eval_kept.h"
#include "cli/eval_multiple.h"
#include "cli/eval_list.h"
#include "cli/eval_retrained.h"
#include "cli/results.h"
#include "run/setup.h"
#include "eval/backend.h"
#include "report/cost.h"
#include "suites/recipe.h"

enum { MOST_SETS = 64 };

struct options {
    const char *suite;
    const char *reference, *retrained, *retain_logs, *out, *question_key, *truth_ratio;
    int64_t max_new_tokens, batch;
    bool json, list, markdown, overwrite;
};

#define OPT(f) offsetof(struct options, f)
static const struct param params[] = {
    {"suite", PARAM_STRING, OPT(suite), 0, 0, NULL, "tofu", "NAME|FILE",
     "suite: a built-in name (see --list) or a JSON file (doc/suites.md)"},
    {"list", PARAM_BOOL, OPT(list), 0, 0, NULL, NULL, NULL,
     "print all suites and kinds of metrics"},
    {"markdown", PARAM_BOOL, OPT(markdown), 0, 0, NULL, NULL, NULL,
     "with --list: the kinds of metrics as a table, with what each was verified against"},
    {"reference", PARAM_STRING, OPT(reference), 0, 0, NULL, NULL, "PATH",
     "another model, for the attack that compares losses and the perplexity of answers"},
    {"retrained", PARAM_STRING, OPT(retrained), 0, 0, NULL, NULL, "PATH",
     "the retrained model: evaluated too, and compared on every data set"},
    {"retain_logs", PARAM_STRING, OPT(retain_logs), 0, 0, NULL, NULL, "FILE",
     "its log of the same suite, for forget quality and privacy leak; it is not evaluated then"},
    {"out", PARAM_STRING, OPT(out), 0, 0, NULL, NULL, "DIR",
     "writes TOFU_EVAL.json, _SUMMARY.json, _TABLE.json and _COST.json, or as the suite is called"},
    {"overwrite", PARAM_BOOL, OPT(overwrite), 0, 0, NULL, NULL, NULL,
     "replace the suite's logs in --out and start over instead of resuming; without it existing "
     "logs "
     "are refused"},
    {"question_key", PARAM_STRING, OPT(question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"truth_ratio", PARAM_CHOICE, OPT(truth_ratio), 0, 0, "geometric|arithmetic", "geometric", NULL,
     "mean over the wrong answers"},
    {"max_new_tokens", PARAM_INT, OPT(max_new_tokens), 1, 100000, NULL, "200", NULL,
     "of an answer"},
    {"batch", PARAM_INT, OPT(batch), 0, 4096, NULL, "0", NULL,
     "batch size in prompts; 0: automatic"},
    {"json", PARAM_BOOL, OPT(json), 0, 0, NULL, NULL, NULL, "print the summary as JSON"},
    {0},
};

static const char about[] =
    "Runs a suite of metrics on a model. The first, tofu, takes data in TOFU's format (arXiv "
    "2401.06121):\n"
    "probability of the answers, ROUGE-L recall of its own answers, truth ratio, memorisation; "
    "membership attacks\n"
    "if a holdout set is given; forget quality and privacy leak against the retrained model's log, "
    "and model utility.\n"
    "Each suite has options of its own for its data (--suite NAME --help); sets that are not given "
    "leave their\n"
    "metrics out. The logs are in OpenUnlearning's format; means and AUCs have a 95 % "
    "bootstrap interval.\n\n"
    "With --out the model's outputs are cached there: an evaluation that was stopped, by Ctrl-C or "
    "a full\n"
    "disk, resumes when the command is repeated, and gives the same bytes as one that never "
    "stopped.\n\n" EVAL_RETRAINED_HELP "\nSuites of multiple choice (mmlu, wmdp, truthfulqa, arc, "
    "...) and of classification take their "
    "questions from\n"
    "--data PATH. Those that lm-evaluation-harness has are worded and scored as its version 0.4.8 "
    "does.\n";

struct evaluation {
    struct setup s;
    struct model other; /* for attacks that compare two models */
    struct model_backend backend, reference;
    struct eval_retrained retrained;
    struct eval_kept kept;
    struct suite_recipe recipe;
    const char *files[MOST_SETS]; /* by set of the recipe; NULL: not given */
    struct param set_params[MOST_SETS + 1];
    struct rows rows[MOST_SETS];
    struct rows *sets[MOST_SETS];  /* NULL: not given */
    struct multiple_args multiple; /* of suites of tasks */
    json_t *retain_log;
    struct suite suite;
    double start; /* log_seconds() */
};

/* The recipe's sets as options. */
static void make_set_params(struct evaluation *v)
{
    for (int i = 0; i < v->recipe.n_sets; i++)
        v->set_params[i] = (struct param){.name = v->recipe.sets[i].name,
                                          .type = PARAM_STRING,
                                          .offset = (size_t)i * sizeof *v->files,
                                          .meta = "FILE",
                                          .help = v->recipe.sets[i].help};
}

static int open_data(struct evaluation *v, const struct options *o, struct err *e)
{
    char flag[PARAM_NAME_MOST + 1];
    int given = 0;
    for (int i = 0; i < v->recipe.n_sets; i++) {
        const struct suite_set *set = &v->recipe.sets[i];
        if (!v->files[i] && set->required)
            return err_set(e, "the suite '%s' needs --%s FILE", o->suite,
                           param_flag(set->name, flag));
        if (!v->files[i])
            continue;
        if (rows_open(&v->rows[i], v->files[i], e))
            return -1;
        v->sets[i] = &v->rows[i];
        given++;
    }
    if (!given)
        return err_set(e,
                       "no data given: use --%s FILE or another of the suite's sets, see "
                       "'unlearn eval --suite %s --help'",
                       param_flag(v->recipe.sets[0].name, flag), o->suite);
    if (suite_recipe_prompts(&v->recipe, v->sets, o->question_key, e))
        return -1;
    if (o->retain_logs && !(v->retain_log = json_read_log(o->retain_logs, e)))
        return -1;
    return 0;
}

static int open_models(struct evaluation *v, const struct setup_options *so,
                       const struct options *o, struct err *e)
{
    struct setup *s = &v->s;
    if (setup_open(s, so, false, e) || setup_text(s, e) ||
        model_backend_init(&v->backend, &s->model, s->tokenizer, s->compat, e) ||
        eval_kept_open(&v->kept, &v->backend, e))
        return -1;
    v->backend.batch = (int)o->batch;
    if (eval_retrained_open(&v->retrained, o->retrained, &v->backend, e) ||
        (o->retrained && eval_kept_add(&v->kept, &v->retrained.backend, e)))
        return -1;
    if (!o->reference)
        return 0;
    if (setup_open_model(&v->other, o->reference, NULL, false, e))
        return -1;
    if (v->other.cfg.vocab != s->model.cfg.vocab)
        return err_set(e,
                       "the reference model has %d tokens, the model %d: they must share one "
                       "tokenizer",
                       v->other.cfg.vocab, s->model.cfg.vocab);
    return model_backend_init(&v->reference, &v->other, s->tokenizer, s->compat, e) ||
                   eval_kept_add(&v->kept, &v->reference, e)
               ? -1
               : 0;
}

/* Every model that scores the sequences has positions for them. */
static int fewest_positions(const struct evaluation *v, int n)
{
    const struct model *others[] = {&v->other, &v->retrained.model};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i]->w && others[i]->cfg.positions < n)
            n = others[i]->cfg.positions;
    return n;
}

static int run_suite(struct evaluation *v, const struct options *o, struct err *e)
{
    v->s.encoder.positions = fewest_positions(v, v->s.model.cfg.positions);
    v->s.encoder.unscored = true; /* such rows are named under the table */
    v->suite = (struct suite){.recipe = &v->recipe,
                              .sets = (const struct rows *const *)v->sets,
                              .encoder = &v->s.encoder,
                              .model = &v->backend.backend,
                              .reference = o->reference ? &v->reference.backend : NULL,
                              .question = o->question_key,
                              .max_new_tokens = (int)o->max_new_tokens,
                              .truth_mean = strcmp(o->truth_ratio, "arithmetic") ? TRUTH_GEOMETRIC
                                                                                 : TRUTH_ARITHMETIC,
                              .compat = v->s.compat};
    if (v->retain_log && suite_align(&v->suite, v->retain_log, e))
        return -1;
    if (eval_retrained_run(&v->retrained, &v->suite, o->out, &v->retain_log, e))
        return -1;
    v->suite.retain_log = v->retain_log;
    return suite_run(&v->suite, e) ||
                   eval_retrained_beside(&v->retrained, &v->suite, &v->backend, e)
               ? -1
               : 0;
}

static int show(struct evaluation *v, const struct options *o, struct err *e)
{
    const struct model_effort *of[] = {&v->backend.effort, &v->reference.effort,
                                       &v->retrained.backend.effort, &v->retrained.effort};
    struct model_effort all = {0};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        all.sequences += of[i]->sequences;
        all.tokens += of[i]->tokens;
        all.answers += of[i]->answers;
        all.new_tokens += of[i]->new_tokens;
    }
    json_t *cost =
        cost_collect(v->s.model.path, v->retrained.model.path, log_seconds() - v->start, &all, e);
    int rc = cost ? results_show(&v->suite, cost, o->out, o->json, e) : -1;
    json_decref(cost);
    return rc;
}

static int run_recipe(struct evaluation *v, const struct setup_options *so, const struct options *o,
                      struct err *e)
{
    v->start = log_seconds();
    int rc = open_data(v, o, e) || open_models(v, so, o, e) || run_suite(v, o, e) || show(v, o, e)
                 ? -1
                 : 0;
    suite_fini(&v->suite);
    eval_retrained_close(&v->retrained);
    model_backend_fini(&v->reference);
    model_backend_fini(&v->backend);
    model_close(&v->other);
    json_decref(v->retain_log);
    for (int i = 0; i < v->recipe.n_sets; i++)
        rows_close(&v->rows[i]);
    setup_close(&v->s);
    return rc;
}

static int run_tasks(struct evaluation *v, const struct setup_options *so, const struct options *o,
                     struct err *e)
{
    const char *other = o->retrained     ? "retrained"
                        : o->retain_logs ? "retain-logs"
                        : o->reference   ? "reference"
                                         : NULL;
    return other ? err_set(e, "--%s is not for suites of tasks, as %s", other, o->suite)
                 : eval_multiple(so, &v->recipe, &v->multiple, &v->kept, o->json, e);
}

/* Before anything is computed: what may be written. */
static int claim_out(const struct evaluation *v, const struct setup_options *so,
                     const struct options *o, struct err *e)
{
    struct inputs in = {0};
    if (!o->out)
        return 0;
    int rc = setup_add_input(&in, so->model, e) || setup_add_input(&in, so->adapter, e) ||
             setup_add_input(&in, o->reference, e) || setup_add_input(&in, o->retrained, e) ||
             inputs_add_file(&in, o->retain_logs, e);
    for (int i = 0; i < v->recipe.n_sets && !rc; i++)
        rc = inputs_add_rows(&in, v->files[i], e);
    if (!rc)
        rc = results_claim(&in, o->out, v->recipe.log, o->overwrite, e);
    inputs_fini(&in);
    return rc ? -1 : 0;
}

/* What the suite presets of other options. */
static int read_presets(const struct suite_recipe *r, struct param_preset *presets, int most,
                        struct err *e)
{
    const char *name;
    json_t *value;
    int n = 0;
    json_object_foreach(json_object_get(r->json, "options"), name, value)
    {
        if (!json_is_string(value) || n == most)
            return err_set(e, "'options' of the suite must be up to %d texts", most);
        presets[n++] = (struct param_preset){name, json_string_value(value)};
    }
    return 0;
}

/* The tables that follow from the suite. */
static int take_tables(struct args *a, struct evaluation *v, const struct options *o,
                       struct setup_options *so, struct param_preset *presets, int most)
{
    struct err e = {.msg = ""};
    if (suite_recipe_open(&v->recipe, o->suite, &e) || read_presets(&v->recipe, presets, most, &e))
        return args_usage(a, &e);
    a->presets = presets;
    make_set_params(v);
    int status = v->recipe.n_tasks ? eval_multiple_take(a, &v->recipe, &v->multiple)
                                   : args_take(a, "data of the suite", v->set_params, v->files);
    if (status == ARGS_GO)
        status = args_take(a, "model and text", setup_params, so);
    if (status == ARGS_GO)
        status = args_take(a, "conversations", chat_params, &so->chat);
    return status == ARGS_GO ? args_finish(a) : status;
}

int cmd_eval(int argc, char **argv)
{
    enum { PRESETS = 4 };
    struct options o;
    struct setup_options so;
    struct evaluation v = {0};
    struct param_preset presets[PRESETS + 1] = {0};
    struct args a = {.command = "eval",
                     .usage = "--model M --forget FILE --retain FILE [options]",
                     .about = about,
                     .tables = {{"metrics", params, &o}},
                     .open = true};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && o.list) {
        eval_list(o.markdown);
        status = STATUS_DONE;
    }
    if (status == ARGS_GO)
        status = take_tables(&a, &v, &o, &so, presets, PRESETS);
    if (status == ARGS_GO) {
        struct err e = {.msg = ""};
        v.kept = (struct eval_kept){.out = o.out,
                                    .suite = v.recipe.log,
                                    .overwrite = o.overwrite,
                                    .interrupt = interrupt_catch()};
        int rc = claim_out(&v, &so, &o, &e) ? -1
                 : v.recipe.n_tasks         ? run_tasks(&v, &so, &o, &e)
                                            : run_recipe(&v, &so, &o, &e);
        eval_kept_close(&v.kept, rc, &e);
        status = rc ? args_fail(&a, &e) : STATUS_DONE;
    }
    suite_recipe_close(&v.recipe);
    args_fini(&a);
    return status;
}
