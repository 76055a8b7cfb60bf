/* Gauss-Newton products, solvers, Kronecker factors and influence scores against autograd in f64
 * and kronfluence (tools/make_influence_golden.py), and against dense matrices. */
#include "influence/curvature.h"
#include "influenced.h"

/* --- products and solutions --- */

static void check_products(void)
{
    struct bench b;
    struct err e;
    bench_nlls(&b, 1);
    struct curved c = curved_of(&b, CURVATURE_GAUSS_NEWTON);
    float *v = vector(&b), *out = vector(&b), *again = vector(&b), *before = vector(&b);
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        for (size_t k = 0; k < w->count; k++)
            v[w->at + k] = (float)sin((double)(offset_of(w->name) + k) + 1);
    }
    memcpy(before, b.m.own, b.m.table.total * sizeof *before);
    ok(!curvature_product(&c, v, out, &e), "G v");
    near_sample(&b, "GNv", out, NULL, 1e-3);
    ok(b.m.ops->dot(v, out, b.m.table.moving) > 0, "v^T G v > 0");
    ok(!memcmp(before, b.m.own, b.m.table.total * sizeof *before), "the weights have their bits");
    c.rows.batch = 1;
    BUG_ON(curvature_product(&c, v, again, &e));
    double top, off = worst_of(out, again, b.m.table.grads, &top);
    near(off, 0, 0, 2e-3 * top, "rows one by one give the same");
    v[0] = NAN;
    ok(curvature_product(&c, v, out, &e) && e.code == ERR_NOT_FINITE, "NaN is refused: %s", e.msg);
    free(v), free(out), free(again), free(before);
    bench_close(&b);
}

static void check_cg(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    struct solve_report r;
    bench_nlls(&b, 1);
    struct curved c = curved_of(&b, CURVATURE_GAUSS_NEWTON);
    float *g = gradient_of_role(&b, ROLE_FORGET, GOAL_FORGET), *x = vector(&b);
    struct solve_options o = {.lambda = 1, .tolerance = 1e-3, .iterations = 200};
    ok(!solve_cg(&c, g, x, &o, &r, &e), "CG with the Gauss-Newton matrix");
    near_sample(&b, "gn_x", x, NULL, 1e-3);
    ok(r.converged && r.residual <= 1e-3 && r.curvature >= 1,
       "it converged: %d iterations, residual %g, its own %g", r.iterations, r.residual,
       r.recursive);
    ok(b.m.ops->dot(g, x, b.m.table.moving) > 0,
       "g^T x > 0: the influence step raises the forget loss");
    o.iterations = 5;
    BUG_ON(solve_cg(&c, g, x, &o, &r, &e));
    ok(!r.converged && r.iterations == 5, "five iterations do not converge, which is reported: %g",
       r.residual);
    near_sample(&b, "gn_x_sample_iter5", x, NULL, 1e-3);
    near(r.residual, read_value(&golden, "gn_residual", 4), 1e-3, 0, "with its true residual");
    c.kind = CURVATURE_HESSIAN;
    c.step = 1e-3;
    o = (struct solve_options){.lambda = 44.41, .tolerance = 3e-4, .iterations = 100};
    BUG_ON(solve_cg(&c, g, x, &o, &r, &e));
    ok(r.converged, "CG with the Hessian: residual %g, its own %g", r.residual, r.recursive);
    near_sample(&b, "x", x, NULL, 1e-3);
    ok(r.curvature > 26.6, "the smallest curvature met is not below the reference's: %g",
       r.curvature);
    o.lambda = 1;
    ok(solve_cg(&c, g, x, &o, &r, &e) && r.iterations == 4 && strstr(e.msg, "negative curvature"),
       "too little damping meets negative curvature at iteration 4: %s", e.msg);
    free(g), free(x);
    bench_close(&b);
}

