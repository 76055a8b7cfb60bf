/* The training loop against the peer's, and what must hold without any reference: resume,
 * accumulation, refusal of NaN. */
#include <sys/stat.h>

#include "base/json.h"
#include "job.h"

static volatile sig_atomic_t stop;
static long stop_at = -1; /* the step in which the flag is set, after half of its passes */

static int in_halves(const void *params, struct gradient *g, struct err *e)
{
    (void)params;
    if (gradient_add(g, GOAL_BIT(GOAL_FORGET), e))
        return -1;
    if (g->step == stop_at)
        stop = 1;
    return gradient_add(g, GOAL_BIT(GOAL_RETAIN), e);
}

static double model_bytes;

static const struct wrapper halves = {.name = "halves", .gradient = in_halves};

/* The loop on the rows of golden/loop; out: a fresh directory under the scratch one. */
static int run_loop(struct bench *b, const struct train_options *o, const char *name,
                    struct train_report *rep, const struct wrapper *wrapper, struct err *e)
{
    static char out[512];
    void *adam = mem_alloc(1, optim_adamw.params_size, e);
    int counts[ROLE_COUNT] = {
        [ROLE_FORGET] = b->sets[ROLE_FORGET].n, [ROLE_RETAIN] = b->sets[ROLE_RETAIN].n};
    snprintf(out, sizeof out, "%s/%s", test_dir(), name);
    param_defaults(optim_adamw.params, adam);
    order_fini(&b->order);
    struct order shape = {.per_epoch = (int)((counts[ROLE_FORGET] + o->batch - 1) / o->batch)};
    BUG_ON(order_draw(&b->order, counts, ROLE_FORGET, NULL, (int)o->batch,
                      train_order_epochs(o, &shape), (unsigned)o->seed, 0, e));
    struct trainer t = {.engine = &b->g,
                        .optim = {&optim_adamw, adam},
                        .o = o,
                        .order = &b->order,
                        .out = out,
                        .what = "test",
                        .wrapper = {wrapper, NULL},
                        .model_bytes = model_bytes,
                        .stop = &stop};
    int rc = train_run(&t, rep, e);
    free(adam);
    return rc;
}

static void open_loop(struct bench *b, unsigned compat)
{
    struct err e;
    struct tensor_file f;
    bench_open(b, "m_cur", "m_cur", "GradDiff", "NLL", 1, compat);
    BUG_ON(tensor_file_open(&f, path_of("loop/", "rows.safetensors"), &e));
    bench_read(b, &f, "", ROLE_FORGET, false);
    bench_read(b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
}

static struct train_options loop_options(void)
{
    struct train_options o;
    param_defaults(train_params, &o);
    o.batch = 2;
    o.accumulate = 2;
    o.epochs = 3;
    o.lr = 1e-3;
    o.warmup_steps = 2;
    return o;
}

static void check_loop(void)
{
    struct bench b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    struct tensor_file want;
    open_loop(&b, OU);
    json_t *log = json_read_file(path_of("loop/", "GradDiff.json"), &e);
    ok(!run_loop(&b, &o, "loop", &rep, NULL, &e), "loop: runs");
    char path[600];
    snprintf(path, sizeof path, "%s/loop/train.jsonl", test_dir());
    FILE *f = fopen(path, "r");
    const json_t *micro = json_object_get(log, "micro"), *steps = json_object_get(log, "steps");
    ok(rep.steps == (long)json_array_size(steps), "loop: %ld steps as the peer's", rep.steps);
    char line[4096];
    for (size_t s = 0; f && fgets(line, sizeof line, f); s++) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *mine = json_object_get(row, "micro"), *step = json_array_get(steps, s);
        for (size_t k = 0; k < 2; k++)
            near(json_real_value(json_array_get(mine, k)),
                 json_number_value(json_object_get(json_array_get(micro, 2 * s + k), "loss")), 1e-4,
                 0, "loop: loss of micro-batch %zu", 2 * s + k);
        near(json_real_value(json_object_get(row, "grad_norm")),
             json_number_value(json_object_get(step, "grad_norm")), 1e-4, 0,
             "loop: gradient norm of step %zu", s);
        near(json_real_value(json_object_get(row, "lr")),
             json_number_value(json_object_get(step, "lr")), 1e-6, 1e-12,
             "loop: learning rate of step %zu", s);
        json_decref(row);
    }
    if (f)
        fclose(f);
    BUG_ON(tensor_file_open(&want, path_of("loop/", "GradDiff_final.safetensors"), &e));
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double top;
        snprintf(name, sizeof name, "final.%s", w->name);
        float *v = read_f32(&want, name);
        /* Where a gradient cancels to rounding noise, Adam's m/sqrt(v) is noise of order one: such
         * an entry may move by a step of its own (here: row 69, column 9 of the embedding, |g| 2e-8
         * of the clipped norm). */
        size_t off = 0;
        for (size_t k = 0; k < w->count; k++)
            off += !(fabs((double)b.m.own[w->offset + k] - (double)v[k]) <= 2e-5);
        ok(off <= w->count / 1000, "loop: %s: %zu of %zu entries off by more than 2e-5", name, off,
           w->count);
        near(worst_of(b.m.own + w->offset, v, w->count, &top), 0, 0, 3e-4, "loop: %s", name);
        free(v);
    }
    tensor_file_close(&want);
    json_decref(log);
    bench_close(&b);
}

/* Stopped within a step, or before the first one, and resumed, the weights are those of never
 * having stopped, bit for bit. */
