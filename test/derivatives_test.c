/* Derivatives over data sets against autograd in f64 (tools/make_derivatives_golden.py), and what a
 * mask must keep, under every optimiser and wrapper. */
#include "job.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "train/derivatives.h"
#include "train/mask.h"

static const char *const kept[] = {"model.layers.1.self_attn.q_proj.weight",
                                   "model.layers.0.mlp.down_proj.weight",
                                   "model.layers.2.input_layernorm.weight", "lm_head.weight"};
enum { KEPT = sizeof kept / sizeof *kept };

static struct tensor_file golden;
static int rows[64];

static struct data_rows rows_of(const struct bench *b, enum role role, int batch)
{
    return (struct data_rows){role, rows, b->sets[role].n, batch};
}

/* The kept weights of a vector by weight.at, to `bound` of the largest entry; and its norm. */
static void compare(const struct bench *b, const char *name, const float *got, double bound)
{
    const struct model *m = &b->m;
    char key[128];
    double sum = 0;
    for (int i = 0; i < m->table.n; i++)
        sum += m->ops->dot(got + m->table.v[i].at, got + m->table.v[i].at, m->table.v[i].count);
    snprintf(key, sizeof key, "%s.norm", name);
    near(sqrt(sum), read_value(&golden, key, 0), bound, 0, "%s: its norm", name);
    for (int k = 0; k < KEPT; k++) {
        const struct weight *w = &m->table.v[weight_by_name(&m->table, kept[k])];
        double top;
        snprintf(key, sizeof key, "%s.%s", name, kept[k]);
        float *want = read_f32(&golden, key);
        double off = worst_of(got + w->at, want, w->count, &top);
        near(off, 0, 0, bound * top, "%s", key);
        free(want);
    }
}

/* The kept weights together, by relative L2: differences of gradients round each entry alike. */
static void compare_l2(const struct bench *b, const char *name, const float *got, double bound)
{
    double diff = 0, sum = 0;
    for (int k = 0; k < KEPT; k++) {
        const struct weight *w = &b->m.table.v[weight_by_name(&b->m.table, kept[k])];
        char key[128];
        snprintf(key, sizeof key, "%s.%s", name, kept[k]);
        float *want = read_f32(&golden, key);
        for (size_t i = 0; i < w->count; i++) {
            double d = (double)got[w->at + i] - (double)want[i];
            diff += d * d;
            sum += (double)want[i] * (double)want[i];
        }
        free(want);
    }
    near(sqrt(diff / sum), 0, 0, bound, "%s: relative L2 distance", name);
}

static float *vector(const struct bench *b)
{
    struct err e;
    float *v = mem_alloc(b->m.table.grads, sizeof *v, &e);
    BUG_ON(!v);
    return v;
}

static void check_gradients(void)
{
    struct bench b;
    struct err e;
    double loss, again;
    bench_nlls(&b, 1);
    float *g = vector(&b), *h = vector(&b);
    struct data_rows forget = rows_of(&b, ROLE_FORGET, 4), retain = rows_of(&b, ROLE_RETAIN, 13);
    ok(!derivative_gradient(&b.g, GOAL_BIT(GOAL_FORGET), &forget, g, &loss, &e), "a gradient");
    compare(&b, "grad_forget", g, 1e-4);
    forget.batch = 1;
    derivative_gradient(&b.g, GOAL_BIT(GOAL_FORGET), &forget, h, &again, &e);
    double top, off = worst_of(g, h, b.m.table.grads, &top);
    near(off, 0, 0, 1e-5 * top, "rows one by one give the same");
    near(again, loss, 1e-6, 0, "and the same loss");
    derivative_gradient(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, g, &loss, &e);
    compare(&b, "grad_retain", g, 1e-4);
    forget.n = 0;
    ok(derivative_gradient(&b.g, GOAL_BIT(GOAL_FORGET), &forget, g, &loss, &e) &&
           strstr(e.msg, "no rows"),
       "no rows are refused");
    free(g);
    free(h);
    bench_close(&b);
}

/* v_i = sin(i + 1), i the number of the entry in the reference's order. */
static void fill_sine(const struct bench *b, float *v)
{
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        char key[128];
        struct err e;
        snprintf(key, sizeof key, "offset.%s", w->name);
        int *offset = tensor_ints(tensor_find(&golden, key), &e);
        for (size_t k = 0; k < w->count; k++)
            v[w->at + k] = (float)sin((double)*offset + (double)k + 1);
        free(offset);
    }
}

