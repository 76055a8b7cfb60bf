/* unlearn bench: tokens/s and the share of time by operation, on this machine. */
#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "run/bench.h"

#define MIB (1.0 / (1 << 20))

struct options {
    struct bench_options bench;
    bool json;
};

static const struct param params[] = {
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    {0},
};

static const char about[] =
    "Measures how fast this machine scores, reads prompts, continues 1 and 16 sequences, and makes "
    "steps of\n"
    "fine-tuning and of unlearning: by log-probabilities, by logits of a reference, by hidden "
    "states. Rows are\n"
    "random token ids, so a model without tokenizer will do; nothing is written. For each work it "
    "prints the\n"
    "median time, tokens/s, GFLOP/s of its products and attention with their share of what a large "
    "product\n"
    "(sgemm) reaches in the same run, the peak memory, and where the time went. FLOPs are counted "
    "as the\n"
    "operations are called. Example:\n\n"
    "  unlearn bench --model default --threads 1 --only score,decode-1,forget-logp\n";

static double sum(const double v[TIMED_KINDS])
{
    double s = 0;
    for (int k = 0; k < TIMED_KINDS; k++)
        s += v[k];
    return s;
}

static double rate(const struct bench_result *r)
{
    return sum(r->timed.flops) / r->spent;
}

/* Kinds of at least a hundredth, the largest first; the rest is what no operation does. */
static void print_shares(const struct bench_result *r)
{
    bool done[TIMED_KINDS] = {false};
    printf("            ");
    for (int n = 0; n < TIMED_KINDS; n++) {
        int top = -1;
        for (int k = 0; k < TIMED_KINDS; k++)
            if (!done[k] && (top < 0 || r->timed.seconds[k] > r->timed.seconds[top]))
                top = k;
        done[top] = true;
        if (r->timed.seconds[top] >= 0.01 * r->spent)
            printf("%s %.0f%%, ", timed_name[top], 100 * r->timed.seconds[top] / r->spent);
    }
    printf("other %.0f%%\n", 100 * (1 - sum(r->timed.seconds) / r->spent));
}

static void print_text(const struct bench_options *o, const struct bench_report *b)
{
    printf("%s, %s, %d threads; sgemm %.1f GFLOP/s\n", b->processor, b->operations, b->threads,
           b->sgemm * 1e-9);
    printf("model %s: %.4g M parameters, opened in %.2f s; %d rows of %d tokens, %d decoded\n\n",
           o->model, b->parameters * 1e-6, b->start, (int)o->rows, (int)o->tokens, (int)o->decoded);
    printf("%-14s %9s %10s %9s %9s %9s\n", "work", "s", "tokens/s", "GFLOP/s", "of sgemm",
           "peak MiB");
    for (int i = 0; i < b->n; i++) {
        const struct bench_result *r = &b->result[i];
        if (*r->skipped) {
            printf("%-14s skipped: %s\n", r->name, r->skipped);
            continue;
        }
        printf("%-14s %9.3f %10.1f %9.1f %8.0f%% %9.0f\n", r->name, r->seconds,
               r->tokens / r->seconds, rate(r) * 1e-9, 100 * rate(r) / b->sgemm, r->peak * MIB);
        print_shares(r);
    }
}

static json_t *result_json(const struct bench_result *r, const struct bench_report *b,
                           int64_t repeat)
{
    json_t *j = json_pack("{s:s, s:s}", "name", r->name, "what", r->what);
    if (*r->skipped) {
        json_object_set_new(j, "skipped", json_string(r->skipped));
        return j;
    }
    json_t *share = json_object();
    for (int k = 0; k < TIMED_KINDS; k++)
        json_put_real(share, timed_name[k], r->timed.seconds[k] / r->spent);
    json_put_real(share, "other", 1 - sum(r->timed.seconds) / r->spent);
    json_put_real(j, "tokens", r->tokens);
    json_put_real(j, "seconds", r->seconds);
    json_put_real(j, "tokens_per_second", r->tokens / r->seconds);
    json_put_real(j, "flops", sum(r->timed.flops) / (double)repeat);
    json_put_real(j, "gflops", rate(r) * 1e-9);
    json_put_real(j, "of_sgemm", rate(r) / b->sgemm);
    json_put_real(j, "peak_bytes", r->peak);
    json_object_set_new(j, "share", share);
    return j;
}

static int print_json(const struct bench_options *o, const struct bench_report *b, struct err *e)
{
    json_t *list = json_array(), *j;
    for (int i = 0; i < b->n; i++)
        json_array_append_new(list, result_json(&b->result[i], b, o->repeat));
    j = json_pack("{s:s, s:s, s:i, s:s, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:o}", "processor",
                  b->processor, "operations", b->operations, "threads", b->threads, "model",
                  o->model, "parameters", b->parameters, "sgemm_gflops", b->sgemm * 1e-9,
                  "start_seconds", b->start, "rows", (json_int_t)o->rows, "tokens",
                  (json_int_t)o->tokens, "decoded", (json_int_t)o->decoded, "repeat",
                  (json_int_t)o->repeat, "work", list);
    const int rc = j ? command_print_json(j, JSON_LIKE_PYTHON, e) : err_no_memory(e, "JSON");
    json_decref(j);
    return rc;
}

static int run(const struct args *args, void *options, struct err *e)
{
    const struct options *o = options;
    static struct bench_report b;
    (void)args;
    if (bench_measure(&o->bench, &b, e))
        return -1;
    if (o->json)
        return print_json(&o->bench, &b, e);
    print_text(&o->bench, &b);
    return STATUS_DONE;
}

int cmd_bench(int argc, char **argv)
{
    struct options o;
    struct args a = {
        .command = "bench",
        .usage = "[options]",
        .about = about,
        .tables = {{"what to measure", bench_params, &o.bench}, {"output", params, &o}}};
    return args_run(&a, argc, argv, run, &o);
}
