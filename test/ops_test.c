/* Flat arrays, embedding, rope and AdamW: forward against plain double-precision
 * loops, backward against central differences of those loops, at odd sizes and for every
 * instruction set.
 */
#include "ops_fun.h"

static void check_flat(const struct ops *o)
{
    const size_t sizes[] = {0, 1, 17, 16384, 40001};
    struct rng r;
    rng_seed(&r, 3);
    for (int k = 0; k < 5; k++) {
        size_t n = sizes[k];
        float *x = random_floats(&r, n, 1), *y = random_floats(&r, n, 1);
        double *want = doubles(y, n), dot = 0;
        for (size_t i = 0; i < n; i++) {
            dot += (double)x[i] * y[i];
            want[i] = ((want[i] + x[i]) + -0.75 * x[i]) * 1.5;
        }
        near(o->dot(x, y, n), dot, 1e-13, 1e-12, "%s dot of %zu", o->name, n);
        o->add(y, x, n);
        o->axpy(y, -0.75f, x, n);
        o->scale(y, 1.5f, n);
        ok(distance(y, want, n) < 1e-6, "%s add, axpy, scale of %zu", o->name, n);
        free(x);
        free(y);
        free(want);
    }
}

static void check_finite(const struct ops *o)
{
    const size_t n = 40001, places[] = {0, 1, 16383, 16384, 39999, 40000};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    float *x = filled(n, 3e38f);
    int found = 0;
    ok(o->all_finite(x, n) && o->all_finite(x, 0), "%s all_finite: large numbers are", o->name);
    for (int p = 0; p < 6; p++) {
        for (int b = 0; b < 3; b++) {
            x[places[p]] = bad[b];
            found += !o->all_finite(x, n);
        }
        x[places[p]] = 0;
    }
    ok(found == 18, "%s all_finite: NaN and infinities anywhere are not", o->name);
    free(x);
}

static void check_embed(const struct ops *o)
{
    enum { V = 6, N = 8, C = 37 };
    const int ids[N] = {3, 0, 3, 5, 3, 5, 1, 0}, rows[4] = {6, 1, 2, 7};
    struct rng r;
    rng_seed(&r, 4);
    float *table = random_floats(&r, V * C, 1), *dy = random_floats(&r, N * C, 1);
    float *y = filled(N * C, NAN), *picked = filled(4 * C, NAN);
    double *want = doubles(table, V * C), *back = doubles(dy, N * C);
    bool same = true;

    o->embed(y, table, ids, N, C, 0.5f);
    for (int i = 0; i < N * C; i++) {
        same = same && y[i] == 0.5f * table[ids[i / C] * C + i % C];
        want[ids[i / C] * C + i % C] += 0.5 * dy[i];
    }
    o->embed_back(table, dy, ids, N, C, 0.5f);
    ok(same, "%s embed", o->name);
    ok(distance(table, want, V * C) < 1e-6, "%s embed_back adds up repeated ids", o->name);
    o->gather(picked, dy, rows, 4, C);
    same = true;
    for (int i = 0; i < 4 * C; i++) {
        int at = rows[i / C] * C + i % C;
        same = same && picked[i] == dy[at];
        back[at] += picked[i];
    }
    o->scatter_add(dy, picked, rows, 4, C);
    ok(same && distance(dy, back, N * C) < 1e-6, "%s gather, scatter_add", o->name);
    float *const arrays[] = {table, dy, y, picked};
    for (int i = 0; i < 4; i++)
        free(arrays[i]);
    free(want);
    free(back);
}

/* n positions of one head of width d, of which c rotate. */
static double rope_value(const struct fun *f, int r, int i)
{
    int half = f->c / 2, j = i % half;
    const double *x = f->in[0] + r * f->d;
    double c = f->cs[f->pos[r / 2] * half + j], s = f->sn[f->pos[r / 2] * half + j];
    if (i >= f->c)
        return x[i];
    return i < half ? x[i] * c - x[i + half] * s : x[i] * c + x[i - half] * s;
}

