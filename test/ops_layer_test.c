/* Norms, activations and soft caps: forward against plain double-precision loops, backward against
 * central differences of those loops, at odd sizes and for every instruction set.
 */
#include "ops_fun.h"

enum { NORM_EPS = 1000 }; /* 1 / eps */

static double rms_loss(const struct fun *f)
{
    double sum = 0;
    for (int r = 0; r < f->n; r++) {
        const double *x = f->in[0] + r * f->c;
        double mean = 0;
        for (int j = 0; j < f->c; j++)
            mean += x[j] * x[j] / f->c;
        for (int j = 0; j < f->c; j++)
            sum +=
                f->dout[r * f->c + j] * x[j] / sqrt(mean + 1.0 / NORM_EPS) * (f->in[1][j] + f->d);
    }
    return sum;
}

/* f->d is the offset of w. The forward is right if its sum with every one-hot dout is. */
static void check_rmsnorm(const struct ops *o)
{
    const int sizes[][3] = {{1, 7, 0}, {5, 36, 1}, {3, 1, 0}};
    struct rng r;
    rng_seed(&r, 5);
    for (int k = 0; k < 3; k++) {
        int n = sizes[k][0], c = sizes[k][1], offset = sizes[k][2];
        size_t size = (size_t)n * c;
        float *x = random_floats(&r, size, 0.2f), *w = random_floats(&r, (size_t)c, 1);
        float *dy = random_floats(&r, size, 1), *dx = filled(size, 1), *dw = filled((size_t)c, 2);
        float *y = filled(size, NAN), *rstd = filled((size_t)n, NAN), *one = floats(size);
        struct fun f = fun_of(rms_loss, x, size, w, (size_t)c, one);
        f.n = n, f.c = c, f.d = offset;
        o->rmsnorm(y, rstd, x, w, n, c, 1.0f / NORM_EPS, (float)offset);
        double worst = 0;
        for (size_t i = 0; i < size; i++) {
            one[i] = 1;
            double want = rms_loss(&f);
            one[i] = 0;
            worst = fmax(worst, distance(y + i, &want, 1));
        }
        ok(worst < 1e-6, "%s rmsnorm %d x %d: off by %.1e", o->name, n, c, worst);
        o->rmsnorm_back(dx, dw, dy, x, w, rstd, n, c, (float)offset);
        o->rmsnorm_back(y, NULL, dy, x, w, rstd, n, c, (float)offset);
        f.dout = dy;
        float *ones = filled(size, 1), *twos = filled((size_t)c, 2);
        double off_x = gradient_off(&f, 0, dx, ones), off_w = gradient_off(&f, 1, dw, twos);
        ok(off_x < 2e-6 && off_w < 2e-6, "%s rmsnorm_back %d x %d: off by dx %.1e dw %.1e", o->name,
           n, c, off_x, off_w);
        float *const arrays[] = {x, w, dy, dx, dw, y, rstd, one, ones, twos};
        for (int i = 0; i < 10; i++)
            free(arrays[i]);
        fun_fini(&f);
    }
}

static double layer_loss(const struct fun *f)
{
    double sum = 0;
    for (int r = 0; r < f->n; r++) {
        const double *x = f->in[0] + r * f->c;
        double mean = 0, square = 0;
        for (int j = 0; j < f->c; j++)
            mean += x[j] / f->c;
        for (int j = 0; j < f->c; j++)
            square += (x[j] - mean) * (x[j] - mean) / f->c;
        for (int j = 0; j < f->c; j++)
            sum += f->dout[r * f->c + j] *
                   ((x[j] - mean) / sqrt(square + 1.0 / NORM_EPS) * f->in[1][j] + f->in[2][j]);
    }
    return sum;
}

