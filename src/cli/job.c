#include "cli/job.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/start.h"
#include "report/table.h"
#include "report/verdict.h"
#include "optim/optims.h"
#include "run/run.h"

const struct param recipe_params[] = {
    STRING_PARAM(struct recipe_options, method, "NPO", "NAME",
                 "what to run; 'unlearn methods' lists all"),
    {0},
};

static const char *const titles[PART_COUNT] = {"forget term", "retain term", "extra term"};

int recipe_args(struct args *a, const struct recipe_options *o, struct recipe *r)
{
    struct err e = {.msg = ""};
    *r = (struct recipe){0};
    if (!(r->method = method_by_name(o->method, &e)))
        return args_usage(a, &e);
    a->presets = r->method->presets;
    int status = args_take(a, "terms", method_params, &r->p);
    if (status == ARGS_GO && recipe_choose_terms(r, &e))
        status = args_usage(a, &e);
    for (int i = 0; i < PART_COUNT && status == ARGS_GO; i++)
        if (choice_params(&r->part[i]))
            status = args_take(a, titles[i], choice_params(&r->part[i]), r->part[i].params);
    return status;
}

/* The parameters of what was chosen, if it has any. */
static int choice_args(struct args *a, const struct choice *c)
{
    const struct param *params = choice_params(c);
    return params ? args_take(a, choice_name(c), params, c->params) : ARGS_GO;
}

int locator_args(struct args *a, const char *name, struct choice *c)
{
    struct err e = {.msg = ""};
    const struct locator *l = locator_by_name(name, &e);
    return !l || choice_init(c, l, NULL, &e) ? args_usage(a, &e) : choice_args(a, c);
}

/* What the method may preset: which weights move, what stands before the optimiser, and which step
 * goes first. */
struct choice_options {
    const char *locate, *wrapper, *first;
};

struct request {
    struct args args;
    struct verdict_limits limits;
    struct run_config config;
    const char *optimiser;
    bool json;
    struct recipe_options choice;
    struct choice_options chosen;
};