static void check_lissa(void)
{
    struct bench b;
    struct err e;
    struct solve_report r;
    bench_nlls(&b, 1);
    struct curved c = curved_of(&b, CURVATURE_HESSIAN);
    float *g = gradient_of_role(&b, ROLE_FORGET, GOAL_FORGET), *x = vector(&b);
    int *order = tensor_ints(tensor_find(&golden, "lissa.order"), &e);
    struct solve_options o = {
        .lambda = 0.5, .tolerance = 1e-3, .iterations = 30, .scale = 2151, .order = order};
    ok(!solve_lissa(&c, g, x, &o, &r, &e), "thirty steps of LiSSA");
    near_sample(&b, "lissa", x, NULL, 1e-3);
    ok(!r.converged && r.residual > 0.5, "far from converged, which is reported: %g", r.residual);
    double largest = 0;
    for (int i = 0; i < c.rows.n; i++) {
        double one;
        BUG_ON(curvature_largest(&c, i, g, 12, &one, &e));
        largest = fmax(largest, one);
    }
    near(largest, 1791.3, 0.02, 0, "the largest eigenvalue of a row alone");
    o.scale = 300;
    ok(solve_lissa(&c, g, x, &o, &r, &e) && strstr(e.msg, "without bound"),
       "the largest of the set is not enough: %s", e.msg);
    free(order), free(g), free(x);
    bench_close(&b);
}

/* --- a dense matrix --- */

enum { SIDE = 6 };

static void check_dense(void)
{
    struct err e = {.msg = ""};
    float a[SIDE * SIDE], q[SIDE * SIDE];
    double value[SIDE], wide[SIDE * SIDE], x[SIDE], worst = 0, off = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            a[i * SIDE + j] = (float)(cos((i + 1) * (j + 1)) + (i == j) * 4);
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < i; j++)
            a[i * SIDE + j] = a[j * SIDE + i];
    memcpy(q, a, sizeof a);
    ok(!matrix_eigen(q, SIDE, value, &e), "eigenvectors");
    for (int k = 0; k < SIDE; k++)
        for (int i = 0; i < SIDE; i++) {
            double sum = -value[k] * (double)q[k * SIDE + i];
            for (int j = 0; j < SIDE; j++)
                sum += (double)a[i * SIDE + j] * (double)q[k * SIDE + j];
            worst = fmax(worst, fabs(sum));
        }
    near(worst, 0, 0, 1e-5, "A q = value q, one a row");
    bool ascending = true;
    for (int k = 1; k < SIDE; k++)
        ascending &= value[k] >= value[k - 1];
    ok(ascending, "ascending");
    for (int i = 0; i < SIDE * SIDE; i++)
        wide[i] = (double)a[i];
    for (int i = 0; i < SIDE; i++)
        x[i] = i + 1;
    ok(!matrix_solve(wide, SIDE, x, &e), "a system");
    for (int i = 0; i < SIDE; i++) {
        double sum = 0;
        for (int j = 0; j < SIDE; j++)
            sum += (double)a[i * SIDE + j] * x[j];
        off = fmax(off, fabs(sum - (i + 1)));
    }
    near(off, 0, 0, 1e-12, "A x = b");
    wide[0] = -1;
    ok(matrix_solve(wide, SIDE, x, &e), "a matrix that is not positive definite is refused: %s",
       e.msg);
    a[3] = NAN;
    ok(matrix_eigen(a, SIDE, value, &e) && e.code == ERR_NOT_FINITE, "NaN is refused: %s", e.msg);
}

