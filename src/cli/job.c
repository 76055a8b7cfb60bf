#include "cli/job.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/recording.h"
#include "cli/start.h"
#include "report/table.h"
#include "report/verdict.h"
#include "run/run.h"

/* Hands tables to the command line as they come up. */
struct taking {
    struct args *a;
    int status; /* once a value is wrong: of the message that was printed */
};

static int take(void *ctx, const struct param_table *t, const struct param_preset *presets,
                struct err *e)
{
    struct taking *k = ctx;
    (void)e;
    k->a->presets = presets;
    k->status = args_take(k->a, t->title, t->params, t->obj);
    return k->status != ARGS_GO;
}

static int status_of(const struct taking *k, int failed, const struct err *e)
{
    return !failed ? ARGS_GO : k->status != ARGS_GO ? k->status : args_usage(k->a, e);
}

int recipe_args(struct args *a, const char *method, struct recipe *r)
{
    struct err e = {.msg = ""};
    struct taking k = {a, ARGS_GO};
    return status_of(&k, recipe_take(r, method, &(struct param_taker){take, &k}, &e), &e);
}

int locator_args(struct args *a, const char *name, struct choice *c)
{
    struct err e = {.msg = ""};
    const struct locator *l = locator_by_name(name, &e);
    if (!l || choice_init(c, l, NULL, &e))
        return args_usage(a, &e);
    return l->params ? args_take(a, l->name, l->params, c->params) : ARGS_GO;
}

struct job_request {
    struct args args;
    struct verdict_limits limits;
    struct run_config config;
    struct recording_options record;
    bool json;
};

static const struct param print_params[] = {
    BOOL_PARAM(struct job_request, json, false, "print the summary as one JSON object"),
    {0},
};

static int check(const struct args *a, const struct run_config *c)
{
    struct err e = {.msg = ""};
    if (run_makes_mask(c) && args_has(a, "ratio") && c->mask.ratio <= 0)
        err_set(&e, "--ratio 0 keeps nothing: give a share above 0, up to 1");
    else if (!run_config_check(c, &e))
        return ARGS_GO;
    return args_usage(a, &e);
}

static int request_parse(struct job_request *q, const struct job_command *c, int argc, char **argv)
{
    struct args *a = &q->args;
    struct err e = {.msg = ""};
    struct taking k = {a, ARGS_GO};
    run_config_init(&q->config, c->kind);
    *a = (struct args){
        .command = c->kind->command, .usage = c->usage, .about = c->about, .open = true};
    int n = q->config.n_tables;
    memcpy(a->tables, q->config.tables, (size_t)n * sizeof *a->tables);
    a->tables[n] = (struct param_table){"output", print_params, q};
    a->tables[n + 1] = (struct param_table){"ledger", recording_params, &q->record};
    int status = args_parse(a, argc, argv);
    if (status == ARGS_GO)
        status =
            status_of(&k, run_config_choose(&q->config, &(struct param_taker){take, &k}, &e), &e);
    if (status == ARGS_GO && !c->kind->method)
        status = args_take(a, "warnings at the end", verdict_run_params, &q->limits);
    if (status == ARGS_GO)
        status = args_finish(a);
    return status == ARGS_GO ? check(a, &q->config) : status;
}

static void request_fini(struct job_request *q)
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
static int next_command(const struct job_request *q, struct buf *text, struct err *e)
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
    char loss[40] = "";
    if (!isnan(r->loss)) /* a method of one step has none */
        snprintf(loss, sizeof loss, ", last loss %.4g", r->loss);
    printf("%ld steps, %ld tokens in %.1f s (%.0f tokens/s)%s -> %s%s%s\n", r->steps, r->tokens,
           r->seconds, rate, loss, out, *r->validation.stop ? "; stopped: " : "",
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
    return json_pack("{s:I, s:I, s:f, s:f, s:o, s:f, s:s, s:s?}", "steps", (json_int_t)r->steps,
                     "tokens", (json_int_t)r->tokens, "seconds", r->seconds, "tokens_per_second",
                     rate, "loss", peer_number(r->loss), "grad_norm", r->grad_norm, "out", out,
                     "stopped", *r->validation.stop ? r->validation.stop : NULL);
}

static void print_object(const struct run_result *r, double rate, const struct job_request *q,
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

static int print_report(const struct run_result *r, const struct job_request *q, struct err *e)
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
static void print_plan(const struct train_report *r, const struct job_request *q)
{
    const struct train_options *o = &q->config.train;
    if (q->json)
        printf("{\"dry_run\": true, \"steps\": %ld, \"batch\": %d, \"accumulate\": %d, \"tokens\": "
               "%ld, "
               "\"bytes\": %.0f}\n",
               r->steps, (int)o->batch, (int)o->accumulate, r->tokens, r->bytes);
    else
        printf("dry run: %ld steps of %d x %d rows would be made; nothing was written\n", r->steps,
               (int)o->accumulate, (int)o->batch);
}

static const volatile sig_atomic_t *catch_interrupt(void *ctx)
{
    (void)ctx;
    return interrupt_catch(
        "\ninterrupted: saving a checkpoint of the last whole step, for --resume;\n"
        "a second Ctrl-C ends at once and loses the steps since the last checkpoint\n");
}

const struct run_hooks job_hooks = {.interrupt = catch_interrupt};

static int run(const struct job_request *q)
{
    struct err e = {.msg = ""};
    struct run_result result;
    struct recording record;
    if (recording_begin(&record, &q->args, &q->record, &e))
        return args_fail(&q->args, &e);
    const int failed = run_train(&q->config, &job_hooks, &result, &e);
    recording_end(&record, failed ? &e : NULL);
    if (!failed) {
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
    struct job_request q = {0};
    int status = request_parse(&q, c, argc, argv);
    if (status == ARGS_GO)
        status = run(&q);
    request_fini(&q);
    return status;
}

enum { AGAIN_WORDS = 16 };

int job_again(const struct args *a, const char *dir, char *const *more, int n, job_work *work,
              void *ctx)
{
    static const struct job_command train = {.kind = &run_kind_train, .usage = "", .about = ""};
    struct job_request q = {0};
    struct err e = {.msg = ""};
    char *argv[AGAIN_WORDS] = {"train", "--recipe", NULL, "--out", (char *)(uintptr_t)dir};
    int argc = 5;
    BUG_ON(argc + n + 1 >= AGAIN_WORDS);
    if (args_has(a, "quiet"))
        argv[argc++] = "--quiet";
    for (int i = 0; i < n; i++)
        argv[argc++] = more[i];
    char *path = argv[2] = file_join(dir, "run.json", &e);
    if (!path || (!file_exists(path) && err_about(&e, "layout", "'%s' holds no run", dir))) {
        free(path);
        return args_fail(a, &e);
    }
    int status = request_parse(&q, &train, argc, argv);
    if (status == ARGS_GO) {
        status = work(ctx, &q.config, &e);
        if (status != STATUS_DONE && status != STATUS_BOUND)
            status = args_fail(a, &e);
    }
    request_fini(&q);
    free(path);
    return status;
}