#define OPT(f) offsetof(struct request, f)
static const struct param job_params[] = {
    {"question_key", PARAM_STRING, OPT(config.run.question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, OPT(config.run.answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    {"chunk", PARAM_INT, OPT(config.run.chunk), 0, 1 << 20, NULL, "0", NULL,
     "join plain texts and cut them into chunks of that many tokens; 0: each row is one"},
    {"out", PARAM_STRING, OPT(config.run.out), 0, 0, NULL, NULL, "DIR", "output directory"},
    {"overwrite", PARAM_BOOL, OPT(config.run.overwrite), 0, 0, NULL, NULL, NULL,
     "replace what --out holds; without it a directory that is not empty is refused"},
    {"dtype", PARAM_CHOICE, OPT(config.run.dtype), 0, 0, "f32|bf16|f16", "f32", NULL,
     "storage type of the result"},
    STRING_PARAM(struct request, optimiser, "adamw", "NAME",
                 "adamw, sophia, sophia_soul, lion, sgd"),
    BOOL_PARAM(struct request, json, false, "print the summary as one JSON object"),
    {"dry_run", PARAM_BOOL, OPT(config.dry_run), 0, 0, NULL, NULL, NULL,
     "check everything, show the first row, memory and steps; train and write nothing"},
    {"mask", PARAM_STRING, OPT(config.run.mask), 0, 0, NULL, NULL, "FILE",
     "elements that may change, as 'unlearn locate' writes them; all others keep their bits"},
    {"save_adapter", PARAM_BOOL, OPT(config.run.save_adapter), 0, 0, NULL, NULL, NULL,
     "with --locate lora: write the adapter, in PEFT's files, instead of the merged model"},
    {"scratch", PARAM_BOOL, OPT(config.run.scratch), 0, 0, NULL, NULL, NULL,
     "start from random weights: the model directory needs config.json and a tokenizer"},
    {0},
};

static const struct param chosen_params[] = {
    LOCATE_PARAM(offsetof(struct choice_options, locate)),
    STRING_PARAM(struct choice_options, wrapper, "none", "NAME",
                 "gradient wrapper: none, sam, rs, gnr, cr, wa, lat, tar, project"),
    {0},
};

static const struct param first_params[] = {
    STRING_PARAM(struct choice_options, first, "none", "NAME",
                 "stage before the method's own training: none, mapping"),
    {0},
};

/* The options of the steps that may have to run first. */
static int take_steps(struct args *a, struct request *q)
{
    struct err e = {.msg = ""};
    int status = args_take(a, "stages", first_params, &q->chosen);
    if (status == ARGS_GO &&
        procedure_of(&q->config.procedure, &q->config.recipe, q->chosen.first, &e))
        status = args_usage(a, &e);
    struct procedure *p = &q->config.procedure;
    for (int k = 0; k < p->n && status == ARGS_GO; k++)
        status = args_take(a, p->step[k].row->help, p->step[k].row->params, &p->step[k].o);
    return status;
}

static int choose_wrapper(struct choice *c, const char *name, struct err *e)
{
    const struct wrapper *row;
    return wrapper_by_name(name, &row, e) || choice_init(c, row, NULL, e);
}

/* --locate and --wrapper, and the parameters of both. */
static int take_chosen(struct args *a, struct request *q)
{
    struct err e = {.msg = ""};
    int status = args_take(a, "alternate answers", alternate_params, &q->config.alternates);
    if (status == ARGS_GO)
        status = args_take(a, "normal text", generic_params, &q->config.generic);
    if (status == ARGS_GO)
        status = args_take(a, "which weights move, and how", chosen_params, &q->chosen);
    if (status != ARGS_GO)
        return status;
    if (choose_wrapper(&q->config.wrapper, q->chosen.wrapper, &e))
        return args_usage(a, &e);
    status = locator_args(a, q->chosen.locate, &q->config.locator);
    if (status == ARGS_GO && run_makes_mask(&q->config))
        status = args_take(a, "what is kept", mask_params, &q->config.mask);
    return status == ARGS_GO ? choice_args(a, &q->config.wrapper) : status;
}

/* Options of unlearning only: term weights, early stopping, stages. */
static int take_course(struct args *a, struct request *q)
{
    int status = args_take(a, "term weights", weighting_params, &q->config.weighting);
    if (status == ARGS_GO)
        status =
            args_take(a, "validation and early stopping", validation_params, &q->config.validation);
    if (status == ARGS_GO)
        status = args_take(a, "warnings at the end", verdict_run_params, &q->limits);
    return status == ARGS_GO ? take_steps(a, q) : status;
}

/* The parameters of the method, the locator and the optimiser, once these are known. */
static int take_choices(struct args *a, const struct job_command *c, struct request *q)
{
    struct err e = {.msg = ""};
    if (c->method && recipe_open(&q->config.recipe, c->method, &e))
        return args_fail(a, &e);
    if (c->method)
        recipe_apply_compat(&q->config.recipe, a->compat);
    int status = c->method ? ARGS_GO : recipe_args(a, &q->choice, &q->config.recipe);
    if (status == ARGS_GO)
        status = take_chosen(a, q);
    if (status == ARGS_GO && !c->method)
        status = take_course(a, q);
    if (status != ARGS_GO)
        return status;
    const struct optim *o = optim_by_name(q->optimiser, &e);
    if (!o || choice_init(&q->config.optim, o, NULL, &e))
        return args_usage(a, &e);
    return choice_args(a, &q->config.optim);
}

static int check_required(const struct args *a, const struct job_command *c,
                          const struct request *q)
{
    struct err e = {.msg = ""};
    const struct run_config *r = &q->config;
    const bool keeps_base = run_keeps_base(r);
    if (c->method && !r->run.files[ROLE_RETAIN])
        err_set(&e, "nothing to learn given: use --data FILE");
    else if (keeps_base && r->run.scratch)
        err_set(&e, "--locate %s needs a model to start from, not --scratch",
                choice_name(&r->locator));
    else if (r->run.save_adapter && !keeps_base)
        err_set(&e, "--save-adapter: there is no adapter without --locate lora");
    else if (r->run.mask && run_makes_mask(r))
        err_set(&e, "--mask is a mask already: give it or --locate %s, not both",
                choice_name(&r->locator));
    else if (run_makes_mask(r) && args_has(a, "ratio") && r->mask.ratio <= 0)
        err_set(&e, "--ratio 0 keeps nothing: give a share above 0, up to 1");
    else if (!r->run.out || !*r->run.out)
        err_set(&e, "no output given: use --out DIR");
    else if (r->train.resume && r->run.overwrite)
        err_set(&e, "--resume continues the run in --out, --overwrite replaces it: give one");
    else if (r->train.resume && r->dry_run)
        err_set(&e, "--dry-run is of a run from its beginning: leave --resume out");
    else
        return ARGS_GO;
    return args_usage(a, &e);
}

static int request_parse(struct request *q, const struct job_command *c, int argc, char **argv)
{
    struct args *a = &q->args;
    *a = (struct args){.command = c->name,
                       .usage = c->usage,
                       .about = c->about,
                       .tables = {{"data", c->data, &q->config.run},
                                  {"model and text", setup_params, &q->config.setup},
                                  {"conversations", chat_params, &q->config.setup.chat},
                                  {"job", job_params, q},
                                  {"training", train_params, &q->config.train},
                                  {"method", c->method ? NULL : recipe_params, &q->choice}},
                       .open = true};
    param_defaults(weighting_params, &q->config.weighting);
    param_defaults(validation_params, &q->config.validation);
    int status = args_parse(a, argc, argv);
    if (status == ARGS_GO)
        status = take_choices(a, c, q);
    if (status == ARGS_GO)
        status = args_finish(a);
    if (status == ARGS_GO)
        status = check_required(a, c, q);
    if (status == ARGS_GO) {
        q->config.command = c->name;
        q->config.options = args_values(a);
    }
    return status;
}

static void request_fini(struct request *q)
{
    run_config_fini(&q->config);
    args_fini(&q->args);
}

/* A word of a command that can be typed: in quotes where the shell needs them. */
static int put_word(struct buf *text, const char *word, struct err *e)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+./:,=@%";
    if (*word && !word[strspn(word, plain)])
        return buf_str(text, word, e);
    int rc = buf_str(text, "'", e);
    for (; *word && !rc; word++)
        rc = *word == '\'' ? buf_str(text, "'\\''", e) : buf_add(text, word, 1, e);
    return rc || buf_str(text, "'", e);
}

/* The command that measures what was forgotten. */
static int next_command(const struct request *q, struct buf *text, struct err *e)
{
    static const struct {
        const char *flag;
        enum role role;
    } data[] = {{"forget", ROLE_FORGET}, {"retain", ROLE_RETAIN}};
    const char *out = q->config.run.out;
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    int rc = buf_str(text, "unlearn eval --model ", e) || put_word(text, out, e);
    for (size_t i = 0; i < 2 && !rc; i++)
        if (q->config.run.files[data[i].role])
            rc = buf_printf(text, e, " --%s ", data[i].flag) ||
                 put_word(text, q->config.run.files[data[i].role], e);
    struct buf log = {0};
    rc = rc || buf_printf(&log, e, "%.*s-eval", (int)n, out) || buf_str(text, " --out ", e) ||
         put_word(text, log.data, e);
    buf_fini(&log);
    return rc;
}

static void print_text(const struct train_report *r, double rate, const char *out)
{
    printf("%ld steps, %ld tokens in %.1f s (%.0f tokens/s), last loss %.4g -> %s%s%s\n", r->steps,
           r->tokens, r->seconds, rate, r->loss, out, *r->validation.stop ? "; stopped: " : "",
           r->validation.stop);
}

/* NLL before and after, then the command; nothing of a run without forget data. */
static int print_outcome(const struct nll_change *c, const char *next, struct err *e)
{
    struct buf text = {0};
    char a[DIGITS_MOST], b[DIGITS_MOST];
    int rc = buf_printf(&text, e, "forget NLL %s -> %s", digits_of(c->forget[0], a),
                        digits_of(c->forget[1], b));
    if (!rc && !isnan(c->retain[0]))
        rc = buf_printf(&text, e, ", retain NLL %s -> %s", digits_of(c->retain[0], a),
                        digits_of(c->retain[1], b));
    if (!rc)
        printf("%s (nats a token, before -> after)\nnext: %s\n", text.data, next);
    buf_fini(&text);
    return rc;
}

static json_t *object_of(const struct train_report *r, double rate, const char *out)
{
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:s?}", "steps", (json_int_t)r->steps,
                     "tokens", (json_int_t)r->tokens, "seconds", r->seconds, "tokens_per_second",
                     rate, "loss", r->loss, "grad_norm", r->grad_norm, "out", out, "stopped",
                     *r->validation.stop ? r->validation.stop : NULL);
}

