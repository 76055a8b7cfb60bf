/* Speed of each operation at the shapes of SmolLM2-135M: 512 tokens in sequences of 128, and
 * generation. make bench          all;  build/release/bench/ops_bench atten  those whose name has
 * "atten" The best of several timings; GFLOP/s counts multiplications and additions, GB/s what must
 * be read and written once. Attention counts the visible half of the scores only. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tensor/ops.h"

enum { C = 576, H = 9, G = 3, D = 64, F = 1536, V = 49152, N = 512, R = 128, S = 4, T = N / S };
enum { FLAT = 16 << 20, CACHE = 1024 };

/* Big enough arrays that every case borrows. */
struct arrays {
    float *a, *b, *c, *d; /* [FLAT] each, small random numbers */
    float *lse;           /* [V] */
    int ids[N], start[N], len[N], ones[N];
};

static const struct ops *ops;

static void linear(struct arrays *x, int n, int i, int o)
{
    ops->linear(x->a, x->b, x->c, n, i, o, 0);
}

static void linear_dx(struct arrays *x, int n, int i, int o)
{
    ops->linear_dx(x->a, x->b, x->c, n, i, o, 0);
}

static void linear_dw(struct arrays *x, int n, int i, int o)
{
    ops->linear_dw(x->a, x->b, x->c, n, i, o, 1);
}

/* s sequences of t tokens. */
static struct attn training(struct arrays *x, int s, int t)
{
    for (int i = 0; i < s; i++) {
        x->start[i] = i * t;
        x->len[i] = t;
    }
    return (struct attn){.n_seqs = s,
                         .q_start = x->start,
                         .n_q = x->len,
                         .k_start = x->start,
                         .n_k = x->len,
                         .heads = H,
                         .kv_heads = G,
                         .head_dim = D,
                         .scale = 0.125f};
}

static void attention(struct arrays *x, int s, int t, int unused)
{
    struct attn a = training(x, s, t);
    (void)unused;
    ops->attention(x->a, x->lse, x->b, x->c, x->c + FLAT / 2, &a);
}

static void attention_back(struct arrays *x, int s, int t, int unused)
{
    struct attn a = training(x, s, t);
    (void)unused;
    ops->attention_back(x->a, x->a + FLAT / 4, x->a + FLAT / 2, x->d, x->d + FLAT / 2, x->lse, x->b,
                        x->c, x->c + FLAT / 2, &a);
}

static void generation(struct arrays *x, int s, int t, int unused)
{
    struct attn a = training(x, s, t);
    (void)unused;
    for (int i = 0; i < s; i++) {
        x->ones[i] = 1;
        x->ids[i] = i;
    }
    a.q_start = x->ids;
    a.n_q = x->ones;
    ops->attention(x->a, x->lse, x->b, x->c, x->c + FLAT / 2, &a);
}

static void rmsnorm(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    ops->rmsnorm(x->a, x->lse, x->b, x->c, n, c, 1e-5f, 0);
}

static void rmsnorm_back(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    ops->rmsnorm_back(x->a, x->a + FLAT / 2, x->b, x->d, x->c, x->lse, n, c, 0);
}

static void rope(struct arrays *x, int n, int heads, int d)
{
    ops->rope(x->a, x->b, x->c, x->ids, n, heads, d, d, 0);
}

static void swiglu(struct arrays *x, int n, int f, int unused)
{
    (void)unused;
    ops->glu(x->a, ACT_SILU, x->b, x->c, (size_t)n * f);
}

static void swiglu_back(struct arrays *x, int n, int f, int unused)
{
    (void)unused;
    ops->glu_back(x->a, x->a + FLAT / 2, ACT_SILU, x->b, x->c, x->d, (size_t)n * f);
}

static void label_logp(struct arrays *x, int r, int v, int unused)
{
    (void)unused;
    ops->label_logp(x->lse, x->lse + N, x->ones, x->b, x->ids, r, v);
}

