#include "cli/openunlearning.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/param.h"
#include "base/yaml.h"

enum { TRAIN = 1, FORGET = 2, EVAL = 4, RUN = TRAIN | FORGET, ALL = RUN | EVAL };
enum { PATH = 256 };

struct conversion;

/* One key. A value is set as it stands unless `convert` sets it. */
struct key {
    const char *path;   /* a part that is * stands for any */
    const char *option; /* NULL: there is nothing to set */
    unsigned commands;
    int (*convert)(struct conversion *c, const struct key *k, const json_t *value, struct err *e);
    const char *help; /* NULL: the same value */
};

struct conversion {
    const json_t *config;
    json_t *options; /* owned by who called */
    char unknown[300];
    bool tags; /* prompts are built from the tags, not by the checkpoint's template */
};

static const char *text_of(const json_t *v)
{
    return json_is_string(v) ? json_string_value(v) : "";
}

static int set(struct conversion *c, const char *option, json_t *value, struct err *e)
{
    return json_object_set_new(c->options, option, value) ? err_no_memory(e, "options") : 0;
}

static int set_text(struct conversion *c, const struct key *k, const char *value, struct err *e)
{
    return set(c, k->option, json_string(value), e);
}

/* --- values that differ --- */

/* Its trainers have the names of methods here. */
static int method(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    if (!strcmp(text_of(v), "FinetuneTrainer") || !strcmp(text_of(v), "Trainer"))
        return set_text(c, k, "FT", e);
    return set_text(c, k, text_of(v), e);
}