static void print_object(const struct run_result *r, double rate, const struct request *q,
                         char warnings[][VERDICT_SENTENCE], int n, const char *next)
{
    const struct nll_change *c = &r->nll;
    json_t *j = object_of(&r->report, rate, q->config.run.out), *said = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(said, json_string(warnings[i]));
    if (next) {
        json_object_set_new(
            j, "forget_nll",
            json_pack("[o, o]", peer_number(c->forget[0]), peer_number(c->forget[1])));
        json_object_set_new(
            j, "retain_nll",
            json_pack("[o, o]", peer_number(c->retain[0]), peer_number(c->retain[1])));
        json_object_set_new(j, "clipped_steps", json_integer(c->clipped));
        json_object_set(j, "warnings", said);
        json_object_set_new(j, "hardly_forgot", json_real(q->limits.hardly_forgot));
        json_object_set_new(j, "retain_damage", json_real(q->limits.retain_damage));
        json_object_set_new(j, "next", json_string(next));
    }
    json_dumpf(j, stdout, JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(said);
    json_decref(j);
}

static int print_report(const struct run_result *r, const struct request *q, struct err *e)
{
    char warnings[VERDICT_WARNINGS][VERDICT_SENTENCE];
    const bool forgot = !isnan(r->nll.forget[0]);
    const double rate = r->report.seconds > 0 ? (double)r->report.tokens / r->report.seconds : 0;
    struct buf next = {0};
    const int n = forgot ? verdict_run(&r->nll, &q->limits, warnings) : 0;
    int rc = forgot ? next_command(q, &next, e) : 0;
    if (!rc && q->json)
        print_object(r, rate, q, warnings, n, next.data);
    else if (!rc)
        print_text(&r->report, rate, q->config.run.out);
    fflush(stdout); /* warnings come after what they are about */
    for (int i = 0; i < n && !rc; i++)
        log_warn("%s", warnings[i]);
    if (!rc && forgot && !q->json)
        rc = print_outcome(&r->nll, next.data, e);
    buf_fini(&next);
    return rc;
}

/* Of a run that was not made. */
static void print_plan(const struct train_report *r, const struct request *q)
{
    const struct train_options *o = &q->config.train;
    if (q->json)
        printf("{\"dry_run\": true, \"steps\": %ld, \"batch\": %d, \"accumulate\": %d}\n", r->steps,
               (int)o->batch, (int)o->accumulate);
    else
        printf("dry run: %ld steps of %d x %d rows would be made; nothing was written\n", r->steps,
               (int)o->accumulate, (int)o->batch);
}

static const volatile sig_atomic_t *catch_interrupt(void *ctx)
{
    (void)ctx;
    return interrupt_catch();
}

static int run(const struct request *q)
{
    static const struct run_hooks hooks = {.interrupt = catch_interrupt};
    struct err e = {.msg = ""};
    struct run_result result;
    if (!run_train(&q->config, &hooks, &result, &e)) {
        if (q->config.dry_run)
            print_plan(&result.report, q);
        else if (!result.finished)
            return print_report(&result, q, &e) ? args_fail(&q->args, &e) : STATUS_DONE;
        return STATUS_DONE;
    }
    if (result.interrupted) {
        const struct err why = e;
        err_set(&e, "%s; repeat the command with --resume", why.msg);
    }
    return args_fail(&q->args, &e);
}

int job_main(const struct job_command *c, int argc, char **argv)
{
    struct request q = {0};
    int status = request_parse(&q, c, argc, argv);
    if (status == ARGS_GO)
        status = run(&q);
    request_fini(&q);
    return status;
}
