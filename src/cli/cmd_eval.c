/* unlearn eval: what a model still knows. */
#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/eval_multiple.h"
#include "cli/setup.h"
#include "cli/suite_print.h"
#include "eval/model_scorer.h"
#include "suites/tofu.h"

struct options {
    const char *suite, *sets[TOFU_SETS];
    const char *reference, *retain_logs, *out, *question_key, *truth_ratio;
    const char *data, *subjects;
    int64_t max_new_tokens, batch, shots, limit;
    bool json;
};

#define OPT(f) offsetof(struct options, f)
#define SUITES "tofu|mmlu|wmdp|truthfulqa|arc|hellaswag|piqa|winogrande|openbookqa|boolq"
static const struct param params[] = {
    {"suite", PARAM_CHOICE, OPT(suite), 0, 0, SUITES, "tofu", NULL, "list of metrics"},
    {"forget", PARAM_STRING, OPT(sets[TOFU_FORGET]), 0, 0, NULL, NULL, "FILE",
     "rows question, answer, paraphrased_answer, perturbed_answer[]"},
    {"retain", PARAM_STRING, OPT(sets[TOFU_RETAIN]), 0, 0, NULL, NULL, "FILE",
     "the same of what is kept"},
    {"real_authors", PARAM_STRING, OPT(sets[TOFU_AUTHORS]), 0, 0, NULL, NULL, "FILE",
     "rows question, answer, perturbed_answer[]"},
    {"world_facts", PARAM_STRING, OPT(sets[TOFU_FACTS]), 0, 0, NULL, NULL, "FILE", "the same"},
    {"holdout", PARAM_STRING, OPT(sets[TOFU_HOLDOUT]), 0, 0, NULL, NULL, "FILE",
     "rows question, answer, like the forget set but never trained on: for membership attacks"},
    {"reference", PARAM_STRING, OPT(reference), 0, 0, NULL, NULL, "PATH",
     "another model, for the attack that compares losses"},
    {"retain_logs", PARAM_STRING, OPT(retain_logs), 0, 0, NULL, NULL, "FILE",
     "the retrained model's TOFU_EVAL.json, for forget quality and privacy leak"},
    {"out", PARAM_STRING, OPT(out), 0, 0, NULL, NULL, "DIR",
     "writes TOFU_EVAL.json, TOFU_SUMMARY.json and TOFU_TABLE.json"},
    {"question_key", PARAM_STRING, OPT(question_key), 0, 0, NULL, TOFU_QUESTION, "KEY",
     "field of the prompt"},
    {"truth_ratio", PARAM_CHOICE, OPT(truth_ratio), 0, 0, "geometric|arithmetic", "geometric", NULL,
     "mean over the wrong answers"},
    {"max_new_tokens", PARAM_INT, OPT(max_new_tokens), 1, 100000, NULL, "200", NULL,
     "of an answer"},
    {"batch", PARAM_INT, OPT(batch), 0, 4096, NULL, "0", NULL,
     "prompts answered at once; 0: by itself"},
    {"data", PARAM_STRING, OPT(data), 0, 0, NULL, NULL, "PATH",
     "of multiple-choice suites: the data set, see below"},
    {"shots", PARAM_INT, OPT(shots), 0, 64, NULL, "0", NULL,
     "worked examples before each question of mmlu"},
    {"subjects", PARAM_STRING, OPT(subjects), 0, 0, NULL, NULL, "A,B",
     "subjects of mmlu, wmdp or truthfulqa; without it all"},
    {"limit", PARAM_INT, OPT(limit), 0, INT32_MAX, NULL, "0", NULL,
     "questions of each multiple-choice task; 0: all"},
    {"json", PARAM_BOOL, OPT(json), 0, 0, NULL, NULL, NULL, "print the summary as JSON"},
    {0},
};

static const char about[] =
    "Evaluates a model on data in TOFU's format (arXiv 2401.06121): probability of the answers, "
    "ROUGE-L recall of\n"
    "its own answers, truth ratio, memorisation; membership attacks if a holdout set is given; "
    "forget quality\n"
    "and privacy leak against the retrained model's log, and model utility. Files that are not "
    "given leave\n"
    "their metrics out. The logs are in OpenUnlearning's format; means have a 95 % bootstrap "
    "interval.\n\n"
    "Multiple-choice suites score as lm-evaluation-harness 0.4.8 does:\n" MULTIPLE_HELP;

