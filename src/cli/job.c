#include "cli/job.h"

#include <stdio.h>

#include "cli/command.h"
#include "cli/start.h"
#include "cli/request.h"

static void print_text(const struct train_report *r, double rate, const char *out)
{
    printf("%ld steps, %ld tokens in %.1f s (%.0f tokens/s), last loss %.4g -> %s%s%s\n", r->steps,
           r->tokens, r->seconds, rate, r->loss, out, *r->look.stop ? "; stopped: " : "",
           r->look.stop);
}

static void print_object(const struct train_report *r, double rate, const char *out)
{
    json_t *j = json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:s?}", "steps",
                          (json_int_t)r->steps, "tokens", (json_int_t)r->tokens, "seconds",
                          r->seconds, "tokens_per_second", rate, "loss", r->loss, "grad_norm",
                          r->grad_norm, "out", out, "stopped", *r->look.stop ? r->look.stop : NULL);
    json_dumpf(j, stdout, JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(j);
}

static void print_report(const struct train_report *r, const struct request *q)
{
    const double rate = r->seconds > 0 ? (double)r->tokens / r->seconds : 0;
    (q->json ? print_object : print_text)(r, rate, q->config.run.out);
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
        if (!result.finished)
            print_report(&result.report, q);
        return STATUS_DONE;
    }
    if (result.interrupted) {
        const struct err why = e;
        err_set(&e, "%s; repeat the command with --resume to go on", why.msg);
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
