/* What must hold for adapters without any reference: derivatives in every family, dropout, how they
 * start, which layers get one, merging by way of their file. */
#include "adapters.h"
#include "base/rng.h"
#include "decoders.h"

/* Along a random direction of all A, and of all B, the loss changes as the gradient says. */
static void check_derivative(struct bench *b, const char *what)
{
    struct rng r;
    struct err e;
    const struct weight_table *t = &b->m.table;
    const float eps = 1e-3f;
    /* ReLU has corners, which a difference goes across. */
    double room = b->m.cfg.act == ACT_RELU ? 2e-2 : 5e-3;
    rng_seed(&r, 5);
    for (int part = 0; part < 2; part++) {
        double want = 0, square = 0, side[2];
        float *dir = mem_alloc(b->m.lora->floats, sizeof *dir, &e);
        pass(b, NULL);
        for (int i = t->n_model + part; i < t->n; i += 2)
            for (size_t k = 0; k < t->v[i].count; k++) {
                dir[t->v[i].offset + k] = (float)rng_normal(&r);
                double g = (double)b->grads[t->v[i].at + k];
                want += (double)dir[t->v[i].offset + k] * g;
                square += g * g;
            }
        for (int s = 0; s < 2; s++) {
            b->m.ops->axpy(b->m.own, s ? -eps : eps, dir, b->m.lora->floats);
            side[s] = pass(b, NULL);
            b->m.ops->axpy(b->m.own, s ? eps : -eps, dir, b->m.lora->floats);
        }
        near((side[0] - side[1]) / (2 * (double)eps), want, 0, room * sqrt(square),
             "%s: d loss along a direction of all %c", what, "AB"[part]);
        free(dir);
    }
}

/* With dropout too: what the backward drops is what the forward dropped. */
static void test_derivative(double dropout)
{
    struct bench b;
    struct lora_options o = examples[0].o;
    o.lora_dropout = dropout;
    if (!bench_open(&b, &examples[0], false))
        return;
    if (attach(&b, &o)) {
        lora_draw(b.m.lora, 3);
        check_derivative(&b, dropout > 0 ? "dropout" : "no dropout");
    }
    bench_close(&b);
}

/* The small decoder with adapters of random numbers beside weights that are frozen. */
static bool family_open(struct bench *b, const struct kind *k)
{
    struct lora_options o = {7, 3, 0, "all-linear", false}; /* more than a head has rows */
    struct rng r;
    struct err e;
    int ids[2 * 9];
    *b = (struct bench){0};
    if (!build(&b->m, k))
        return false;
    b->m.copies = b->m.own;
    b->m.own = NULL;
    b->m.path = mem_strdup(k->family, &e);
    if (lora_attach(&b->m, &o, 1, &e))
        return note("%s", e.msg), false;
    rng_seed(&r, 9);
    for (size_t i = 0; i < b->m.lora->floats; i++)
        b->m.own[i] = 0.3f * (float)rng_normal(&r);
    for (int i = 0; i < 18; i++)
        ids[i] = (int)rng_below(&r, VOCAB);
    b->grads = mem_alloc(b->m.table.grads, sizeof *b->grads, &e);
    return b->grads && !dataset_from_matrix(&b->d, ROLE_RETAIN, ids, ids, NULL, 2, 9, false, &e);
}

/* Derivatives in every family, fused weights among them; and the adapter written and merged into
 * the same weights is the one merged in memory. */
static void test_family(const struct kind *k)
{
    struct bench b;
    struct model plain;
    struct err e = {.msg = ""};
    char what[64];
    snprintf(what, sizeof what, "%s%s", k->family, k->what);
    char *dir = joined(test_dir(), what);
    if (!ok(family_open(&b, k) && build(&plain, k), "%s with adapters", what))
        return;
    check_derivative(&b, what);
    ok(!lora_save(&b.m, dir, &e) && !lora_merge_dir(&plain, dir, &e), "%s: written and read %s",
       what, e.msg);
    float *room = mem_alloc(lora_room(&b.m), sizeof *room, &e);
    double worst = 0, moved = 0;
    for (int i = 0; i < plain.table.n; i++) {
        const float *merged = lora_merged(&b.m, i, room);
        worst = fmax(worst, max_diff(plain.w[i], merged, plain.table.v[i].count));
        moved = fmax(moved, max_diff(plain.w[i], b.m.w[i], plain.table.v[i].count));
    }
    ok(worst < 1e-6 && moved > 0.1, "%s: merged by way of the file: %.1e off", what, worst);
    free(room);
    free(dir);
    model_close(&plain);
    bench_close(&b);
}