/* x lies far from 0, where a variance from the mean of squares would lose its digits. */
static void check_layernorm(const struct ops *o)
{
    const int sizes[][2] = {{1, 7}, {5, 36}, {3, 1}};
    struct rng r;
    rng_seed(&r, 10);
    for (int k = 0; k < 3; k++) {
        int n = sizes[k][0], c = sizes[k][1];
        size_t size = (size_t)n * c, wide = (size_t)c;
        float *x = random_floats(&r, size, 0.5f), *w = random_floats(&r, wide, 1);
        float *b = random_floats(&r, wide, 1), *dy = random_floats(&r, size, 1);
        float *dx = filled(size, 1), *dw = filled(wide, 2), *db = filled(wide, 3);
        float *y = filled(size, NAN), *mean = filled((size_t)n, NAN),
              *rstd = filled((size_t)n, NAN);
        for (size_t i = 0; i < size; i++)
            x[i] += 5;
        float *one = floats(size);
        struct fun f = fun_of(layer_loss, x, size, w, wide, one);
        f.in[2] = doubles(b, wide), f.size[2] = wide, f.n = n, f.c = c;
        o->layernorm(y, mean, rstd, x, w, b, n, c, 1.0f / NORM_EPS);
        double worst = 0;
        for (size_t i = 0; i < size; i++) {
            one[i] = 1;
            double want = layer_loss(&f);
            one[i] = 0;
            worst = fmax(worst, distance(y + i, &want, 1));
        }
        ok(worst < 5e-6, "%s layernorm %d x %d: off by %.1e", o->name, n, c, worst);
        o->layernorm_back(dx, dw, db, dy, x, w, mean, rstd, n, c);
        o->layernorm_back(y, NULL, NULL, dy, x, w, mean, rstd, n, c);
        f.dout = dy;
        float *ones = filled(size, 1), *twos = filled(wide, 2), *threes = filled(wide, 3);
        double off_x = gradient_off(&f, 0, dx, ones), off_w = gradient_off(&f, 1, dw, twos),
               off_b = gradient_off(&f, 2, db, threes);
        ok(off_x < 5e-6 && off_w < 5e-6 && off_b < 2e-6,
           "%s layernorm_back %d x %d: off by dx %.1e dw %.1e db %.1e", o->name, n, c, off_x, off_w,
           off_b);
        float *const arrays[] = {x, w, b, dy, dx, dw, db, y, mean, rstd, one, ones, twos, threes};
        for (int i = 0; i < 14; i++)
            free(arrays[i]);
        fun_fini(&f);
    }
}

static double act_value(int kind, double x)
{
    switch (kind) {
    case ACT_SILU:
        return x / (1 + exp(-x));
    case ACT_GELU_TANH:
        return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_GELU_ERF:
        return x / 2 * (1 + erf(x / sqrt(2)));
    default:
        return x > 0 ? x : 0;
    }
}

static double glu_value(const struct fun *f, size_t i)
{
    return act_value(f->kind, f->in[0][i]) * (f->size[1] ? f->in[1][i] : 1);
}

static double glu_loss(const struct fun *f)
{
    double sum = 0;
    for (size_t i = 0; i < f->size[0]; i++)
        sum += f->dout[i] * glu_value(f, i);
    return sum;
}

static void check_glu(const struct ops *o, enum act_kind act, bool gated)
{
    enum { N = 277 };
    const char *const names[] = {"silu", "gelu_tanh", "gelu_erf", "relu"};
    struct rng r;
    rng_seed(&r, 7);
    float *gate = random_floats(&r, N, 2), *up = random_floats(&r, N, 1);
    float *dy = random_floats(&r, N, 1), *y = filled(N, NAN), *u = gated ? up : NULL;
    struct fun f = fun_of(glu_loss, gate, N, up, gated ? N : 0, dy);
    f.kind = act;
    double worst = 0;
    o->glu(y, act, gate, u, N);
    for (size_t i = 0; i < N; i++) {
        double want = glu_value(&f, i);
        worst = fmax(worst, distance(y + i, &want, 1));
    }
    ok(worst < 1e-6, "%s %s%s: off by %.1e", o->name, names[act], gated ? ", gated" : "", worst);
    o->glu_back(gate, u, act, dy, gate, u, N);
    double off_gate = gradient_off(&f, 0, gate, NULL),
           off_up = gated ? gradient_off(&f, 1, up, NULL) : 0;
    ok(off_gate < 2e-6 && off_up < 2e-6, "%s %s back in place: off by %.1e, %.1e", o->name,
       names[act], off_gate, off_up);
    float extreme[] = {-200, 200, 0}, slope[] = {1, 1, 1};
    o->glu(y, act, extreme, NULL, 3);
    o->glu_back(slope, NULL, act, slope, extreme, NULL, 3);
    ok(y[0] == 0 && y[1] == 200 && y[2] == 0 && slope[0] == 0 && slope[1] == 1,
       "%s %s at -200, 200, 0", o->name, names[act]);
    float *const arrays[] = {gate, up, dy, y};
    for (int i = 0; i < 4; i++)
        free(arrays[i]);
    fun_fini(&f);
}

static double cap_loss(const struct fun *f)
{
    double sum = 0;
    for (size_t i = 0; i < f->size[0]; i++)
        sum += f->dout[i] * 3 * tanh(f->in[0][i] / 3);
    return sum;
}

static void check_softcap(const struct ops *o)
{
    enum { N = 77 };
    struct rng r;
    rng_seed(&r, 11);
    float *z = random_floats(&r, N, 3), *dz = random_floats(&r, N, 1), *dy = floats(N);
    memcpy(dy, dz, N * sizeof *dy);
    struct fun f = fun_of(cap_loss, z, N, z, 0, dy);
    double worst = 0;
    o->softcap(z, N, 3);
    for (size_t i = 0; i < N; i++) {
        double want = 3 * tanh(f.in[0][i] / 3);
        worst = fmax(worst, distance(z + i, &want, 1));
    }
    o->softcap_back(dz, z, N, 3);
    double off = gradient_off(&f, 0, dz, NULL);
    ok(worst < 1e-6 && off < 2e-6, "%s softcap: off by %.1e, back %.1e", o->name, worst, off);
    free(z);
    free(dz);
    free(dy);
    fun_fini(&f);
}

