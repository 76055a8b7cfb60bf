/* Linear layers and biases, forward and backward, against plain double-precision loops. */
#include "ops_util.h"

static void check_linear_size(const struct ops *o, struct rng *r, int n, int i, int out)
{
    const float betas[] = {0, 1, 0.5f};
    float *x = random_floats(r, (size_t)n * i, 1), *w = random_floats(r, (size_t)out * i, 1);
    float *dy = random_floats(r, (size_t)n * out, 1);
    double worst = 0;

    for (int k = 0; k < 3; k++) {
        float beta = betas[k], *y = filled((size_t)n * out, beta == 0 ? NAN : 2);
        float *dx = filled((size_t)n * i, beta == 0 ? NAN : 3);
        float *dw = filled((size_t)out * i, beta == 0 ? NAN : 4);
        o->linear(y, x, w, n, i, out, beta);
        o->linear_dx(dx, dy, w, n, i, out, beta);
        o->linear_dw(dw, dy, x, n, i, out, beta);
        for (int t = 0; t < n; t++) {
            for (int a = 0; a < out; a++) {
                double s = 2 * beta;
                for (int b = 0; b < i; b++)
                    s += (double)x[t * i + b] * w[a * i + b];
                worst = fmax(worst, distance(&y[t * out + a], &s, 1));
            }
            for (int b = 0; b < i; b++) {
                double s = 3 * beta;
                for (int a = 0; a < out; a++)
                    s += (double)dy[t * out + a] * w[a * i + b];
                worst = fmax(worst, distance(&dx[t * i + b], &s, 1));
            }
        }
        for (int a = 0; a < out; a++)
            for (int b = 0; b < i; b++) {
                double s = 4 * beta;
                for (int t = 0; t < n; t++)
                    s += (double)dy[t * out + a] * x[t * i + b];
                worst = fmax(worst, distance(&dw[a * i + b], &s, 1));
            }
        free(y);
        free(dx);
        free(dw);
    }
    ok(worst < 5e-6, "%s linear %d x %d -> %d, beta 0 over NaN, 1, 0.5: off by %.1e", o->name, n, i,
       out, worst);
    free(x);
    free(w);
    free(dy);
}

/* G of each sequence by plain loops; what is made of it. */
static void check_outer_size(const struct ops *o, struct rng *r, int seqs, int i, int out, int n_p)
{
    int start[20] = {0};
    for (int q = 0; q < seqs; q++)
        start[q + 1] = start[q] + (q == 1 ? 0 : 1 + q % 4);
    const int n = start[seqs];
    const size_t area = (size_t)out * i;
    float *x = random_floats(r, (size_t)n * i, 1), *s = random_floats(r, (size_t)n * out, 1);
    float *p = random_floats(r, n_p * area, 1), *sum = filled(area, 1),
          *lambda = filled(area, 0.5f);
    float *room = filled(outer_room(i), NAN), *gram = filled((size_t)i * i, 2);
    double *want = doubles(sum, area), y[20 * 70], norms[20], all[20], worst = 0;
    for (int q = 0; q < 20 * 70; q++)
        y[q] = 3;
    for (int q = 0; q < 20; q++)
        norms[q] = all[q] = 1;
    const struct outer g = {s, x, start, seqs, i, out, room};
    o->outer_squares(sum, &g);
    o->outer_norms(norms, lambda, 0.5, &g);
    o->outer_norms(all, NULL, 0, &g);
    o->outer_dots(y, 20, p, n_p, &g);
    for (int q = 0; q < seqs; q++) {
        double square = 0, dot[70] = {0};
        for (int a = 0; a < out; a++)
            for (int b = 0; b < i; b++) {
                double v = 0;
                for (int t = start[q]; t < start[q + 1]; t++)
                    v += (double)s[t * out + a] * x[t * i + b];
                want[a * i + b] += v * v;
                square += v * v;
                for (int l = 0; l < n_p; l++)
                    dot[l] += v * p[l * area + (size_t)(a * i + b)];
            }
        for (int l = 0; l < n_p; l++)
            worst = fmax(worst, fabs(y[l * 20 + q] - 3 - dot[l]) / (1 + square));
        worst = fmax(worst, fabs(norms[q] - 1 - square) / (1 + square));
        worst = fmax(worst, fabs(all[q] - 1 - square) / (1 + square));
    }
    worst = fmax(worst, distance(sum, want, area));
    o->gram(gram, x, n, i);
    for (int a = 0; a < i; a++)
        for (int b = 0; b < i; b++) {
            double v = 2;
            for (int t = 0; t < n && b <= a; t++)
                v += (double)x[t * i + a] * x[t * i + b];
            worst = fmax(worst, distance(&gram[a * i + b], &v, 1));
        }
    ok(worst < 5e-6, "%s gradients of %d sequences, %d -> %d, with %d others: off by %.1e", o->name,
       seqs, i, out, n_p, worst);
    free(x), free(s), free(p), free(sum), free(lambda), free(room), free(gram), free(want);
}

static void check_outer(const struct ops *o)
{
    const int sizes[][4] = {
        {1, 7, 5, 1}, {3, 33, 17, 2}, {19, 20, 9, 70}, {2, 1, 1, 1}, {5, 600, 300, 3}};
    struct rng r;
    rng_seed(&r, 2);
    for (int k = 0; k < 5; k++)
        check_outer_size(o, &r, sizes[k][0], sizes[k][1], sizes[k][2], sizes[k][3]);
}

static void check_linear(const struct ops *o)
{
    const int sizes[][3] = {{1, 7, 5},   {1, 64, 200}, {2, 33, 17},  {3, 64, 48}, {5, 1, 1},
                            {16, 20, 9}, {17, 20, 9},  {7, 100, 31}, {40, 65, 67}};
    struct rng r;
    bool none = true;
    rng_seed(&r, 1);
    for (int k = 0; k < 9; k++)
        check_linear_size(o, &r, sizes[k][0], sizes[k][1], sizes[k][2]);
    o->linear(NULL, NULL, NULL, 0, 4, 4, 0);
    o->linear_dx(NULL, NULL, NULL, 0, 4, 4, 0);
    float *dw = filled(16, NAN);
    o->linear_dw(dw, NULL, NULL, 0, 4, 4, 0);
    for (int k = 0; k < 16; k++)
        none &= dw[k] == 0;
    free(dw);
    ok(none, "%s linear on no rows does nothing, and its dw is 0", o->name);
}

static void check_bias(const struct ops *o)
{
    struct rng r;
    rng_seed(&r, 2);
    enum { N = 5, C = 39 };
    float *y = random_floats(&r, N * C, 1), *b = random_floats(&r, C, 1),
          *db = random_floats(&r, C, 1);
    double *want_y = doubles(y, N * C), *want_db = doubles(db, C);
    for (int i = 0; i < N * C; i++) {
        want_db[i % C] += y[i];
        want_y[i] += b[i % C];
    }
    o->bias_back(db, y, N, C);
    o->bias(y, b, N, C);
    ok(distance(y, want_y, N * C) < 1e-6, "%s bias", o->name);
    ok(distance(db, want_db, C) < 1e-6, "%s bias_back", o->name);
    free(y);
    free(b);
    free(db);
    free(want_y);
    free(want_db);
}

static void check_all(const struct ops *o)
{
    check_linear(o);
    check_outer(o);
    check_bias(o);
}

int main(void)
{
    each_isa(check_all);
    return done();
}
