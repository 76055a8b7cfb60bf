/* Which weights move: locators, and RMU's loop as the peer ran it with three matrices that move.
 * golden/loop has its losses, gradient norms (over all gradients), direction and final weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "locate/locators.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "optim/optims.h"
#include "tap.h"
#include "train/direction.h"
#include "train/loop.h"

enum {
    OU = COMPAT_MICRO_MEAN | COMPAT_PAD_EMBED_FROZEN | COMPAT_RMU_BXB | COMPAT_RMU_CLIP_ALL |
         COMPAT_RMU_DRAW,
    WIDTH = 24
};

static const char two_downs[] = "model\\.layers\\.(0|1)\\.mlp\\.down_proj\\.weight";
static const char one_down[] = "model\\.layers\\.1\\.mlp\\.down_proj\\.weight";

static const char *root; /* test/data */

/* A job on the rows of golden/loop: RMU after layer 1. */
struct bench {
    struct model m, ref;
    struct engine g;
    struct dataset sets[ROLE_COUNT];
    struct recipe r;
    struct order order;
    struct train_options o;
    float u[WIDTH];
};

static char *path_of(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    return p;
}

static void set(const struct param *table, void *obj, const char *name, const char *text)
{
    struct err e;
    BUG_ON(param_set_text(param_find(table, name), obj, text, &e));
}

static void read_role(struct bench *b, const struct tensor_file *f, enum role role)
{
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int *v[3];
    const struct tensor *t = NULL;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", role_name[role], parts[i]);
        BUG_ON(!(t = tensor_find(f, name)) || !(v[i] = tensor_ints(t, &e)));
    }
    BUG_ON(dataset_from_matrix(&b->sets[role], role, v[0], v[1], v[2], (int)t->shape[0],
                               (int)t->shape[1], false, &e));
    b->g.sets[role] = &b->sets[role];
    for (int i = 0; i < 3; i++)
        free(v[i]);
}

/* The rows that the peer took. Its stream of draws lost the direction's numbers after the second
 * micro-batch, so they are not those of order_draw. */
static void read_order(struct bench *b)
{
    struct err e;
    char path[512];
    int counts[ROLE_COUNT] = {
        [ROLE_FORGET] = b->sets[ROLE_FORGET].n, [ROLE_RETAIN] = b->sets[ROLE_RETAIN].n};
    json_t *log = json_read_file(path_of("loop/RMU.json"), &e), *micro;
    size_t i;
    snprintf(path, sizeof path, "%s/order.jsonl", test_dir());
    FILE *f = fopen(path, "w");
    BUG_ON(!log || !f);
    json_array_foreach(json_object_get(log, "micro"), i, micro)
    {
        json_object_del(micro, "epoch");
        json_object_del(micro, "loss");
        json_dumpf(micro, f, JSON_COMPACT);
        fputc('\n', f);
    }
    fclose(f);
    json_decref(log);
    BUG_ON(order_read(&b->order, path, counts, &e));
    b->order.per_epoch = (counts[ROLE_FORGET] + 1) / 2;
}

static void bench_open(struct bench *b, unsigned compat)
{
    struct err e;
    struct tensor_file f;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of("models/m_cur"), true, &e));
    BUG_ON(model_open(&b->ref, path_of("models/m_cur"), false, &e));
    engine_init(&b->g, &b->m);
    b->g.ref = &b->ref;
    b->g.compat = compat;
    b->g.direction = b->u;
    BUG_ON(tensor_file_open(&f, path_of("loop/rows.safetensors"), &e));
    read_role(b, &f, ROLE_FORGET);
    read_role(b, &f, ROLE_RETAIN);
    tensor_file_close(&f);
    BUG_ON(!(b->r.method = method_by_name("RMU", &e)));
    param_defaults(method_params, &b->r.p);
    BUG_ON(param_apply_presets(method_params, &b->r.p, b->r.method->presets, &e));
    BUG_ON(recipe_choose_terms(&b->r, &e));
    set(b->r.part[PART_FORGET].term->params, b->r.part[PART_FORGET].params, "module_regex",
        "model\\.layers\\.1");
    set(b->r.part[PART_RETAIN].term->params, b->r.part[PART_RETAIN].params, "layer", "1");
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
    param_defaults(train_params, &b->o);
    b->o.batch = b->o.accumulate = b->o.warmup_steps = 2;
    b->o.epochs = 3;
    b->o.lr = 1e-3;
    read_order(b);
    direction_draw(b->u, WIDTH, 0, &b->order, compat);
}

static void bench_close(struct bench *b)
{
    order_fini(&b->order);
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&b->sets[i]);
    recipe_fini(&b->r);
    engine_fini(&b->g);
    model_close(&b->m);
    model_close(&b->ref);
}

/* The weights whose names match. */
static int locate(struct bench *b, const char *regex, struct err *e)
{
    const struct locator *l = locator_by_name(regex ? "regex" : "all", e);
    void *params = mem_alloc(1, l->params_size, e);
    if (regex)
        set(l->params, params, "trainable_params_regex", regex);
    int rc = locate_weights(l, params, b->g.compat, &b->m, 0, e);
    free(params);
    return rc ? rc : engine_hold_unreached(&b->g, e);
}

