/* Weights that move with the run: a run beside a plain loop that knows only what each term weighs
 * in each step, and the same run stopped after every step. */
#include "base/json.h"
#include "base/log.h"
#include "job.h"

enum { EPOCHS = 5 };

/* Written from the papers once more, apart from the program's: what the forget term (0) and the
 * retain term (1) weigh in step t of T, epoch e. */
static double want(const char *how, int term, double t, double total, int e)
{
    if (!strcmp(how, "turns"))
        return term != (e == 0 || e == 2);
    if (!strcmp(how, "epoch"))
        return term ? e / (double)EPOCHS : 1;
    return term ? t / (2 * total) : 1 - t / (2 * total);
}

/* GradDiff with odd weights, on an order that holds rows of both roles in every micro-batch. */
static void open_job(struct bench *b, const char *how)
{
    struct err e;
    struct tensor_file f;
    bench_open(b, "m_cur", "m_cur", "GradDiff", "NLL", 0.7, 0);
    BUG_ON(tensor_file_open(&f, path_of("loop/", "rows.safetensors"), &e));
    bench_read(b, &f, "", ROLE_FORGET, false);
    bench_read(b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
    b->r.p.gamma = 0.9;
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
    const int counts[ROLE_COUNT] = {
        [ROLE_FORGET] = b->sets[ROLE_FORGET].n, [ROLE_RETAIN] = b->sets[ROLE_RETAIN].n};
    BUG_ON(order_draw(&b->order, counts, ROLE_FORGET, NULL, 4, EPOCHS, 3, 0, &e));
    b->order.turns = strcmp(how, "turns") ? 0 : 2;
    b->order.per_turn = b->order.per_epoch;
}

static struct train_options loop_options(void)
{
    struct train_options o;
    param_defaults(train_params, &o);
    o.batch = 4;
    o.lr = 1e-3;
    o.schedule = "constant";
    o.clip = 0.5;
    return o;
}

static void *adam_params(void)
{
    struct err e;
    void *adam = mem_alloc(1, optim_adamw.params_size, &e);
    param_defaults(optim_adamw.params, adam);
    return adam;
}

static volatile sig_atomic_t stop;

/* AdamW that stops the run once its step is made; a flag that is set earlier gives up the step. */
static void step_and_stop(const void *params, const struct optim_step *s,
                          const struct optim_span *x)
{
    optim_adamw.step(params, s, x);
    stop = 1;
}

static int run(struct bench *b, const char *how, const struct train_options *o, bool stops,
               struct train_report *rep)
{
    struct err e;
    struct optim one_step = optim_adamw;
    one_step.step = step_and_stop;
    stop = 0;
    void *adam = adam_params();
    const struct weighting_options w = {.term_weights = how, .msteps = 2};
    struct trainer t = {.engine = &b->g,
                        .optim = {stops ? &one_step : &optim_adamw, adam},
                        .weighting = weighting_of(&w),
                        .o = o,
                        .order = &b->order,
                        .out = test_dir(),
                        .what = "test",
                        .stop = &stop};
    int rc = train_run(&t, rep, &e);
    free(adam);
    return rc;
}

/* AdamW on the gradient in the engine, clipped. */
static void update(struct bench *b, const struct train_options *o, const void *adam, float **state,
                   long step)
{
    double sum = 0;
    for (int i = 0; i < b->m.table.n; i++) {
        const float *g = b->g.grads + b->m.table.v[i].at;
        sum += b->m.ops->dot(g, g, b->m.table.v[i].count);
    }
    const struct optim_step s = {.ops = b->m.ops,
                                 .table = &b->m.table,
                                 .w = b->m.own,
                                 .state = state,
                                 .grad = b->g.grads,
                                 .grad_scale = (float)fmin(1, o->clip / (sqrt(sum) + 1e-6)),
                                 .lr = o->lr,
                                 .weight_decay = o->weight_decay,
                                 .step = step + 1};
    optim_apply(&optim_adamw, adam, &s);
}

static void plain_loop(struct bench *b, const char *how, const struct train_options *o)
{
    struct err e;
    void *adam = adam_params();
    float *state[2];
    for (int k = 0; k < 2; k++)
        state[k] = mem_alloc(b->m.table.total, sizeof(float), &e);
    const double base[] = {b->g.obj[0].weight, b->g.obj[1].weight};
    for (int t = 0; t < b->order.n; t++) {
        struct norm norm;
        struct micro_result res;
        for (int k = 0; k < 2; k++)
            b->g.obj[k].weight = base[k] * want(how, k, t, b->order.n, t / b->order.per_epoch);
        engine_zero_grads(&b->g);
        engine_count(&b->g, &b->order, t, 1, &norm);
        BUG_ON(engine_micro(&b->g, &b->order.micro[t], &norm, &res, &e));
        update(b, o, adam, state, t);
    }
    free(state[0]);
    free(state[1]);
    free(adam);
}

/* The log has what the terms weighed. */
static void check_log(const char *how, const struct bench *b)
{
    char line[2048], path[600];
    int t = 0, off = 0;
    snprintf(path, sizeof path, "%s/train.jsonl", test_dir());
    FILE *f = fopen(path, "r");
    for (; f && fgets(line, sizeof line, f); t++) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *w = json_object_get(row, "weights"), *terms = json_object_get(row, "terms");
        const char *const names[] = {"forget.ascent", "retain.nll"};
        for (int k = 0; k < 2; k++) {
            double is = want(how, k, t, b->order.n, t / b->order.per_epoch) * (k ? 0.7 : 0.9);
            off += !(fabs(json_number_value(json_object_get(w, names[k])) - is) < 1e-9);
            off += (json_object_get(terms, names[k]) != NULL) != (is != 0);
        }
        json_decref(row);
    }
    if (f)
        fclose(f);
    ok(t == b->order.n && off == 0, "%s: %d lines have the weights, and losses of what has one",
       how, t);
}

static void check(const char *how)
{
    struct bench plain, through;
    struct train_options o = loop_options();
    struct train_report rep;
    open_job(&plain, how);
    open_job(&through, how);
    plain_loop(&plain, how, &o);
    const size_t bytes = plain.m.table.total * sizeof(float);
    ok(!run(&through, how, &o, false, &rep), "%s: runs", how);
    ok(!memcmp(plain.m.own, through.m.own, bytes), "%s: %ld steps have the bits of a plain loop",
       how, rep.steps);
    check_log(how, &through);
    for (int t = 0; t < through.order.n; t++) {
        struct bench one;
        open_job(&one, how);
        o.resume = t > 0;
        BUG_ON(run(&one, how, &o, true, &rep) || rep.steps != 1);
        if (t + 1 == through.order.n)
            ok(!memcmp(one.m.own, through.m.own, bytes), "%s: and so if stopped after every step",
               how);
        bench_close(&one);
    }
    check_log(how, &through);
    bench_close(&plain);
    bench_close(&through);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    log_set_quiet(true);
    check("turns");
    check("epoch");
    check("breaker");
    free(dir);
    return done();
}