static void check_hessian(void)
{
    struct bench b;
    struct err e;
    double loss;
    bench_nlls(&b, 1);
    float *v = vector(&b), *g = vector(&b), *hv = vector(&b);
    float *before = vector(&b);
    struct data_rows forget = rows_of(&b, ROLE_FORGET, 16), retain = rows_of(&b, ROLE_RETAIN, 16);
    fill_sine(&b, v);
    memcpy(before, b.m.own, b.m.table.total * sizeof *before);
    ok(!derivative_hvp(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, v, 0, hv, &e), "H v");
    compare_l2(&b, "Hv", hv, 1e-3);
    derivative_gradient(&b.g, GOAL_BIT(GOAL_FORGET), &forget, g, &loss, &e);
    ok(!derivative_hvp(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, g, 0, hv, &e), "H g");
    compare_l2(&b, "Hg", hv, 1e-3);
    ok(!memcmp(before, b.m.own, b.m.table.total * sizeof *before), "the weights have their bits");
    memset(v, 0, b.m.table.grads * sizeof *v);
    derivative_hvp(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, v, 0, hv, &e);
    ok(!memcmp(v, hv, b.m.table.grads * sizeof *v), "H 0 = 0");
    free(v);
    free(g);
    free(hv);
    free(before);
    bench_close(&b);
}

static double sum_of(const struct bench *b, const float *v)
{
    double sum = 0;
    for (size_t k = 0; k < b->m.table.grads; k++)
        sum += (double)v[k];
    return sum;
}

static void check_fisher(void)
{
    struct bench b;
    struct err e;
    enum { DRAWS = 40 };
    bench_nlls(&b, 1);
    float *f = vector(&b), *one = vector(&b);
    struct data_rows forget = rows_of(&b, ROLE_FORGET, 1), retain = rows_of(&b, ROLE_RETAIN, 1);
    ok(!derivative_fisher(&b.g, GOAL_BIT(GOAL_FORGET), &forget, FISHER_EMPIRICAL, 1, 0, f, &e),
       "empirical Fisher");
    compare(&b, "rows_forget", f, 1e-4);
    near(sum_of(&b, f), read_value(&golden, "rows_forget.sum", 0), 1e-4, 0, "its trace");
    ok(!derivative_fisher(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, FISHER_SAMPLED, DRAWS, 1, f, &e),
       "sampled Fisher");
    /* The estimate of the trace has a relative deviation of about 1/sqrt(draws * tokens). */
    near(sum_of(&b, f), read_value(&golden, "gn_diag_retain.sum", 0), 0.05, 0,
         "its trace is the Gauss-Newton matrix's");
    for (int k = 0; k < 2; k++)
        derivative_fisher(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, FISHER_SAMPLED, 2, 1, k ? one : f,
                          &e);
    ok(!memcmp(f, one, b.m.table.grads * sizeof *f), "the same seed draws the same");
    free(f);
    free(one);
    bench_close(&b);
}

/* The reference's mask, bit by entry in its order, as one by weight.offset; owned by the caller. */
static uint64_t *read_mask(const struct bench *b)
{
    struct err e;
    const struct weight_table *t = &b->m.table;
    uint64_t *bits = mem_alloc(mask_words(t), sizeof *bits, &e);
    int *words = tensor_ints(tensor_find(&golden, "mask"), &e);
    for (int i = 0; i < t->n; i++) {
        char key[128];
        snprintf(key, sizeof key, "offset.%s", t->v[i].name);
        int *offset = tensor_ints(tensor_find(&golden, key), &e);
        for (size_t k = 0; k < t->v[i].count; k++) {
            size_t from = (size_t)*offset + k, to = t->v[i].offset + k;
            if ((unsigned)words[from / 32] >> from % 32 & 1)
                bits[to / 64] |= (uint64_t)1 << to % 64;
        }
        free(offset);
    }
    free(words);
    return bits;
}

