#include <math.h>

#include "base/json.h"
#include "eval/robustness.h"

static const double levels[CURVE_LEVELS] = {0.1, 0.5, 0.9};

double curve_recovery(double m, double start, double target)
{
    return target == start ? NAN : (m - start) / (target - start);
}

/* Mean of (m - origin)/scale over steps, by trapezoids. */
static double mean_over(const double *steps, const double *m, int n, double origin, double scale)
{
    double area = 0;
    for (int i = 1; i < n; i++)
        area += (steps[i] - steps[i - 1]) * ((m[i] - origin) + (m[i - 1] - origin)) / 2;
    return area / scale / (steps[n - 1] - steps[0]);
}

static double largest(const double *v, int n)
{
    double best = v[0];
    for (int i = 1; i < n; i++)
        best = fmax(best, v[i]);
    return best;
}

/* The first step at which the recovery reaches `level`, interpolated; NaN: never. */
static double first_step(const double *steps, const double *m, int n, double target, double level)
{
    double before = curve_recovery(m[0], m[0], target);
    if (before >= level)
        return steps[0];
    for (int i = 1; i < n; i++) {
        const double r = curve_recovery(m[i], m[0], target);
        if (r >= level)
            return steps[i - 1] + (level - before) / (r - before) * (steps[i] - steps[i - 1]);
        before = r;
    }
    return NAN;
}

void curve_summary(struct curve *c, const double *steps, const double *m, int n, double target,
                   const double *control)
{
    const double gain = target == m[0] ? NAN : target - m[0];
    *c = (struct curve){.start = m[0],
                        .end = m[n - 1],
                        .best = largest(m, n),
                        .area = mean_over(steps, m, n, 0, 1),
                        .recovery_area = mean_over(steps, m, n, m[0], gain),
                        .excess_area = NAN,
                        .excess_end = NAN,
                        .excess_best = NAN,
                        .recovery_control_area = NAN};
    c->recovery_end = curve_recovery(c->end, c->start, target);
    c->recovery_best = curve_recovery(m[0], m[0], target);
    for (int i = 1; i < n; i++)
        c->recovery_best = fmax(c->recovery_best, curve_recovery(m[i], m[0], target));
    for (int i = 0; i < CURVE_LEVELS; i++)
        c->steps_to[i] = first_step(steps, m, n, target, levels[i]);
    if (!control)
        return;
    c->excess_area = c->area - mean_over(steps, control, n, 0, 1);
    c->excess_end = c->end - control[n - 1];
    c->excess_best = m[0] - control[0];
    for (int i = 1; i < n; i++)
        c->excess_best = fmax(c->excess_best, m[i] - control[i]);
    c->recovery_control_area = mean_over(steps, control, n, m[0], gain);
}

json_t *curve_json(const struct curve *c)
{
    json_t *j = json_object();
    const struct {
        const char *name;
        double v;
    } values[] = {{"start", c->start},
                  {"end", c->end},
                  {"best", c->best},
                  {"area", c->area},
                  {"recovery_end", c->recovery_end},
                  {"recovery_best", c->recovery_best},
                  {"recovery_area", c->recovery_area},
                  {"steps_to_10", c->steps_to[0]},
                  {"steps_to_50", c->steps_to[1]},
                  {"steps_to_90", c->steps_to[2]},
                  {"excess_area", c->excess_area},
                  {"excess_end", c->excess_end},
                  {"excess_best", c->excess_best},
                  {"recovery_control_area", c->recovery_control_area}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        json_object_set_new(j, values[i].name, json_finite(values[i].v));
    return j;
}

double robust_relearn_one_sided(double u_before, double u_after, double r_before, double r_after)
{
    const double gain = u_after - u_before;
    return gain == 0 ? NAN : fmin((r_after - r_before) / gain, 1);
}

/* 1 - |a - b| / (|a| + |b|), 1 for two zeros. */
static double alike(double a, double b)
{
    const double sum = fabs(a) + fabs(b);
    return sum == 0 ? 1 : 1 - fmin(fabs(a - b) / sum, 1);
}

double robust_relearn(double u_before, double u_after, double r_before, double r_after)
{
    return alike(u_after - u_before, r_after - r_before);
}

double robust_quantise_one_sided(double before, double after)
{
    return before == 0 ? NAN : fmin(after / before, 1);
}

double robust_quantise(double before, double after)
{
    return alike(before, after);
}

double robust_aggregate(double r, double q)
{
    return r > 0 && q > 0 ? 2 / (1 / r + 1 / q) : 0;
}

double aggregate_hm(const double *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += 1 / (v[i] + 1e-12);
    return n / sum;
}