static void check_resume(long at)
{
    struct bench a, b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    open_loop(&a, 0);
    BUG_ON(run_loop(&a, &o, "through", &rep, &halves, &e));
    const double tokens = a.g.tokens.trained[ROLE_FORGET];
    open_loop(&b, 0);
    stop_at = at;
    stop = at < 0;
    ok(!run_loop(&b, &o, "stopped", &rep, &halves, &e) && rep.interrupted &&
           rep.steps == (at < 0 ? 0 : at),
       "interrupt: gives up step %ld and saves", at);
    const double before = b.g.tokens.trained[ROLE_FORGET];
    bench_close(&b);
    open_loop(&b, 0);
    o.resume = true;
    stop_at = -1;
    stop = 0;
    ok(!run_loop(&b, &o, "stopped", &rep, &halves, &e) && rep.steps == 6 - (at < 0 ? 0 : at),
       "resume: runs the other steps");
    ok(!memcmp(a.m.own, b.m.own, a.m.table.total * sizeof(float)),
       "resume: the same bits as not stopping");
    near(before + b.g.tokens.trained[ROLE_FORGET], tokens, 0, 0, "resume: and as many tokens");
    ok(run_loop(&b, &o, "nothing", &rep, NULL, &e) && strstr(e.msg, "cannot resume"),
       "resume without a checkpoint is refused: %s", e.msg);
    bench_close(&a);
    bench_close(&b);
}

/* A model for which the disk has no room is refused before the first step; a run of which only the
 * checkpoint has none is warned of. */
static void check_disk(void)
{
    struct bench b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    open_loop(&b, 0);
    model_bytes = 1e18;
    ok(run_loop(&b, &o, "full", &rep, NULL, &e) &&
           strstr(e.msg, "the model needs about 953674316406 MiB on the disk of"),
       "disk: %s", e.msg);
    o.save_every = 1;
    ok(run_loop(&b, &o, "full", &rep, NULL, &e) && strstr(e.msg, "the model and the checkpoints"),
       "disk: %s", e.msg);
    model_bytes = 0;
    ok(!run_loop(&b, &o, "full", &rep, NULL, &e), "disk: there is room for this one");
    bench_close(&b);
}

/* More micro-batches to a step than an epoch has: one step an epoch, of what it has. */
static void check_short_steps(void)
{
    struct bench a, b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    open_loop(&a, 0);
    const int64_t rows = a.sets[ROLE_FORGET].n;
    o.accumulate = (rows + o.batch - 1) / o.batch;
    BUG_ON(run_loop(&a, &o, "whole", &rep, NULL, &e));
    const long steps = rep.steps, tokens = rep.tokens;
    open_loop(&b, 0);
    o.accumulate = 1000;
    ok(!run_loop(&b, &o, "short", &rep, NULL, &e) && rep.steps == steps && rep.tokens == tokens,
       "%ld steps of %ld tokens, as with %d", rep.steps, rep.tokens, a.order.per_epoch);
    ok(!memcmp(a.m.own, b.m.own, a.m.table.total * sizeof(float)), "and the same bits");
    bench_close(&a);
    bench_close(&b);
}

/* Without micro_mean a step does not depend on how it is cut: 2 x 2 rows give what 1 x 4 rows give.
 */
static void check_accumulation(void)
{
    struct bench b;
    struct err e;
    float *grads[2];
    for (int way = 0; way < 2; way++) {
        static int rows[2][2][2] = {{{3, 1}, {0, 5}}, {{4, 2}, {7, 7}}};
        static int all[2][4] = {{3, 1, 4, 2}, {0, 5, 7, 7}};
        struct micro mb[2] = {{{0}, {0}}, {{0}, {0}}};
        open_loop(&b, 0);
        for (int r = 0; r < 2; r++)
            for (int k = 0; k < 2; k++) {
                mb[k].rows[r] = way ? all[r] : rows[k][r];
                mb[k].n[r] = way ? 4 : 2;
            }
        struct order o = {.micro = mb, .n = way ? 1 : 2, .per_epoch = 1};
        struct norm norm;
        struct micro_result res;
        engine_count(&b.g, &o, 0, o.n, &norm);
        for (int k = 0; k < o.n; k++)
            BUG_ON(engine_micro(&b.g, &mb[k], &norm, &res, &e));
        grads[way] = mem_alloc(b.m.table.total, sizeof(float), &e);
        memcpy(grads[way], b.g.grads, b.m.table.total * sizeof(float));
        if (way) {
            double top, d = worst_of(grads[0], grads[1], b.m.table.total, &top);
            near(d, 0, 0, 2e-6 * top, "accumulation: 2 x 2 rows give the gradient of 1 x 4");
        }
        bench_close(&b);
    }
    free(grads[0]);
    free(grads[1]);
}

static void check_divergence(void)
{
    struct bench b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    struct stat st;
    char path[600];
    open_loop(&b, 0);
    b.m.own[b.m.table.v[weight_index(&b.m.table, W_DOWN, 1)].offset] = NAN;
    ok(run_loop(&b, &o, "nan", &rep, NULL, &e) && strstr(e.msg, "diverged"), "NaN: %s", e.msg);
    snprintf(path, sizeof path, "%s/nan/checkpoint.safetensors", test_dir());
    ok(!stat(path, &st), "NaN: the last good state is kept");
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_loop();
    check_resume(-1);
    check_resume(2);
    check_short_steps();
    check_disk();
    check_accumulation();
    check_divergence();
    free(dir);
    return done();
}