/* It works in place: on a scratch array, whose numbers stay harmless. */
static void label_logp_back(struct arrays *x, int r, int v, int unused)
{
    (void)unused;
    ops->label_logp_back(x->a, x->lse, x->lse, x->ids, r, v);
}

static void log_softmax(struct arrays *x, int r, int v, int unused)
{
    (void)unused;
    ops->log_softmax(x->a, x->b, r, v);
}

static void embed(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    ops->embed(x->a, x->b, x->ids, n, c, 1);
}

static void embed_back(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    ops->embed_back(x->a, x->b, x->ids, n, c, 1);
}

static void axpy(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    ops->axpy(x->a, 1e-6f, x->b, (size_t)n * c);
}

static void dot(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    x->lse[0] = (float)ops->dot(x->b, x->c, (size_t)n * c);
}

static void all_finite(struct arrays *x, int n, int c, int unused)
{
    (void)unused;
    x->ones[0] = ops->all_finite(x->b, (size_t)n * c);
}

static void adamw(struct arrays *x, int n, int c, int unused)
{
    const struct adamw o = {1e-5, 0.9, 0.999, 1e-8, 0.01, 100};
    (void)unused;
    ops->adamw(x->a, x->lse, x->d, x->b, (size_t)n * c, 1, &o);
}

#define LINEAR(n, i, o)              n, i, o, 2e-9 * (n) * (i) * (o), 4e-9 * ((n) * (i) + (i) * (o) + (n) * (o))
#define ATTN(s, t, products)         s, t, 0, (products)*1e-9 * (s) * (t) * ((t) + 1) * H *D, 0
#define FLAT_OP(n, c, flops, floats) n, c, 0, (flops)*1e-9 * (n) * (c), (floats)*4e-9 * (n) * (c)

static const struct bench {
    const char *name;
    void (*run)(struct arrays *x, int n, int i, int o);
    int n, i, o;
    double gflop, gbyte;
} benches[] = {
    {"linear 512, 576 -> 576", linear, LINEAR(N, C, H *D)},
    {"linear 512, 576 -> 1536", linear, LINEAR(N, C, F)},
    {"linear 512, 1536 -> 576", linear, LINEAR(N, F, C)},
    {"linear 128, 576 -> 24576", linear, LINEAR(R, C, V / 2)},
    {"linear_dx 512, 576 -> 1536", linear_dx, LINEAR(N, C, F)},
    {"linear_dw 512, 576 -> 1536", linear_dw, LINEAR(N, C, F)},
    {"linear_dx 16, 576 -> 1536", linear_dx, LINEAR(16, C, F)},
    {"linear_dx 64, 576 -> 1536", linear_dx, LINEAR(64, C, F)},
    {"linear_dx 64, 576 -> 24576", linear_dx, LINEAR(64, C, V / 2)},
    {"linear_dw 16, 576 -> 1536", linear_dw, LINEAR(16, C, F)},
    {"linear_dw 64, 576 -> 1536", linear_dw, LINEAR(64, C, F)},
    {"linear_dw 64, 576 -> 24576", linear_dw, LINEAR(64, C, V / 2)},
    {"linear 1, 576 -> 1536", linear, LINEAR(1, C, F)},
    {"linear 1, 576 -> 24576", linear, LINEAR(1, C, V / 2)},
    {"linear 4, 576 -> 1536", linear, LINEAR(4, C, F)},
    {"linear 8, 576 -> 1536", linear, LINEAR(8, C, F)},
    {"linear 8, 576 -> 24576", linear, LINEAR(8, C, V / 2)},
    {"linear 16, 576 -> 1536", linear, LINEAR(16, C, F)},
    {"linear 16, 576 -> 24576", linear, LINEAR(16, C, V / 2)},
    {"linear 32, 576 -> 1536", linear, LINEAR(32, C, F)},
    {"attention 4 x 128", attention, ATTN(4, 128, 2)},
    {"attention 8 x 64", attention, ATTN(8, 64, 2)},
    {"attention 1 x 1024", attention, ATTN(1, 1024, 2)},
    {"attention_back 4 x 128", attention_back, ATTN(4, 128, 5)},
    {"attention_back 8 x 64", attention_back, ATTN(8, 64, 5)},
    {"attention_back 1 x 1024", attention_back, ATTN(1, 1024, 5)},
    {"generation 1 of 1024", generation, 1, CACHE, 0, 4e-9 * CACHE *H *D, 8e-9 * CACHE *G *D},
    {"generation 16 of 1024", generation, 16, CACHE, 0, 64e-9 * CACHE *H *D, 128e-9 * CACHE *G *D},
    {"rmsnorm 512 x 576", rmsnorm, FLAT_OP(N, C, 4, 2)},
    {"rmsnorm_back 512 x 576", rmsnorm_back, FLAT_OP(N, C, 12, 4)},
    {"rope 512 x 9 x 64", rope, N, H, D, 3e-9 * N *H *D, 8e-9 * N *H *D},
    {"swiglu 512 x 1536", swiglu, FLAT_OP(N, F, 18, 3)},
    {"swiglu_back 512 x 1536", swiglu_back, FLAT_OP(N, F, 24, 5)},
    {"label_logp 128 x 49152", label_logp, FLAT_OP(R, V, 16, 1)},
    {"label_logp_back 128 x 49152", label_logp_back, FLAT_OP(R, V, 16, 2)},
    {"log_softmax 128 x 49152", log_softmax, FLAT_OP(R, V, 18, 2)},
    {"embed 512 x 576", embed, FLAT_OP(N, C, 1, 2)},
    {"embed_back 512 x 576", embed_back, FLAT_OP(N, C, 2, 3)},
    {"axpy 4M", axpy, FLAT_OP(4096, 1024, 2, 3)},
    {"dot 4M", dot, FLAT_OP(4096, 1024, 2, 2)},
    {"all_finite 4M", all_finite, FLAT_OP(4096, 1024, 0, 1)},
    {"adamw 4M", adamw, FLAT_OP(4096, 1024, 14, 7)},
};