/* Over many draws the input keeps its mean, and so does an output that is linear in it. */
static void test_dropout(void)
{
    struct bench b;
    struct lora_options o = examples[0].o;
    o.lora_dropout = 0.25;
    if (!bench_open(&b, &examples[0], false) || !attach(&b, &o))
        return;
    enum { N = 700, DRAWS = 40 }; /* more rows than a block */
    struct err e;
    int i = weight_index(&b.m.table, W_DOWN, 1);
    const struct weight *w = &b.m.table.v[i];
    int in = (int)w->shape[1], out = (int)w->shape[0];
    float *x = mem_alloc((size_t)(N * in), sizeof *x, &e);
    float *y[3];
    for (int k = 0; k < 3; k++)
        y[k] = mem_alloc((size_t)(N * out), sizeof(float), &e);
    for (int k = 0; k < N * in; k++)
        x[k] = 1;
    size_t bytes = (size_t)(N * out) * sizeof(float);
    lora_forward(&b.m, i, 0, out, y[0], x, N, false);
    double sum = 0, want = 0;
    int same = 0;
    for (int d = 0; d < DRAWS; d++) {
        for (int twice = 1; twice < 3; twice++) {
            memset(y[twice], 0, bytes);
            lora_draw(b.m.lora, d + (twice == 2 && d == 1));
            lora_forward(&b.m, i, 0, out, y[twice], x, N, true);
        }
        same += !memcmp(y[1], y[2], bytes);
        for (int k = 0; k < N * out; k++) {
            sum += (double)y[1][k] * (k % out == 2);
            want += (double)y[0][k] * (k % out == 2);
        }
    }
    ok(same == DRAWS - 1, "the same number draws the same, another another: %d", same);
    ok(memcmp(y[1], y[1] + 512 * out, (size_t)out * sizeof(float)) != 0, "blocks draw their own");
    near(sum / (N * DRAWS), want / (N * DRAWS), 0.02, 0, "the mean of an output stays");
    /* What is drawn does not depend on x, so that dy . f(x) = x . dx. */
    float *dx = mem_alloc((size_t)(N * in), sizeof *dx, &e);
    struct rng r;
    rng_seed(&r, 3);
    for (int k = 0; k < N * in; k++)
        x[k] = (float)rng_normal(&r);
    for (int k = 0; k < N * out; k++)
        y[0][k] = (float)rng_normal(&r);
    memset(y[1], 0, bytes);
    lora_forward(&b.m, i, 0, out, y[1], x, N, true);
    lora_backward(&b.m, i, 0, out, NULL, dx, y[0], x, N, true);
    near(b.m.ops->dot(x, dx, (size_t)(N * in)), b.m.ops->dot(y[0], y[1], (size_t)(N * out)), 1e-4,
         0, "the backward of %d rows is the forward's", N);
    free(dx);
    free(x);
    for (int k = 0; k < 3; k++)
        free(y[k]);
    bench_close(&b);
}

static void test_start(void)
{
    struct bench b, plain;
    struct lora_options o = {8, 16, 0.5, "all-linear", false};
    struct err e = {.msg = ""};
    struct model view;
    if (!bench_open(&b, &examples[0], false) || !bench_open(&plain, &examples[0], false))
        return;
    const float *before = b.m.w[weight_index(&b.m.table, W_Q, 0)];
    ok(!lora_attach(&b.m, &o, 7, &e) && !b.m.copies &&
           before == b.m.w[weight_index(&b.m.table, W_Q, 0)],
       "the model's weights stay in its file %s", e.msg);
    ok(pass(&b, NULL) == pass(&plain, NULL), "fresh adapters change nothing");
    double square = 0, top = 0, count = 0;
    for (int i = b.m.table.n_model; i < b.m.table.n; i += 2) {
        const struct weight *a = &b.m.table.v[i];
        for (size_t k = 0; k < a->count; k++, count++) {
            double u = (double)b.m.own[a->offset + k] * sqrt((double)a->shape[1]);
            square += u * u;
            top = fmax(top, fabs(u));
        }
    }
    ok(top < 1 && top > 0.99, "A lies within 1/sqrt(in) of 0");
    near(square / count, 1.0 / 3, 0.05, 0, "... evenly");
    for (size_t k = 0; k < b.m.lora->floats; k++)
        b.m.own[k] += 0.1f;
    lora_base(&b.m, &view);
    double with = pass(&b, NULL);
    struct model whole = b.m;
    b.m = view;
    ok(pass(&b, NULL) == pass(&plain, NULL), "a view shows the model without its adapters");
    view = b.m;
    b.m = whole;
    model_close(&view);
    ok(pass(&b, NULL) == with && with != pass(&plain, NULL), "and leaves them");
    bench_close(&b);
    bench_close(&plain);
}

static void test_targets(void)
{
    static const struct {
        const char *targets;
        int n; /* layers that get an adapter; 0: refused */
    } rows[] = {
        {"all-linear", 21},
        {"q_proj", 3},
        {"self_attn.q_proj,up_proj", 6},
        {"proj", 0},
        {"lm_head", 1},
        {"embed_tokens", 0},
        {"norm", 0},
        {"model\\.layers\\.[02]\\..*", 14},
        {"layers.*", 0},
        {"(", 0},
        {"", 0},
        {",", 0},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct bench b;
        struct err e = {.msg = ""};
        struct lora_options o = {1, 1, 0, rows[k].targets, false};
        if (!bench_open(&b, &examples[0], false))
            return;
        int n = lora_attach(&b.m, &o, 1, &e) ? 0 : (b.m.table.n - b.m.table.n_model) / 2;
        ok(n == rows[k].n && (n || *e.msg), "'%s': %d layers %s", rows[k].targets, n, e.msg);
        bench_close(&b);
    }
}

int main(void)
{
    test_derivative(0);
    test_derivative(0.3);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        test_family(&kinds[i]);
    test_dropout();
    test_start();
    test_targets();
    return done();
}
