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
    check_bias(o);
}

int main(void)
{
    each_isa(check_all);
    return done();
}