/* Five steps on both sets whole, as the golden ones: mask, then clip to 1, decay gated. */
static void check_masked_steps(void)
{
    struct bench b;
    struct err e;
    struct micro mb;
    double micro[1];
    float *state[2];
    bench_nlls(&b, -1);
    uint64_t *bits = read_mask(&b);
    ok(!mask_apply(&b.m, bits, &e), "a mask");
    for (int k = 0; k < 2; k++)
        state[k] = mem_alloc(b.m.table.moving, sizeof(float), &e);
    void *adam = mem_alloc(1, optim_adamw.params_size, &e);
    param_defaults(optim_adamw.params, adam);
    whole(&b, &mb);
    struct order o = {.micro = &mb, .n = 1, .per_epoch = 1};
    struct gradient g = {.engine = &b.g, .order = &o, .micro = micro};
    for (long step = 0; step < 5; step++) {
        gradient_start(&g, 0, 1, 1);
        BUG_ON(gradient_add(&g, GOALS_METHOD, &e));
        double norm = gradient_norm(&g);
        near(gradient_loss(&g), read_value(&golden, "gated.loss", (int)step), 1e-4, 0,
             "loss of step %ld", step);
        near(norm, read_value(&golden, "gated.norm_masked", (int)step), 1e-4, 0,
             "norm of what moves");
        double scale = 1 / (norm + 1e-6);
        struct optim_step s = {.ops = b.m.ops,
                               .table = &b.m.table,
                               .w = b.m.own,
                               .state = state,
                               .grad = b.g.grads,
                               .grad_scale = (float)(scale < 1 ? scale : 1),
                               .lr = 1e-3,
                               .weight_decay = 0.1,
                               .step = step + 1};
        optim_apply(&optim_adamw, adam, &s);
    }
    for (int k = 0; k < KEPT; k++) {
        const struct weight *w = &b.m.table.v[weight_by_name(&b.m.table, kept[k])];
        char key[128];
        double top;
        snprintf(key, sizeof key, "gated.%s", kept[k]);
        float *want = read_f32(&golden, key);
        near(worst_of(b.m.own + w->offset, want, w->count, &top), 0, 0, 2e-5, "%s", key);
        free(want);
    }
    arena_fini(&g.kept);
    free(bits);
    free(adam);
    free(state[0]);
    free(state[1]);
    bench_close(&b);
}

/* Steps of an optimiser, under a wrapper, with weight decay; the mask comes before step `from`. */
static void run_steps(struct bench *b, const struct optim *o, const char *wrapper,
                      const uint64_t *bits, int from, int steps)
{
    struct err e;
    struct micro mb;
    struct wrapping wrap = {0};
    double micro[1];
    float *array[8];
    bench_nlls(b, -1);
    BUG_ON(wrapping_choose(&wrap, wrapper, &e) || wrapping_bind(&wrap, &b->g, &e));
    const struct wrapper *w = wrapping_row(&wrap);
    for (int k = 0; k < 8; k++)
        array[k] = mem_alloc(b->m.table.moving, sizeof(float), &e);
    void *params = mem_alloc(1, o->params_size, &e);
    if (o->params)
        param_defaults(o->params, params);
    for (const struct param *p = w ? w->params : NULL; p && p->name; p++)
        if (!strcmp(p->name, "wa_start") || !strcmp(p->name, "wa_every"))
            BUG_ON(param_set_text(p, wrap.chosen.params, "1", &e));
    whole(b, &mb);
    struct order order = {.micro = &mb, .n = 1, .per_epoch = 1};
    struct gradient g = {
        .engine = &b->g, .order = &order, .micro = micro, .copy = array + OPTIM_STATES};
    for (long step = 0; step < steps; step++) {
        if (step == from)
            BUG_ON(mask_apply(&b->m, bits, &e));
        gradient_start(&g, 0, 1, 1);
        g.step = step;
        struct optim_step s = {.ops = b->m.ops,
                               .table = &b->m.table,
                               .w = b->m.own,
                               .state = array,
                               .grad_scale = 1,
                               .lr = 1e-2,
                               .weight_decay = 0.1,
                               .step = step + 1};
        if (o->wants_estimate && o->wants_estimate(params, step + 1)) {
            double labels;
            BUG_ON(engine_reserve_grads(&b->g, &e) || gradient_add_sampled(&g, &labels, &e));
            s.grad = b->g.grads;
            optim_estimate(o, params, &s, labels);
            engine_zero_grads(&b->g);
        }
        BUG_ON(w && w->gradient ? w->gradient(wrap.chosen.params, &g, &e)
                                : gradient_add(&g, GOALS_METHOD, &e));
        s.grad = b->g.grads;
        optim_apply(o, params, &s);
        if (w && w->follow)
            w->follow(wrap.chosen.params, &b->m, g.copy, step + 1);
    }
    if (w && w->finish)
        w->finish(wrap.chosen.params, &b->m, g.copy, steps);
    arena_fini(&g.kept);
    wrapping_fini(&wrap);
    free(params);
    for (int k = 0; k < 8; k++)
        free(array[k]);
}