enum { EXPERTS = 5, USED = 3 };

/* sum of dout * weight [n,USED], the choice given by the logits f->in[0] [n,EXPERTS]; f->d: norm.
 */
static double route_loss(const struct fun *f)
{
    double loss = 0;
    for (int r = 0; r < f->n; r++) {
        const double *z = f->in[0] + r * EXPERTS;
        double p[EXPERTS], sum = 0, chosen = 0;
        bool taken[EXPERTS] = {false};
        for (int i = 0; i < EXPERTS; i++)
            sum += p[i] = exp(z[i]);
        double w[USED];
        for (int j = 0; j < USED; j++) {
            int best = -1;
            for (int i = 0; i < EXPERTS; i++)
                if (!taken[i] && (best < 0 || z[i] > z[best]))
                    best = i;
            taken[best] = true;
            chosen += w[j] = p[best] / sum;
        }
        for (int j = 0; j < USED; j++)
            loss += f->dout[r * USED + j] * w[j] / (f->d ? chosen : 1);
    }
    return loss;
}

static struct fun route_fun(const float *z, int n, const float *dout, int norm)
{
    struct fun f = fun_of(route_loss, z, (size_t)n * EXPERTS, z, 0, dout);
    f.n = n, f.d = norm;
    return f;
}

static void check_route(const struct ops *o, int norm)
{
    enum { N = 9, ALL = N * EXPERTS, CHOSEN = N * USED };
    struct rng r;
    rng_seed(&r, 12);
    float *z = random_floats(&r, ALL, 1), *p = filled(ALL, NAN), *w = filled(CHOSEN, NAN);
    float *dz = filled(ALL, NAN), *one = floats(CHOSEN), *dy = random_floats(&r, CHOSEN, 1);
    int expert[CHOSEN];
    z[1] = z[3] = 9; /* equal: the lower one first */
    o->route(p, expert, w, z, N, EXPERTS, USED, norm);
    double worst = 0;
    for (int i = 0; i < CHOSEN; i++) {
        one[i] = 1;
        struct fun f = route_fun(z, N, one, norm);
        double want = route_loss(&f);
        worst = fmax(worst, distance(w + i, &want, 1));
        one[i] = 0;
        fun_fini(&f);
    }
    z[1] = 9.5f; /* a slope needs a choice that holds */
    o->route(p, expert, w, z, N, EXPERTS, USED, norm);
    o->route_back(dz, dy, p, expert, w, N, EXPERTS, USED, norm);
    struct fun f = route_fun(z, N, dy, norm);
    double off = gradient_off(&f, 0, dz, NULL);
    ok(worst < 1e-6 && off < 2e-6 && expert[0] == 1 && expert[1] == 3,
       "%s route%s: off by %.1e, back %.1e", o->name, norm ? ", normalised" : "", worst, off);
    free(z);
    free(p);
    free(w);
    free(dz);
    free(one);
    free(dy);
    fun_fini(&f);
}

static void check_row_products(const struct ops *o)
{
    enum { N = 5, C = 37 };
    struct rng r;
    rng_seed(&r, 13);
    float *x = random_floats(&r, N * C, 1), *y = random_floats(&r, N * C, 1), dot[N], a[N];
    double off = 0;
    o->dot_rows(dot, x, y, N, C);
    for (int i = 0; i < N; i++) {
        double want = 0;
        for (int j = 0; j < C; j++)
            want += (double)x[i * C + j] * (double)y[i * C + j];
        off = fmax(off, distance(&dot[i], &want, 1));
        a[i] = (float)(i - 2);
    }
    float *was = floats(N * C);
    memcpy(was, y, N * C * sizeof *y);
    o->scale_rows(y, a, N, C);
    for (int i = 0; i < N * C; i++)
        off = fmax(off, fabs((double)y[i] - (double)was[i] * (double)a[i / C]));
    ok(off < 1e-6, "%s rows scaled, products of rows: off by %.1e", o->name, off);
    free(was);
    free(x);
    free(y);
}

static void check_all(const struct ops *o)
{
    check_rmsnorm(o);
    check_layernorm(o);
    for (int act = ACT_SILU; act <= ACT_RELU; act++) {
        check_glu(o, (enum act_kind)act, true);
        check_glu(o, (enum act_kind)act, false);
    }
    check_softcap(o);
    check_route(o, 0);
    check_route(o, 1);
    check_row_products(o);
}

int main(void)
{
    each_isa(check_all);
    return done();
}