/* On few weights: the Gauss-Newton matrix column by column, solved by LAPACK, against CG. */
static void check_toy(void)
{
    struct bench b;
    struct err e;
    struct solve_report r;
    bench_nlls(&b, 1);
    choose_weights(&b, "model\\.layers\\.[02]\\.input_layernorm\\.weight");
    struct curved c = curved_of(&b, CURVATURE_GAUSS_NEWTON);
    const size_t n = b.m.table.moving;
    float *g = gradient_of_role(&b, ROLE_FORGET, GOAL_FORGET), *x = vector(&b), *v = vector(&b),
          *dense = calloc(n * n, sizeof *dense);
    double *wide = calloc(n * n, sizeof *wide), *y = calloc(n, sizeof *y),
           *value = calloc(n, sizeof *value), worst = 0, top = 0;
    for (size_t k = 0; k < n; k++) {
        memset(v, 0, b.m.table.grads * sizeof *v);
        v[k] = 1;
        BUG_ON(curvature_product(&c, v, x, &e));
        memcpy(dense + k * n, x, n * sizeof *dense);
    }
    for (size_t k = 0; k < n * n; k++) {
        wide[k] = (double)dense[k] + (k % (n + 1) == 0) * 0.5;
        top = fmax(top, fabs((double)dense[k]));
        worst = fmax(worst, fabs((double)dense[k] - (double)dense[k % n * n + k / n]));
    }
    near(worst, 0, 0, 2e-3 * top, "a dense Gauss-Newton matrix of %zu weights is symmetric", n);
    for (size_t k = 0; k < n; k++)
        y[k] = (double)g[k];
    BUG_ON(matrix_solve(wide, (int)n, y, &e) || matrix_eigen(dense, (int)n, value, &e));
    ok(value[0] > -1e-3 * value[n - 1], "and positive semi-definite: %g to %g", value[0],
       value[n - 1]);
    const struct solve_options o = {.lambda = 0.5, .tolerance = 1e-4, .iterations = 200};
    BUG_ON(solve_cg(&c, g, x, &o, &r, &e));
    double diff = 0, sum = 0;
    for (size_t k = 0; k < n; k++) {
        diff += ((double)x[k] - y[k]) * ((double)x[k] - y[k]);
        sum += y[k] * y[k];
    }
    near(sqrt(diff / sum), 0, 0, 1e-3, "CG gives the solution of the dense system");
    free(g), free(x), free(v), free(dense), free(wide), free(y), free(value);
    bench_close(&b);
}

/* The recursion that WoodFisher is defined by, in f64. */
static void check_woodfisher(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    bench_nlls(&b, 1);
    choose_weights(&b, "model\\.layers\\.0\\.input_layernorm\\.weight");
    struct curved c = curved_of(&b, CURVATURE_GAUSS_NEWTON);
    enum { N = 24 };
    const double delta = 0.3;
    double inverse[N][N] = {{0}}, x[N] = {0}, worst = 0, top = 0;
    float *g = gradient_of_role(&b, ROLE_FORGET, GOAL_FORGET), *got = vector(&b), *gi = vector(&b);
    BUG_ON(b.m.table.moving < N);
    for (int i = 0; i < N; i++)
        inverse[i][i] = 1 / delta;
    for (int row = 0; row < c.rows.n; row++) {
        const struct data_rows one = {ROLE_RETAIN, &row, 1, 1};
        double loss, f[N] = {0}, s = c.rows.n;
        BUG_ON(derivative_gradient(&b.g, GOAL_BIT(GOAL_RETAIN), &one, gi, &loss, &e));
        const double labels = seq_labels(&b.sets[ROLE_RETAIN].seqs[row]);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                f[i] += inverse[i][j] * (double)gi[j] * labels;
        for (int i = 0; i < N; i++)
            s += (double)gi[i] * labels * f[i];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                inverse[i][j] -= f[i] * f[j] / s;
    }
    ok(!solve_woodfisher(&c, g, got, delta, 0, 1e9, &e), "WoodFisher");
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++)
            x[i] += inverse[i][j] * (double)g[j];
        worst = fmax(worst, fabs(x[i] - (double)got[i]));
        top = fmax(top, fabs(x[i]));
    }
    near(worst, 0, 0, 1e-4 * top, "its recursion over rows gives the same");
    BUG_ON(solve_woodfisher(&c, g, gi, delta, 7, 1e9, &e));
    ok(memcmp(got, gi, N * sizeof *got) != 0, "blocks of 7 elements give another");
    ok(solve_woodfisher(&c, g, got, delta, 0, 100, &e) && strstr(e.msg, "GiB"),
       "more memory than allowed is refused: %s", e.msg);
    free(g), free(got), free(gi);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    begin_influence(dir);
    check_dense();
    check_products();
    check_cg();
    check_lissa();
    check_toy();
    check_woodfisher();
    tensor_file_close(&golden);
    free(dir);
    return done();
}