struct evaluation {
    struct setup s;
    struct model other; /* for attacks that compare two models */
    struct model_scorer scorer, reference;
    struct rows rows[TOFU_SETS];
    const struct rows *sets[TOFU_SETS]; /* NULL: not given */
    json_t *retain_log;
    struct suite suite;
};

static int open_data(struct evaluation *v, const struct options *o, struct err *e)
{
    int given = 0;
    for (int i = 0; i < TOFU_SETS; i++)
        if (o->sets[i]) {
            if (rows_open(&v->rows[i], o->sets[i], e))
                return -1;
            v->sets[i] = &v->rows[i];
            given++;
        }
    if (!given)
        return err_set(
            e, "no data given: use --forget, --retain, --real-authors or --world-facts FILE");
    if (o->retain_logs && !(v->retain_log = json_read_file(o->retain_logs, e)))
        return -1;
    return 0;
}

static int open_models(struct evaluation *v, const struct setup_options *so,
                       const struct options *o, struct err *e)
{
    struct setup *s = &v->s;
    if (setup_open(s, so, false, e) || setup_text(s, e) ||
        model_scorer_init(&v->scorer, &s->model, s->tokenizer, s->compat, e))
        return -1;
    v->scorer.batch = (int)o->batch;
    if (!o->reference)
        return 0;
    if (setup_open_model(&v->other, o->reference, NULL, false, e))
        return -1;
    if (v->other.cfg.vocab != s->model.cfg.vocab)
        return err_set(e,
                       "the reference model has %d tokens, the model %d: they must share one "
                       "tokenizer",
                       v->other.cfg.vocab, s->model.cfg.vocab);
    return model_scorer_init(&v->reference, &v->other, s->tokenizer, s->compat, e);
}

static int run_suite(struct evaluation *v, const struct options *o, struct err *e)
{
    v->suite = (struct suite){.metrics = tofu_metrics,
                              .sets = v->sets,
                              .encoder = &v->s.encoder,
                              .model = &v->scorer.scorer,
                              .reference = o->reference ? &v->reference.scorer : NULL,
                              .question = o->question_key,
                              .max_new_tokens = (int)o->max_new_tokens,
                              .truth_mean = strcmp(o->truth_ratio, "arithmetic") ? TRUTH_GEOMETRIC
                                                                                 : TRUTH_ARITHMETIC,
                              .compat = v->s.compat,
                              .retain_log = v->retain_log};
    return suite_run(&v->suite, e);
}

static int run_tofu(const struct setup_options *so, const struct options *o, struct err *e)
{
    struct evaluation v = {0};
    int rc = open_data(&v, o, e) || open_models(&v, so, o, e) || run_suite(&v, o, e) ||
                     (o->out && suite_write(&v.suite, o->out, "TOFU", e)) ||
                     suite_print(&v.suite, NULL, o->json, e)
                 ? -1
                 : 0;
    suite_fini(&v.suite);
    model_scorer_fini(&v.reference);
    model_scorer_fini(&v.scorer);
    model_close(&v.other);
    json_decref(v.retain_log);
    for (int i = 0; i < TOFU_SETS; i++)
        rows_close(&v.rows[i]);
    setup_close(&v.s);
    return rc;
}

static int run(const struct setup_options *so, const struct options *o, struct err *e)
{
    if (!multiple_is(o->suite))
        return run_tofu(so, o, e);
    if (!o->data)
        return err_set(e, "no data given: %s needs --data PATH", o->suite);
    struct multiple_options m = {.suite = o->suite,
                                 .data = o->data,
                                 .subjects = o->subjects,
                                 .shots = (int)o->shots,
                                 .limit = (int)o->limit};
    return eval_multiple(so, &m, o->out, o->json, e);
}

int cmd_eval(int argc, char **argv)
{
    struct options o;
    struct setup_options so;
    struct args a = {.command = "eval",
                     .usage = "--model M --forget FILE --retain FILE [options]",
                     .about = about,
                     .tables = {{"data and metrics", params, &o},
                                {"model and text", setup_params, &so},
                                {"conversations", chat_params, &so.chat}}};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO) {
        struct err e;
        status = run(&so, &o, &e) ? args_fail(&a, &e) : STATUS_DONE;
    }
    args_fini(&a);
    return status;
}