static double rope_loss(const struct fun *f)
{
    double sum = 0;
    for (int r = 0; r < 2 * f->n; r++)
        for (int i = 0; i < f->d; i++)
            sum += f->dout[r * f->d + i] * rope_value(f, r, i);
    return sum;
}

static void check_rope(const struct ops *o)
{
    enum { N = 3, H = 2, D = 20, SIZE = N * H * D };
    const int pos[N] = {0, 4, 2}, rots[] = {D, 12};
    struct rng r;
    rng_seed(&r, 6);
    for (int k = 0; k < 2; k++) {
        int rot = rots[k], half = rot / 2;
        float *x = random_floats(&r, SIZE, 1), *dy = random_floats(&r, SIZE, 1);
        float *cs = floats(5 * (size_t)half), *sn = floats(5 * (size_t)half);
        for (int i = 0; i < 5 * half; i++) {
            cs[i] = cosf((float)(i / half) * powf(100, -(float)(i % half) / (float)half));
            sn[i] = sinf((float)(i / half) * powf(100, -(float)(i % half) / (float)half));
        }
        struct fun f = fun_of(rope_loss, x, SIZE, x, 0, dy);
        f.n = N, f.c = rot, f.d = D, f.cs = cs, f.sn = sn, f.pos = pos;
        o->rope(x, cs, sn, pos, N, H, D, rot, 0);
        double worst = 0;
        for (int i = 0; i < SIZE; i++) {
            double want = rope_value(&f, i / D, i % D);
            worst = fmax(worst, distance(x + i, &want, 1));
        }
        float *dx = floats(SIZE);
        memcpy(dx, dy, SIZE * sizeof *dx);
        o->rope(dx, cs, sn, pos, N, H, D, rot, 1);
        double off = gradient_off(&f, 0, dx, NULL);
        ok(worst < 1e-6 && off < 1e-6, "%s rope %d of %d: off by %.1e, inverse %.1e", o->name, rot,
           D, worst, off);
        float *const arrays[] = {x, dy, cs, sn, dx};
        for (int i = 0; i < 5; i++)
            free(arrays[i]);
        fun_fini(&f);
    }
}

static void check_adamw(const struct ops *o)
{
    enum { N = 1003 };
    struct rng r;
    rng_seed(&r, 8);
    float *w = random_floats(&r, N, 1), *m = floats(N), *v = floats(N);
    double *rw = doubles(w, N), *rm = doubles(m, N), *rv = doubles(v, N);
    struct adamw a = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.1};

    for (a.step = 1; a.step <= 5; a.step++) {
        float *g = random_floats(&r, N, 1);
        o->adamw(w, m, v, g, N, 0.25f, &a);
        for (int i = 0; i < N; i++) {
            double d = 0.25 * g[i];
            rm[i] = a.beta1 * rm[i] + (1 - a.beta1) * d;
            rv[i] = a.beta2 * rv[i] + (1 - a.beta2) * d * d;
            double mhat = rm[i] / (1 - pow(a.beta1, (double)a.step));
            double vhat = rv[i] / (1 - pow(a.beta2, (double)a.step));
            rw[i] = rw[i] * (1 - a.lr * a.decay) - a.lr * mhat / (sqrt(vhat) + a.eps);
        }
        free(g);
    }
    ok(distance(w, rw, N) < 4e-7 && distance(m, rm, N) < 1e-7 && distance(v, rv, N) < 1e-8,
       "%s adamw, 5 steps: off by w %.1e m %.1e v %.1e", o->name, distance(w, rw, N),
       distance(m, rm, N), distance(v, rv, N));
    free(w);
    free(m);
    free(v);
    free(rw);
    free(rm);
    free(rv);
}

static bool all_are(const float *x, size_t n, float a)
{
    bool same = true;
    for (size_t i = 0; i < n; i++)
        same = same && x[i] == a;
    return same;
}