/* Seconds of one call: the fastest of those that fit into 0.1 s, and of at least 3. */
static double bench_time(const struct bench *b, struct arrays *x)
{
    double best = INFINITY, start = log_seconds(), last = start;

    memset(x->a, 0, FLAT * sizeof *x->a);
    for (int calls = 0; calls < 4 || last - start < 0.1; calls++) {
        double begin = log_seconds();
        b->run(x, b->n, b->i, b->o);
        last = log_seconds();
        best = fmin(best, last - begin);
    }
    return best;
}

static int arrays_init(struct arrays *x, struct err *e)
{
    float **const each[] = {&x->a, &x->b, &x->c, &x->d};
    struct rng r;

    rng_seed(&r, 1);
    for (int k = 0; k < 4; k++) {
        *each[k] = mem_alloc(FLAT, sizeof(float), e);
        if (!*each[k])
            return -1;
        for (int i = 0; i < FLAT; i++)
            (*each[k])[i] = rng_float(&r);
    }
    x->lse = mem_alloc(FLAT, sizeof(float), e);
    for (int i = 0; i < N; i++)
        x->ids[i] = i * 37 % N;
    return x->lse ? 0 : -1;
}

int main(int argc, char **argv)
{
    static struct arrays x;
    struct err e;

    ops = ops_cpu();
    if (arrays_init(&x, &e))
        return fprintf(stderr, "%s\n", e.msg), 1;
    printf("%s, %d threads\n%-28s %10s %9s %8s\n", ops->name, ops_threads(), "", "us", "GFLOP/s",
           "GB/s");
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        const struct bench *b = &benches[i];
        if (argc > 1 && !strstr(b->name, argv[1]))
            continue;
        double s = bench_time(b, &x);
        printf("%-28s %10.1f %9.2f %8.2f\n", b->name, s * 1e6, b->gflop / s, b->gbyte / s);
    }
    return 0;
}
