/* Which weights move: locators, where the backward pass stops, RMU's layer and direction. */
#include "rmu.h"

static const char one_down[] = "model\\.layers\\.1\\.mlp\\.down_proj\\.weight";

/* Gradients of the first micro-batch. */
static float *gradients(struct bench *b)
{
    struct err e;
    struct norm norm;
    struct micro_result res;
    engine_count(&b->g, &b->order, 0, 1, &norm);
    engine_zero_grads(&b->g);
    BUG_ON(engine_micro(&b->g, &b->order.micro[0], &norm, &res, &e));
    float *copy = mem_alloc(b->m.table.grads, sizeof *copy, &e);
    return memcpy(copy, b->g.grads, b->m.table.grads * sizeof *copy);
}

/* The backward that stops at layer 1 has the bits of the one that goes down to the embedding. */
static void check_stop(void)
{
    struct bench b;
    struct err e;
    rmu_open(&b, 0);
    float *all = gradients(&b);
    ok(!locate(&b, one_down, &e), "one matrix of layer 1");
    float *one = gradients(&b);
    const struct weight *down = &b.m.table.v[weight_index(&b.m.table, W_DOWN, 1)];
    ok(!memcmp(one + down->at, all + down->offset, down->count * sizeof(float)),
       "stopping at the lowest layer that moves changes no bit of its gradient");
    bool some = true;
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        double sum = b.m.ops->dot(all + w->offset, all + w->offset, w->count);
        some &= (w->slot == W_EMBED || (w->layer >= 0 && w->layer < 2)) == (sum > 0);
    }
    ok(b.m.table.grads - down->count < 16 && b.m.table.moving == b.m.table.grads,
       "there is room for its gradient and state, and for no other");
    ok(some, "without a locator those of the embedding and of layers 0 and 1 are");
    free(all);
    free(one);
    bench_close(&b);
}

/* By default the norm is of what moves, and what no gradient reaches is not decayed either. */
static void check_default(void)
{
    struct bench b;
    struct err e;
    struct train_report rep;
    int matching;
    rmu_open(&b, 0);
    b.o.accumulate = b.o.max_steps = 1;
    b.o.warmup_steps = 0;
    BUG_ON(locate(&b, two_downs, &e) || train(&b, "default", &rep, &e));
    double sum = 0;
    for (int l = 0; l < 2; l++) {
        const struct weight *w = &b.m.table.v[weight_index(&b.m.table, W_DOWN, l)];
        sum += b.m.ops->dot(b.g.grads + w->at, b.g.grads + w->at, w->count);
    }
    near(rep.grad_norm, sqrt(sum), 1e-12, 0, "the gradient norm is that of the weights that move");
    ok(moved(&b, &matching) == 2 && matching == 2, "and they alone moved");
    bench_close(&b);
    rmu_open(&b, 0);
    BUG_ON(locate(&b, NULL, &e) || train(&b, "all", &rep, &e));
    ok(moved(&b, &matching) == 1 + 2 * 9, "all: the embedding and two layers moved, none above");
    bench_close(&b);
}

static void check_regex(void)
{
    static const struct {
        const char *regex;
        int n;
    } rows[] = {{".*", 30},
                {"model.layers.*", 27},
                {"model\\.layers\\.[12]\\..*proj\\.weight", 14},
                {"(?i)LM_HEAD\\.weight", 1}};
    struct bench b;
    struct err e;
    rmu_open(&b, 0);
    b.g.n_obj = 0; /* so that nothing is held because no gradient reaches it */
    BUG_ON(engine_add(
        &b.g,
        &(struct objective){.term = term_by_name("nll", &e), .role = {ROLE_RETAIN}, .weight = 1},
        &e));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int n = 0, rc = locate(&b, rows[i].regex, &e);
        for (int k = 0; k < b.m.table.n; k++)
            n += b.m.table.v[k].trainable;
        ok(!rc && n == rows[i].n, "'%s' matches %d of 30 names", rows[i].regex, n);
    }
    ok(locate(&b, "model", &e) && strstr(e.msg, "matches no parameter name in full"), "%s", e.msg);
    ok(locate(&b, "weight", &e) && strstr(e.msg, "matches no parameter name in full"), "%s", e.msg);
    ok(locate(&b, "(", &e) && strstr(e.msg, "'(': missing"), "%s", e.msg);
    ok(!locator_by_name("regexp", &e) && strstr(e.msg, "regexp"), "%s", e.msg);
    bench_close(&b);
    rmu_open(&b, 0);
    ok(locate(&b, "model\\.layers\\.2\\..*", &e) && strstr(e.msg, "after layer 1"), "%s", e.msg);
    bench_close(&b);
}

/* Any allocation may fail: of the pattern, of its match, of a term's step. */
static void check_memory(void)
{
    struct bench b;
    struct err e;
    struct norm norm;
    struct micro_result res;
    const struct locator *l = &locator_regex;
    rmu_open(&b, 0);
    void *params = mem_alloc(1, l->params_size, &e);
    set(l->params, params, "trainable_params_regex", "(.*)down(.*)|(a|b)+c");
    for (int way = 0; way < 2; way++) {
        long failed = 0;
        for (bool done = false; !done; failed += !done) {
            snprintf(e.msg, sizeof e.msg, "nothing");
            mem_fail_at(failed);
            arena_fini(&b.g.arena);
            engine_count(&b.g, &b.order, 0, 1, &norm);
            done = way ? !engine_micro(&b.g, &b.order.micro[0], &norm, &res, &e)
                       : !locate_weights(l, params, 0, &b.m, 0, &e);
            mem_fail_at(-1);
            if (!done && !strstr(e.msg, "memory"))
                ok(false, "allocation %ld: %s", failed, e.msg);
        }
        ok(failed > 2, "each of %ld failed allocations is an error", failed);
    }
    free(params);
    bench_close(&b);
}

static void check_place(void)
{
    static const struct {
        const char *regex;
        int layer;
    } rows[] = {{"model\\.layers\\.7", 7},
                {"layers.(12)", 12},
                {"model\\.layers\\.(5|6)", -1},
                {"model", -1},
                {"99999999999999999999", -1}};
    struct bench b;
    struct err e;
    rmu_open(&b, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set(choice_params(&b.r.part[PART_FORGET]), b.r.part[PART_FORGET].params, "module_regex",
            rows[i].regex);
        ok(recipe_term(&b.r, PART_FORGET)->hidden.layer(b.r.part[PART_FORGET].params) ==
               rows[i].layer,
           "module_regex '%s': layer %d", rows[i].regex, rows[i].layer);
        ok(recipe_bind(&b.r, &b.g, &e) && !strcmp(e.subject, "layer") && !strcmp(e.range, "0 to 2"),
           "%s", e.msg);
    }
    bench_close(&b);
}

static void check_direction(void)
{
    struct bench b;
    float u[WIDTH], zero[WIDTH] = {0};
    rmu_open(&b, 0);
    double sum = 0;
    for (int i = 0; i < WIDTH; i++)
        sum += (double)b.u[i] * (double)b.u[i];
    near(sum, 1, 1e-6, 0, "the direction has length 1");
    direction_draw(u, WIDTH, 0, NULL);
    ok(!memcmp(u, b.u, sizeof u), "the same seed gives the same direction");
    direction_draw(u, WIDTH, 1, NULL);
    ok(memcmp(u, b.u, sizeof u), "another seed another one");
    ok(direction_normalise(zero, WIDTH), "zero has no direction");
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_stop();
    check_default();
    check_regex();
    check_memory();
    check_place();
    check_direction();
    free(dir);
    return done();
}