/* How many numbers differ from those of `before`, of those that may move or of the others. */
static size_t differ(const struct bench *b, const float *before, bool moving)
{
    const struct weight_table *t = &b->m.table;
    size_t n = 0;
    for (int i = 0; i < t->n; i++)
        for (size_t k = 0; k < t->v[i].count; k++) {
            size_t at = t->v[i].offset + k;
            n += weight_may_move(t, at) == moving && memcmp(&b->m.own[at], &before[at], 4);
        }
    return n;
}

static void check_kept(const struct optim *o, const char *wrapper)
{
    struct bench start, b;
    struct err e;
    bench_nlls(&start, -1);
    uint64_t *bits = read_mask(&start);
    size_t words = mask_words(&start.m.table);
    run_steps(&b, o, wrapper, bits, 0, 4);
    ok(!differ(&b, start.m.own, false) &&
           differ(&b, start.m.own, true) > mask_count(&b.m.table) / 4,
       "%s, %s: what the mask holds keeps its bits, the rest moves", o->name, wrapper);
    bench_close(&b);

    struct bench all, none;
    uint64_t *ones = mem_alloc(words, sizeof *ones, &e);
    memset(ones, 0xff, words * sizeof *ones);
    run_steps(&all, o, wrapper, ones, 0, 4);
    run_steps(&none, o, wrapper, NULL, 0, 4);
    ok(!memcmp(all.m.own, none.m.own, none.m.table.total * sizeof(float)),
       "%s, %s: a mask of ones is no mask, bit for bit", o->name, wrapper);
    free(ones);
    bench_close(&all);
    bench_close(&none);
    free(bits);
    bench_close(&start);
}

/* A mask that comes late: momentum from before must not move what it holds. */
static void check_late(void)
{
    struct bench early, b;
    bench_nlls(&b, -1);
    uint64_t *bits = read_mask(&b);
    bench_close(&b);
    run_steps(&early, &optim_adamw, "none", NULL, 0, 3);
    run_steps(&b, &optim_adamw, "none", bits, 3, 4);
    ok(!differ(&b, early.m.own, false) && differ(&b, early.m.own, true),
       "a mask from the fourth step on: what it holds stays as the third left it");
    free(bits);
    bench_close(&early);
    bench_close(&b);
}

/* A direction with masked elements: what the product moves there is put back. */
static void check_masked_product(void)
{
    struct bench b;
    struct err e;
    bench_nlls(&b, 1);
    uint64_t *bits = read_mask(&b);
    BUG_ON(mask_apply(&b.m, bits, &e));
    float *v = vector(&b), *hv = vector(&b), *before = vector(&b);
    const struct data_rows retain = rows_of(&b, ROLE_RETAIN, 16);
    fill_sine(&b, v);
    memcpy(before, b.m.own, b.m.table.total * sizeof *before);
    ok(!derivative_hvp(&b.g, GOAL_BIT(GOAL_RETAIN), &retain, v, 0, hv, &e) &&
           !memcmp(before, b.m.own, b.m.table.total * sizeof *before),
       "a Hessian product along masked elements leaves all weights their bits");
    free(v);
    free(hv);
    free(before);
    free(bits);
    bench_close(&b);
}

static void check_refused(void)
{
    struct bench b;
    struct err e;
    bench_nlls(&b, 1);
    uint64_t *none = mem_alloc(mask_words(&b.m.table), sizeof *none, &e);
    ok(mask_apply(&b.m, none, &e) && strstr(e.msg, "leaves no trainable weight"),
       "an empty mask is refused");
    ok(!b.m.table.mask, "and not taken");
    free(none);
    bench_close(&b);
}

int main(void)
{
    static const char *const names[] = {"sam", "rs", "gnr", "cr", "wa", "project"};
    struct err e;
    char *dir = test_data("");
    root = dir;
    for (int i = 0; i < 64; i++)
        rows[i] = i;
    BUG_ON(tensor_file_open(&golden, path_of("", "derivatives.safetensors"), &e));
    check_gradients();
    check_hessian();
    check_fisher();
    check_masked_steps();
    for (int i = 0; optims[i]; i++)
        check_kept(optims[i], "none");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_kept(&optim_adamw, names[i]);
    check_late();
    check_masked_product();
    check_refused();
    tensor_file_close(&golden);
    free(dir);
    return done();
}