static void check_copies(const struct ops *o)
{
    enum { N = 40001, ROWS = 700, C = 31 };
    static int to[ROWS], from[ROWS];
    struct rng r;
    rng_seed(&r, 6);
    float *x = random_floats(&r, N, 1), *y = filled(N, NAN);
    o->fill(y, 0, N);
    bool same = all_are(y, N, 0);
    o->fill(y, 2.5f, N);
    same = same && all_are(y, N, 2.5f);
    o->copy(y, x, N);
    ok(same && !memcmp(x, y, N * sizeof *x), "%s fill, copy", o->name);
    for (int i = 0; i < ROWS; i++) {
        to[i] = (i * 3 + 1) % ROWS; /* 3 is prime to 700: distinct */
        from[i] = (int)rng_below(&r, ROWS);
    }
    o->fill(y, 7, N);
    o->copy_rows(y, to, x, from, ROWS, C);
    same = true;
    for (int i = 0; i < ROWS; i++)
        same = same && !memcmp(y + to[i] * C, x + from[i] * C, C * sizeof *x);
    o->copy_rows(y, NULL, x, from, 9, C);
    for (int i = 0; i < 9; i++)
        same = same && !memcmp(y + i * C, x + from[i] * C, C * sizeof *x);
    ok(same && all_are(y + ROWS * C, N - ROWS * C, 7), "%s copy_rows, and no row more", o->name);
    free(x);
    free(y);
}

/* Bits of mixed words, and of words that are all zeros or all ones. */
static void check_masks(const struct ops *o)
{
    enum { N = 1000, FIRST = 70 };
    uint64_t bits[(FIRST + N) / 64 + 1];
    struct rng r;
    rng_seed(&r, 7);
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        bits[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? ~(uint64_t)0 : rng_at(5, i);
    float *x = random_floats(&r, N, 1), *y = filled(N, 9);
    double want = 0;
    bool same = true;
    o->copy_masked(y, x, bits, FIRST, N);
    for (size_t i = 0; i < N; i++) {
        bool set = bits[(FIRST + i) / 64] >> (FIRST + i) % 64 & 1;
        same = same && y[i] == (set ? x[i] : 9);
        want += set ? 0 : (double)x[i] * (double)x[i];
        y[i] = set ? x[i] : 0;
    }
    double got = o->clear_masked(x, bits, FIRST, N);
    ok(same && !memcmp(x, y, N * sizeof *x), "%s copy_masked, clear_masked", o->name);
    near(got, want, 1e-13, 0, "%s the squares of what was cleared", o->name);
    o->fill(y, 9, N);
    o->copy_masked(y, x, NULL, 0, N);
    ok(!memcmp(x, y, N * sizeof *x), "%s copy_masked without a mask", o->name);
    free(x);
    free(y);
}

static void check_dropout(const struct ops *o)
{
    enum { N = 40001, AT = 1234 };
    const struct dropout all = {0.25, 99, 0}, part = {0.25, 99, AT};
    struct rng r;
    rng_seed(&r, 8);
    float *x = random_floats(&r, N, 1), *y = filled(N, NAN), *sum = filled(N, 1);
    double *squares = doubles(sum, N);
    int zeros = 0, others = 0;
    o->dropout(y, x, N, &all);
    for (int i = 0; i < N; i++) {
        zeros += y[i] == 0;
        others += y[i] != 0 && fabsf(y[i] - x[i] / 0.75f) > 1e-6f * fabsf(x[i]);
        squares[i] += 0.5 * x[i] * x[i];
    }
    ok(!others, "%s dropout: what is left is divided by what is kept", o->name);
    near(zeros / (double)N, 0.25, 0.04, 0, "%s dropout: the share of zeros", o->name);
    o->add_squares(sum, 0.5, x, N);
    ok(distance(sum, squares, N) < 1e-6, "%s add_squares", o->name);
    o->dropout(x + AT, x + AT, N - AT, &part);
    ok(!memcmp(x + AT, y + AT, (N - AT) * sizeof *x), "%s dropout: a part draws as the whole does",
       o->name);
    free(x);
    free(y);
    free(sum);
    free(squares);
}

static void check_all(const struct ops *o)
{
    check_copies(o);
    check_masks(o);
    check_dropout(o);
    check_flat(o);
    check_finite(o);
    check_embed(o);
    check_rope(o);
    check_adamw(o);
}

int main(void)
{
    each_isa(check_all);
    return done();
}
