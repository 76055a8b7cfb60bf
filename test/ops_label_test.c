/* Log-probabilities of labels, and the exponential and hyperbolic tangent under them. */
#include "ops_util.h"
#include "tensor/cpu_math.h"

static double lse_of(const float *z, int v)
{
    double top = z[0], sum = 0;
    for (int j = 1; j < v; j++)
        top = fmax(top, z[j]);
    for (int j = 0; j < v; j++)
        sum += exp(z[j] - top);
    return top + log(sum);
}

static void check_rows(const struct ops *o, struct rng *r, int n, int v, float size)
{
    float *z = random_floats(r, (size_t)n * v, size), *out = floats((size_t)n * v);
    float logp[5], lse[5], g[5];
    int label[5], best[5], right = 0;
    double worst = 0, off_back = 0, off_all = 0;

    for (int i = 0; i < n; i++) {
        label[i] = (int)rng_below(r, (uint32_t)v);
        g[i] = (float)rng_normal(r);
    }
    o->label_logp(logp, lse, best, z, label, n, v);
    o->log_softmax(out, z, n, v);
    float *dz = floats((size_t)n * v);
    memcpy(dz, z, sizeof *dz * (size_t)n * v);
    o->label_logp_back(dz, lse, g, label, n, v);
    for (int i = 0; i < n; i++) {
        const float *row = z + (size_t)i * v;
        double sum = lse_of(row, v), want = row[label[i]] - sum;
        worst = fmax(worst, fmax(distance(&logp[i], &want, 1), distance(&lse[i], &sum, 1)));
        int first = 0;
        for (int j = 0; j < v; j++) {
            double all = row[j] - sum, back = g[i] * ((j == label[i]) - exp(row[j] - sum));
            first = row[j] > row[first] ? j : first;
            off_all = fmax(off_all, distance(out + (size_t)i * v + j, &all, 1));
            off_back = fmax(off_back, distance(dz + (size_t)i * v + j, &back, 1));
        }
        right += best[i] == first;
    }
    ok(worst < 2e-7 && right == n && off_back < 3e-6 && off_all < 5e-7,
       "%s label_logp %d x %d: off by %.1e, back %.1e, log_softmax %.1e", o->name, n, v, worst,
       off_back, off_all);
    o->label_logp(g, NULL, NULL, z, label, n, v);
    o->log_softmax(z, z, n, v);
    ok(!memcmp(g, logp, sizeof *g * (size_t)n) && !memcmp(z, out, sizeof *z * (size_t)n * v),
       "%s label_logp without lse and best, log_softmax in place", o->name);
    free(z);
    free(out);
    free(dz);
}

/* Mean and variance of log p and the label's rank, against plain loops. */
static void check_spread(const struct ops *o, struct rng *r, int n, int v, float size)
{
    float *z = random_floats(r, (size_t)n * v, size);
    float logp[5], lse[5], mean[5], variance[5];
    int label[5], rank[5], right = 0;
    double worst = 0;
    for (int i = 0; i < n; i++)
        label[i] = (int)rng_below(r, (uint32_t)v);
    z[v - 1] = v > 1 ? -INFINITY : 0; /* p log p is 0 there */
    label[0] = 0;
    o->label_logp(logp, lse, NULL, z, label, n, v);
    o->label_spread(mean, variance, rank, z, lse, label, n, v);
    for (int i = 0; i < n; i++) {
        const float *row = z + (size_t)i * v;
        double sum = lse_of(row, v), one = 0, two = 0;
        int above = 0;
        for (int j = 0; j < v; j++) {
            double l = row[j] - sum, p = exp(l);
            one += p > 0 ? p * l : 0;
            two += p > 0 ? p * l * l : 0;
            above += row[j] > row[label[i]];
        }
        double spread = two - one * one;
        worst = fmax(worst, fmax(distance(&mean[i], &one, 1), distance(&variance[i], &spread, 1)));
        right += rank[i] == above;
    }
    ok(worst < 2e-5 && right == n, "%s label_spread %d x %d: off by %.1e, %d of %d ranks", o->name,
       n, v, worst, right, n);
    free(z);
}

static void check_labels(const struct ops *o)
{
    struct rng r;
    rng_seed(&r, 2);
    check_spread(o, &r, 1, 1, 1);
    check_spread(o, &r, 5, 1000, 5);
    check_spread(o, &r, 2, 49153, 3);
    rng_seed(&r, 1);
    check_rows(o, &r, 1, 1, 1);
    check_rows(o, &r, 3, 7, 1);
    check_rows(o, &r, 5, 1000, 5);
    check_rows(o, &r, 2, 49152, 3);
    check_rows(o, &r, 2, 150001, 40);
    float z[] = {1, 3, -2, 3, 3, 0, 0, -INFINITY, 2}, logp[3], lse[3];
    const int label[] = {0, 1, 1};
    int best[3];
    o->label_logp(logp, lse, best, z, label, 3, 3);
    ok(best[0] == 1 && best[1] == 0 && best[2] == 2, "%s argmax is the lowest index on ties",
       o->name);
    ok(isinf(logp[2]) && logp[2] < 0, "%s a logit of -inf has log-probability -inf", o->name);
    z[1] = NAN;
    o->label_logp(logp, lse, best, z, label, 3, 3);
    ok(isnan(logp[0]) && !isnan(logp[1]), "%s NaN stays in its row", o->name);
}

static double ulps(float got, double want)
{
    double unit = fabs(nextafterf((float)want, INFINITY) - (double)(float)want);
    return fabs(got - want) / unit;
}

static void check_math(void)
{
    double worst_exp = 0, worst_tanh = 0;
    for (float x = -87.3f; x < 88.72f; x += 1.7e-4f)
        worst_exp = fmax(worst_exp, ulps(cpu_exp(x), exp(x)));
    for (float x = -12; x < 12; x += 2.3e-5f)
        worst_tanh = fmax(worst_tanh, ulps(cpu_tanh(x), tanh(x)));
    ok(worst_exp < 2, "exp is within 2 units in the last place: %.2f", worst_exp);
    ok(worst_tanh < 4, "tanh is within 4: %.2f", worst_tanh);
    ok(cpu_exp(-INFINITY) == 0 && cpu_exp(-100) == 0 && cpu_exp(-1e30f) == 0, "exp far below is 0");
    ok(isinf(cpu_exp(INFINITY)) && isinf(cpu_exp(88.8f)) && isinf(cpu_exp(1e30f)), "and above inf");
    ok(isnan(cpu_exp(NAN)) && isnan(cpu_tanh(NAN)), "NaN stays");
    ok(cpu_exp(0) == 1 && cpu_exp(88.72283f) > 3.4e38f && isfinite(cpu_exp(88.72283f)),
       "exp at its ends");
    ok(cpu_tanh(INFINITY) == 1 && cpu_tanh(-INFINITY) == -1, "tanh of infinities");
    ok(cpu_sigmoid(-INFINITY) == 0 && cpu_sigmoid(INFINITY) == 1, "sigmoid of infinities");
}

int main(void)
{
    check_math();
    each_isa(check_labels);
    return done();
}