static int train(struct bench *b, const char *name, struct train_report *rep, struct err *e)
{
    char out[512];
    void *adam = mem_alloc(1, optim_adamw.params_size, e);
    snprintf(out, sizeof out, "%s/%s", test_dir(), name);
    param_defaults(optim_adamw.params, adam);
    struct trainer t = {.engine = &b->g,
                        .optim = &optim_adamw,
                        .optim_params = adam,
                        .o = &b->o,
                        .order = &b->order,
                        .out = out,
                        .what = "test"};
    int rc = train_run(&t, rep, e);
    free(adam);
    return rc;
}

/* How many weights have other bits than before training, and how many of those match. */
static int moved(const struct bench *b, int *matching)
{
    int n = 0;
    *matching = 0;
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        if (!memcmp(b->m.own + w->offset, b->ref.w[i], w->count * sizeof(float)))
            continue;
        n++;
        *matching += w->slot == W_DOWN && w->layer < 2;
    }
    return n;
}

static float *read_f32(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    float *v = t ? tensor_f32(t, &e) : NULL;
    BUG_ON(!v);
    return v;
}

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static void check_log(const char *name, const json_t *want)
{
    char path[600], line[4096];
    int steps = 0;
    snprintf(path, sizeof path, "%s/%s/train.jsonl", test_dir(), name);
    FILE *f = fopen(path, "r");
    for (; f && fgets(line, sizeof line, f); steps++) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *step = json_array_get(json_object_get(want, "steps"), (size_t)steps);
        for (int k = 0; k < 2; k++) {
            size_t i = (size_t)(2 * steps + k);
            near(json_real_value(json_array_get(json_object_get(row, "micro"), (size_t)k)),
                 number(json_array_get(json_object_get(want, "micro"), i), "loss"), 1e-4, 0,
                 "RMU: loss of micro-batch %zu", i);
        }
        near(number(row, "grad_norm"), number(step, "grad_norm"), 1e-4, 0,
             "RMU: norm of all gradients in step %d", steps);
        near(number(row, "lr"), number(step, "lr"), 1e-6, 1e-12, "RMU: learning rate of step %d",
             steps);
        json_decref(row);
    }
    if (f)
        fclose(f);
    ok(steps == (int)json_array_size(json_object_get(want, "steps")), "RMU: %d steps", steps);
}

/* The peer's run, under its switches. */
static void check_loop(void)
{
    struct bench b;
    struct err e = {"it does"};
    struct train_report rep;
    struct tensor_file want;
    double off = 0;
    int matching;
    bench_open(&b, OU);
    BUG_ON(tensor_file_open(&want, path_of("loop/RMU_final.safetensors"), &e));
    float *u = read_f32(&want, "control_vec");
    for (int i = 0; i < WIDTH; i++)
        off = fmax(off, fabs(2 * (double)b.u[i] - (double)u[i]));
    near(off, 0, 0, 2e-7, "RMU: the direction is the peer's");
    free(u);
    ok(!locate(&b, two_downs, &e) && !train(&b, "peer", &rep, &e), "RMU: runs: %s", e.msg);
    json_t *log = json_read_file(path_of("loop/RMU.json"), &e);
    check_log("peer", log);
    json_decref(log);
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double worst = 0;
        snprintf(name, sizeof name, "final.%s", w->name);
        float *v = read_f32(&want, name);
        for (size_t k = 0; k < w->count; k++)
            worst = fmax(worst, fabs((double)b.m.own[w->offset + k] - (double)v[k]));
        near(worst, 0, 0, w->trainable ? 2e-5 : 0, "RMU: %s", name);
        free(v);
    }
    ok(moved(&b, &matching) == 2 && matching == 2, "RMU: the two that match moved, no other");
    tensor_file_close(&want);
    bench_close(&b);
}

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
    bench_open(&b, 0);
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
    bench_open(&b, 0);
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
    bench_open(&b, 0);
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
    bench_open(&b, 0);
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
    bench_open(&b, 0);
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
    bench_open(&b, 0);
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
    bench_open(&b, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set(b.r.part[PART_FORGET].term->params, b.r.part[PART_FORGET].params, "module_regex",
            rows[i].regex);
        ok(b.r.part[PART_FORGET].term->layer(b.r.part[PART_FORGET].params) == rows[i].layer,
           "module_regex '%s': layer %d", rows[i].regex, rows[i].layer);
        ok(recipe_bind(&b.r, &b.g, &e) && strstr(e.msg, "give --layer 0 to 2"), "%s", e.msg);
    }
    bench_close(&b);
}

static void check_direction(void)
{
    struct bench b;
    float u[WIDTH], zero[WIDTH] = {0};
    bench_open(&b, 0);
    double sum = 0;
    for (int i = 0; i < WIDTH; i++)
        sum += (double)b.u[i] * (double)b.u[i];
    near(sum, 1, 1e-6, 0, "the direction has length 1");
    direction_draw(u, WIDTH, 0, &b.order, 0);
    ok(!memcmp(u, b.u, sizeof u), "the same seed gives the same direction");
    direction_draw(u, WIDTH, 1, &b.order, 0);
    ok(memcmp(u, b.u, sizeof u), "another seed another one");
    ok(direction_normalise(zero, WIDTH), "zero has no direction");
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_loop();
    check_stop();
    check_default();
    check_regex();
    check_memory();
    check_place();
    check_direction();
    free(dir);
    return done();
}
