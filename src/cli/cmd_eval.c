/* unlearn eval: what a model still knows. */
#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/setup.h"
#include "eval/model_scorer.h"
#include "suites/tofu.h"

struct options {
    const char *suite, *sets[TOFU_SETS];
    const char *retain_logs, *out, *question_key, *truth_ratio;
    int64_t max_new_tokens, batch;
    bool json;
};

#define OPT(f) offsetof(struct options, f)
static const struct param params[] = {
    {"suite", PARAM_CHOICE, OPT(suite), 0, 0, "tofu", "tofu", NULL, "list of metrics"},
    {"forget", PARAM_STRING, OPT(sets[TOFU_FORGET]), 0, 0, NULL, NULL, "FILE",
     "rows question, answer, paraphrased_answer, perturbed_answer[]"},
    {"retain", PARAM_STRING, OPT(sets[TOFU_RETAIN]), 0, 0, NULL, NULL, "FILE",
     "the same of what is kept"},
    {"real_authors", PARAM_STRING, OPT(sets[TOFU_AUTHORS]), 0, 0, NULL, NULL, "FILE",
     "rows question, answer, perturbed_answer[]"},
    {"world_facts", PARAM_STRING, OPT(sets[TOFU_FACTS]), 0, 0, NULL, NULL, "FILE", "the same"},
    {"retain_logs", PARAM_STRING, OPT(retain_logs), 0, 0, NULL, NULL, "FILE",
     "the retrained model's TOFU_EVAL.json, for forget quality"},
    {"out", PARAM_STRING, OPT(out), 0, 0, NULL, NULL, "DIR",
     "writes TOFU_EVAL.json and TOFU_SUMMARY.json"},
    {"question_key", PARAM_STRING, OPT(question_key), 0, 0, NULL, TOFU_QUESTION, "KEY",
     "field of the prompt"},
    {"truth_ratio", PARAM_CHOICE, OPT(truth_ratio), 0, 0, "geometric|arithmetic", "geometric", NULL,
     "mean over the wrong answers"},
    {"max_new_tokens", PARAM_INT, OPT(max_new_tokens), 1, 100000, NULL, "200", NULL,
     "of an answer"},
    {"batch", PARAM_INT, OPT(batch), 0, 4096, NULL, "0", NULL,
     "prompts answered at once; 0: by itself"},
    {"json", PARAM_BOOL, OPT(json), 0, 0, NULL, NULL, NULL, "print the summary as JSON"},
    {0},
};

static const char about[] =
    "Evaluates a model on data in TOFU's format (arXiv 2401.06121): probability of the answers, "
    "ROUGE-L recall of\n"
    "its own answers, truth ratio; forget quality if the retrained model's log is given, and model "
    "utility.\n"
    "Files that are not given leave their metrics out. The logs are in OpenUnlearning's format.\n";

static int run_suite(struct setup *s, const struct rows *const *sets, const struct options *o,
                     const json_t *retain_log, struct peer_log *log, struct err *e)
{
    struct model_scorer scorer;
    if (setup_text(s, e) || model_scorer_init(&scorer, &s->model, s->tokenizer, s->compat, e))
        return -1;
    scorer.batch = (int)o->batch;
    struct suite suite = {.metrics = tofu_metrics,
                          .sets = sets,
                          .encoder = &s->encoder,
                          .model = &scorer.scorer,
                          .question = o->question_key,
                          .max_new_tokens = (int)o->max_new_tokens,
                          .truth_mean = strcmp(o->truth_ratio, "arithmetic") ? TRUTH_GEOMETRIC
                                                                             : TRUTH_ARITHMETIC,
                          .retain_log = retain_log};
    int rc = suite_run(&suite, e);
    *log = suite.log;
    model_scorer_fini(&scorer);
    return rc;
}

static int print_summary(const struct peer_log *log, bool json, struct err *e)
{
    if (json) {
        struct buf text = {0};
        int rc = json_write_buf(log->summary, &text, JSON_LIKE_PYTHON, e);
        if (!rc)
            printf("%s\n", text.data);
        buf_fini(&text);
        return rc;
    }
    const char *name;
    json_t *value;
    json_object_foreach(log->summary, name, value) printf("%-28s %.6g\n", name, peer_value(value));
    return 0;
}

static int run(const struct setup_options *so, const struct options *o, struct err *e)
{
    struct setup s = {0};
    struct rows rows[TOFU_SETS] = {{0}};
    const struct rows *sets[TOFU_SETS] = {NULL};
    struct peer_log log = {0};
    json_t *retain_log = NULL;
    int given = 0, rc = 0;
    for (int i = 0; i < TOFU_SETS && !rc; i++)
        if (o->sets[i] && !(rc = rows_open(&rows[i], o->sets[i], e))) {
            sets[i] = &rows[i];
            given++;
        }
    if (!rc && !given)
        rc = err_set(e,
                     "no data given: use --forget, --retain, --real-authors or --world-facts FILE");
    if (!rc && o->retain_logs && !(retain_log = json_read_file(o->retain_logs, e)))
        rc = -1;
    if (!rc)
        rc = setup_open(&s, so, false, e) || run_suite(&s, sets, o, retain_log, &log, e) ||
                     (o->out && peer_log_write(&log, o->out, "TOFU", e)) ||
                     print_summary(&log, o->json, e)
                 ? -1
                 : 0;
    peer_log_fini(&log);
    json_decref(retain_log);
    for (int i = 0; i < TOFU_SETS; i++)
        rows_close(&rows[i]);
    setup_close(&s);
    return rc;
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