static int optimiser(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    static const char *const known[][2] = {{"adamw", "adamw"},
                                           {"paged_adamw", "adamw"},
                                           {"lion", "lion"},
                                           {"paged_lion", "lion"},
                                           {"sgd", "sgd"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(text_of(v), known[i][0], strlen(known[i][0])))
            return set_text(c, k, known[i][1], e);
    return err_set(e,
                   "recipe: trainer.args.optim is '%s': there are adamw, lion and sgd of "
                   "transformers' optimisers here",
                   text_of(v));
}

static int schedule(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    const bool warms = !strcmp(text_of(v), "constant_with_warmup");
    return set_text(c, k, warms ? "constant" : text_of(v), e);
}

/* -1 and 0: by epochs. */
static int positive(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    return json_number_value(v) > 0 ? set(c, k->option, json_incref((json_t *)v), e) : 0;
}

static int storage(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    static const char *const known[][2] = {
        {"bfloat16", "bf16"}, {"float16", "f16"}, {"float32", "f32"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text_of(v), known[i][0]))
            return set_text(c, k, known[i][1], e);
    return 0;
}

/* A list: any of its expressions. */
static int regex(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    struct buf all = {0};
    size_t i;
    const json_t *one;
    int rc = 0;
    if (!json_is_array(v))
        return set_text(c, k, text_of(v), e);
    json_array_foreach(v, i, one) rc =
        rc || buf_printf(&all, e, "%s%s", i ? "|" : "", text_of(one));
    rc = rc || set_text(c, k, all.data ? all.data : "", e);
    buf_fini(&all);
    return rc;
}

/* PretrainingDataset cuts into pieces, QADataset cuts off. */
static int length(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    (void)k;
    const json_t *part, *role, *data = json_object_get(c->config, "data");
    const char *name, *inner;
    bool pieces = false;
    json_object_foreach((json_t *)data, name, role) json_object_foreach((json_t *)role, inner, part)
        pieces |= !strcmp(text_of(json_object_get(part, "handler")), "PretrainingDataset");
    return set(c, pieces ? "chunk" : "max_length", json_incref((json_t *)v), e);
}

static int template(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    (void)k, (void)e;
    c->tags = json_is_false(v);
    return 0;
}

/* A file is taken; data of the hub are named. */
static int file(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    if (json_is_string(json_object_get(v, "data_files")))
        return set(c, k->option, json_incref(json_object_get(v, "data_files")), e);
    log_note("recipe: --%s is %s %s, split %s, of the Hugging Face hub: give its file", k->option,
             text_of(json_object_get(v, "path")), text_of(json_object_get(v, "name")),
             text_of(json_object_get(v, "split")));
    return 0;
}

static int suite(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    static const char *const known[][2] = {{"TOFUEvaluator", "tofu"}, {"MUSEEvaluator", "muse"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text_of(v), known[i][0]))
            return set_text(c, k, known[i][1], e);
    return 0;
}

static int tasks(struct conversion *c, const struct key *k, const json_t *v, struct err *e)
{
    const char *first = text_of(json_array_get(v, 0));
    if (json_array_size(v) > 1)
        log_note("recipe: %s has %zu tasks: '%s' is run, give the others by --suite",
                 "eval.lm_eval.tasks", json_array_size(v), first);
    return set_text(c, k, strncmp(first, "wmdp", 4) ? first : "wmdp", e);
}

/* --- the keys --- */

#define ARGS     "trainer.args."
#define METHOD   "trainer.method_args."
#define TEMPLATE "model.template_args."
static const struct key keys[] = {
    {"model.model_args.pretrained_model_name_or_path", "model", ALL, NULL,
     "a directory, or a model of the hub that was downloaded"},
    {"model.model_args.torch_dtype", "dtype", RUN, storage,
     "of the saved model; all is computed in f32"},
    {TEMPLATE "apply_chat_template", NULL, ALL, template,
     "true: the checkpoint's template; false: the tags"},
    {TEMPLATE "system_prompt", "system", ALL, NULL, NULL},
    {TEMPLATE "date_string", "date", ALL, NULL, NULL},
    {TEMPLATE "user_start_tag", "user_tag", ALL, NULL, NULL},
    {TEMPLATE "user_end_tag", "user_end", ALL, NULL, NULL},
    {TEMPLATE "asst_start_tag", "assistant_tag", ALL, NULL, NULL},
    {TEMPLATE "asst_end_tag", "assistant_end", ALL, NULL, NULL},
    {"trainer.handler", "method", FORGET, method, "the same names"},
    {ARGS "per_device_train_batch_size", "batch", RUN, NULL, "times the number of GPUs"},
    {ARGS "gradient_accumulation_steps", "accumulate", RUN, NULL, NULL},
    {ARGS "learning_rate", "lr", RUN, NULL, NULL},
    {ARGS "num_train_epochs", "epochs", RUN, NULL, NULL},
    {ARGS "max_steps", "max_steps", RUN, positive, "-1 there is 0 here"},
    {ARGS "lr_scheduler_type", "schedule", RUN, schedule, "linear, constant, cosine"},
    {ARGS "warmup_epochs", "warmup_epochs", RUN, NULL, NULL},
    {ARGS "warmup_steps", "warmup_steps", RUN, NULL, NULL},
    {ARGS "weight_decay", "weight_decay", RUN, NULL, NULL},
    {ARGS "max_grad_norm", "clip", RUN, NULL, "no effect there under DeepSpeed"},
    {ARGS "optim", "optimiser", RUN, optimiser, "adamw for all of its AdamWs"},
    {ARGS "adam_beta1", "adam_beta1", RUN, NULL, NULL},
    {ARGS "adam_beta2", "adam_beta2", RUN, NULL, NULL},
    {ARGS "adam_epsilon", "adam_epsilon", RUN, NULL, NULL},
    {ARGS "seed", "seed", RUN, NULL, NULL},
    {ARGS "output_dir", "out", RUN, NULL, NULL},
    {METHOD "gamma", "gamma", FORGET, NULL, NULL},
    {METHOD "alpha", "alpha", FORGET, NULL, NULL},
    {METHOD "beta", "beta", FORGET, NULL, NULL},
    {METHOD "delta", "delta", FORGET, NULL, "of SimNPO"},
    {METHOD "beta1", "beta1", FORGET, NULL, "of SatImp"},
    {METHOD "beta2", "beta2", FORGET, NULL, "of SatImp"},
    {METHOD "retain_loss_type", "retain_loss_type", FORGET, NULL, NULL},
    {METHOD "steering_coeff", "steering_coeff", FORGET, NULL, "of RMU"},
    {METHOD "module_regex", "module_regex", FORGET, NULL, "of RMU; or --layer N"},
    {METHOD "trainable_params_regex", "trainable_params_regex", FORGET, regex,
     "of RMU; a list is joined by |"},
    {METHOD "ignore_first_n_answer_tokens", "ignore_first_n_answer_tokens", FORGET, NULL, "of CEU"},
    {METHOD "retain_loss_eps", "retain_loss_eps", FORGET, NULL, "of PDU"},
    {METHOD "primal_dual", "primal_dual", FORGET, NULL, "of PDU"},
    {METHOD "dual_step_size", "dual_step_size", FORGET, NULL, "of PDU"},
    {METHOD "dual_update_upon", "dual_update_upon", FORGET, NULL, "of PDU"},
    {METHOD "dual_warmup_epochs", "dual_warmup_epochs", FORGET, NULL, "of PDU"},
    {METHOD "loss_names", NULL, FORGET, NULL, "names of its own log"},
    {"data.train.*.args.hf_args", "data", TRAIN, file, "a file"},
    {"data.forget.*.args.hf_args", "forget", FORGET, file, "a file"},
    {"data.retain.*.args.hf_args", "retain", FORGET, file, "a file"},
    {"data.forget.*.args.idk_path", "alternate_pool", FORGET, NULL, NULL},
    {"data.forget.*.args.alternate_key", "alternate_key", FORGET, NULL, NULL},
    {"data.*.*.args.question_key", "question_key", RUN, NULL, NULL},
    {"data.*.*.args.answer_key", "answer_key", RUN, NULL, NULL},
    {"data.*.*.args.max_length", "max_length", RUN, length, "--chunk of PretrainingDataset"},
    {"data.*.*.args.text_key", NULL, RUN, NULL, "the field 'text'"},
    {"data.*.*.args.return_original", NULL, RUN, NULL, "follows from the method"},
    {"data.*.*.handler", NULL, RUN, NULL, "follows from the fields of the rows"},
    {"data.anchor", NULL, RUN, NULL, "epochs are passes over the forget data"},
    {"eval.*.handler", "suite", EVAL, suite, "tofu, muse"},
    {"eval.lm_eval.tasks", "suite", EVAL, tasks, "mmlu, wmdp"},
    {"eval.*.retain_logs_path", "retain_logs", EVAL, NULL, NULL},
    {"eval.*.output_dir", "out", EVAL, NULL, NULL},
    {"eval.*.overwrite", "overwrite", EVAL, NULL, NULL},
    {"eval.tofu.question_key", "question_key", EVAL, NULL, NULL},
    {"eval.tofu.batch_size", "batch", EVAL, NULL, NULL},
    /* Names of its command line, which are no keys of what it composes. */
    {"trainer", "method", 0, NULL, NULL},
    {"experiment", "preset", 0, NULL, "ou-tofu, ou-muse, ou-wmdp"},
    {"forget_split", "forget", 0, NULL, "a file"},
    {"retain_split", "retain", 0, NULL, "a file"},
    {"holdout_split", "holdout", 0, NULL, "a file"},
    {"retain_logs_path", "retain_logs", 0, NULL, NULL},
    {"task_name", "out", 0, NULL, "a directory"},
};

/* Sections whose other keys set how something is logged, saved or put on a device. */
static const char *const harmless[] = {"do_train",
                                       "do_eval",
                                       "eval_on_start",
                                       "eval_strategy",
                                       "eval_steps",
                                       "logging_",
                                       "report_to",
                                       "save_",
                                       "bf16",
                                       "per_device_eval_batch_size",
                                       "ddp_",
                                       "gradient_checkpointing",
                                       "remove_unused_columns",
                                       "attn_implementation",
                                       "device_map",
                                       "system_prompt_with"};

/* --- a configuration --- */

bool ou_is_config(const json_t *recipe)
{
    return json_is_object(json_object_get(json_object_get(recipe, "model"), "model_args"));
}

/* Whether `path` is the pattern's, and whether it lies below. */
static bool matches(const char *pattern, const char *path)
{
    while (*pattern && *path) {
        if (*pattern == '*') {
            pattern++;
            path += strcspn(path, ".");
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

static const struct key *key_at(const char *path, unsigned command)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if ((keys[i].commands & command) && matches(keys[i].path, path))
            return &keys[i];
    return NULL;
}

static void note_unknown(struct conversion *c, const char *path)
{
    const char *last = strrchr(path, '.');
    last = last ? last + 1 : path;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (!strncmp(last, harmless[i], strlen(harmless[i])))
            return;
    const size_t n = strlen(c->unknown);
    snprintf(c->unknown + n, sizeof c->unknown - n, "%s%s", n ? ", " : "", path);
}

static int convert(struct conversion *c, const struct key *k, const json_t *value, struct err *e)
{
    json_t *v = yaml_resolve(c->config, value, e);
    if (!v)
        return -1;
    int rc = 0;
    if (json_is_null(v) || !strcmp(text_of(v), "???"))
        rc = 0;
    else if (k->convert)
        rc = k->convert(c, k, v, e);
    else if (k->option)
        rc = set(c, k->option, json_incref(v), e);
    json_decref(v);
    return rc;
}

/* Values are converted where a key is known, objects are gone through. */
static int walk(struct conversion *c, const json_t *at, const char *path, unsigned command,
                struct err *e)
{
    const char *name;
    json_t *v;
    int rc = 0;
    json_object_foreach((json_t *)at, name, v)
    {
        char inner[PATH];
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", name);
        const struct key *k = key_at(inner, command);
        if (k && !json_is_object(v))
            rc = convert(c, k, v, e);
        else if (k && k->convert == file)
            rc = convert(c, k, v, e);
        else if (json_is_object(v) && strcmp(name, "metrics") && strlen(inner) < PATH - 1)
            rc = walk(c, v, inner, command, e);
        else if (!json_is_object(v) && !key_at(inner, ALL) &&
                 (!strncmp(inner, "trainer.", 8) || !strncmp(inner, "data.", 5)))
            note_unknown(c, inner);
        if (rc)
            return rc;
    }
    return 0;
}

/* Of tags and a template only one is used; a constant schedule does not warm up there; PDU's retain
 * term, which it inherits the name of, is a constraint. */
static void leave_one(struct conversion *c)
{
    static const char *const tags[] = {"user_tag", "user_end", "assistant_tag", "assistant_end"};
    for (size_t i = 0; !c->tags && i < sizeof tags / sizeof *tags; i++)
        json_object_del(c->options, tags[i]);
    if (c->tags) {
        json_object_del(c->options, "system");
        json_object_del(c->options, "date");
    }
    const char *type = text_of(yaml_at(c->config, "trainer.args.lr_scheduler_type"));
    if (!strcmp(type, "constant")) {
        json_object_del(c->options, "warmup_epochs");
        json_object_del(c->options, "warmup_steps");
    }
    if (!strcmp(text_of(json_object_get(c->options, "method")), "PDU"))
        json_object_del(c->options, "retain_loss_type");
}

static unsigned command_bit(const char *command)
{
    return !strcmp(command, "train")    ? TRAIN
           : !strcmp(command, "forget") ? FORGET
           : !strcmp(command, "eval")   ? EVAL
                                        : 0;
}

json_t *ou_options(const json_t *config, const char *command, struct err *e)
{
    struct conversion c = {.config = config, .options = json_object()};
    const unsigned bit = command_bit(command);
    int rc = c.options ? 0 : err_no_memory(e, "options");
    if (!rc && !bit)
        rc = err_set(e,
                     "a configuration of OpenUnlearning is for train, forget and eval, not for %s",
                     command);
    if (rc || walk(&c, config, "", bit, e) || set(&c, "compat", json_string("ou"), e)) {
        json_decref(c.options);
        return NULL;
    }
    leave_one(&c);
    if (*c.unknown)
        log_warn("recipe: nothing here is like %s", c.unknown);
    return c.options;
}

/* --- names --- */

const char *ou_option(const char *name)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *last = strrchr(keys[i].path, '.');
        const struct param whole[] = {{.name = keys[i].path}, {.name = last ? last + 1 : ""}, {0}};
        if (keys[i].option && param_find(whole, name))
            return keys[i].option;
    }
    return NULL;
}

void ou_help(FILE *out)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct key *k = &keys[i];
        char flag[PARAM_NAME_MOST + 1] = "";
        fprintf(out, "  %s\n      %s%s%s%s\n", k->path, k->option ? "--" : "",
                k->option ? param_flag(k->option, flag) : "", k->option && k->help ? "  " : "",
                k->help ? k->help : "");
    }
}
