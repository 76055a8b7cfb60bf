/* What must not depend on the machine: the bits for any number of threads (sgemm aside: there for a
 * given number), and the numbers, nearly, across instruction sets. */
#include <cblas.h>

#include "ops_util.h"

/* All operations once, on shapes that several threads share; everything they write, one after the
 * other. */
struct record {
    float *x;
    size_t n, gemm; /* the first `gemm` come from sgemm */
};

enum { N = 150, C = 200, H = 6, G = 2, D = 32, V = 1000, FLAT = 70001 };

static float *take(struct record *r, size_t n, struct rng *rng)
{
    float *x = r->x + r->n;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(rng);
    r->n += n;
    return x;
}

static void run_gemm(const struct ops *o, struct record *r, struct rng *rng)
{
    float *x = take(r, N * C, rng), *w = take(r, V * C, rng), *y = take(r, N * V, rng);
    o->linear(y, x, w, N, C, V, 0);
    o->linear_dx(x, y, w, N, C, V, 1e-3f);
    o->linear_dw(w, y, x, N, C, V, 1);
    r->gemm = r->n;
    x = take(r, 4 * C, rng), w = take(r, V * C, rng), y = take(r, 4 * V, rng);
    o->linear(y, x, w, 4, C, V, 0); /* few rows need no sgemm */
}

static void run_attention(const struct ops *o, struct record *r, struct rng *rng)
{
    const int start[] = {0, 1, 51}, len[] = {1, 50, 99};
    const struct attn a = {.n_seqs = 3,
                           .q_start = start,
                           .n_q = len,
                           .k_start = start,
                           .n_k = len,
                           .heads = H,
                           .kv_heads = G,
                           .head_dim = D,
                           .scale = 0.2f};
    float *q = take(r, N * H * D, rng), *k = take(r, N * G * D, rng), *v = take(r, N * G * D, rng);
    float *out = take(r, N * H * D, rng), *lse = take(r, N * H, rng),
          *dout = take(r, N * H * D, rng);
    float *dq = take(r, N * H * D, rng), *dk = take(r, N * G * D, rng),
          *dv = take(r, N * G * D, rng);
    o->attention(out, lse, q, k, v, &a);
    o->attention_back(dq, dk, dv, dout, out, lse, q, k, v, &a);
}

static void run_rows(const struct ops *o, struct record *r, struct rng *rng)
{
    int ids[N];
    float *x = take(r, N * C, rng), *y = take(r, N * C, rng), *w = take(r, C, rng);
    float *dw = take(r, C, rng), *dx = take(r, N * C, rng), *rstd = take(r, N, rng);
    float *table = take(r, V * C, rng), *z = take(r, N * V, rng), *lse = take(r, N, rng);
    float *logp = take(r, N, rng), *mean = take(r, N, rng), *all = take(r, N * V, rng);
    for (int i = 0; i < N; i++)
        ids[i] = (int)rng_below(rng, 40);
    o->rmsnorm(y, rstd, x, w, N, C, 1e-5f, 0);
    o->rmsnorm_back(dx, dw, y, x, w, rstd, N, C, 0);
    o->layernorm(y, mean, rstd, x, w, w, N, C, 1e-5f);
    o->layernorm_back(dx, dw, dw, y, x, w, mean, rstd, N, C);
    o->embed_back(table, dx, ids, N, C, 1);
    o->embed(x, table, ids, N, C, 2);
    o->bias(y, w, N, C);
    o->bias_back(dw, y, N, C);
    o->rope(y, table, table + 4000, ids, N, 4, C / 4, 40, 0);
    o->log_softmax(all, z, N, V);
    o->label_logp(logp, lse, NULL, z, ids, N, V);
    o->label_logp_back(z, lse, logp, ids, N, V);
}

static void run_flat(const struct ops *o, struct record *r, struct rng *rng)
{
    const struct adamw a = {1e-3, 0.9, 0.999, 1e-8, 0.01, 3};
    float *x = take(r, FLAT, rng), *y = take(r, FLAT, rng), *m = take(r, FLAT, rng);
    float *v = take(r, FLAT, rng), *sum = take(r, 1, rng);
    o->glu(m, ACT_SILU, x, y, FLAT);
    o->glu_back(x, y, ACT_SILU, m, x, y, FLAT);
    for (int act = ACT_GELU_TANH; act <= ACT_RELU; act++)
        o->glu_back(x, y, (enum act_kind)act, m, x, y, FLAT);
    o->softcap(y, FLAT, 30);
    *sum = (float)o->dot(x, y, FLAT);
    for (int i = 0; i < FLAT; i++)
        v[i] = v[i] * v[i];
    o->adamw(x, m, v, y, FLAT, 0.5f, &a);
    o->axpy(y, 0.3f, x, FLAT);
}

static struct record run_all(const struct ops *o, int threads)
{
    struct record r = {floats(4 << 20), 0, 0};
    struct rng rng;
    rng_seed(&rng, 9);
    ops_set_threads(threads);
    run_gemm(o, &r, &rng);
    run_attention(o, &r, &rng);
    run_rows(o, &r, &rng);
    run_flat(o, &r, &rng);
    BUG_ON(r.n > 4 << 20);
    return r;
}

static bool same_bits(const struct record *a, const struct record *b, size_t from)
{
    return a->n == b->n && !memcmp(a->x + from, b->x + from, (a->n - from) * sizeof(float));
}

static void check_threads(const struct ops *o)
{
    struct record one = run_all(o, 1), three = run_all(o, 3), again = run_all(o, 3);
    ok(same_bits(&three, &again, 0), "%s: a second run on 3 threads gives the same bits", o->name);
    ok(same_bits(&one, &three, one.gemm), "%s: 1 and 3 threads give the same bits", o->name);
    free(one.x);
    free(three.x);
    free(again.x);
}

static void check_against_generic(const struct ops *o)
{
    if (o == ops_cpu_isa("generic"))
        return;
    struct record want = run_all(ops_cpu_isa("generic"), 2), got = run_all(o, 2);
    double worst = 0;
    for (size_t i = 0; i < want.n; i++) {
        double w = want.x[i];
        worst = fmax(worst, distance(&got.x[i], &w, 1));
    }
    ok(worst < 2e-5 && got.n == want.n, "%s agrees with generic: off by %.1e", o->name, worst);
    free(want.x);
    free(got.x);
}

static void check_choice(void)
{
    const struct ops *o = ops_cpu_isa("generic");
    ok(o && !strcmp(o->name, "cpu generic"), "generic is there");
    ok(!ops_cpu_isa("mmx"), "an unknown set is not");
    setenv("UNLEARN_ISA", "generic", 1);
    ok(ops_cpu() == o, "UNLEARN_ISA chooses");
    setenv("UNLEARN_ISA", "mmx", 1);
    const struct ops *best = ops_cpu();
    unsetenv("UNLEARN_ISA");
    ok(best == ops_cpu(), "an unknown UNLEARN_ISA gives the best set: %s", best->name);
    ops_set_threads(2);
    ok(ops_threads() == 2 && openblas_get_num_threads() == 2, "two threads, BLAS too");
    ops_set_threads(0);
    ok(ops_threads() >= 1, "all cores: %d", ops_threads());
}

int main(void)
{
    check_choice();
    each_isa(check_threads);
    each_isa(check_against_generic);
    return done();
}
