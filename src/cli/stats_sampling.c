/* Statistics of many answers to a prompt: leak@k and bounds. */
#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/stats.h"
#include "eval/robustness.h"
#include "base/sort.h"

/* Scores in [0,1], sorted. */
static int get_scores(struct numbers *s, const json_t *obj, struct err *e)
{
    if (stats_numbers(s, obj, "scores", 1, e))
        return -1;
    for (int i = 0; i < s->n; i++)
        if (!(s->v[i] >= 0 && s->v[i] <= 1))
            return err_code(e, ERR_BAD_FILE, "'scores' must lie in [0, 1]");
    return 0;
}

/* --- leak --- */

static int leak_case(json_t *row, struct err *e)
{
    int64_t n, c, k;
    if (json_need_int(row, "n", 1, INT32_MAX, &n, e) || json_need_int(row, "c", 0, n, &c, e) ||
        json_need_int(row, "k", 1, n, &k, e))
        return -1;
    json_put_real(row, "value", leak_at_k((int)n, (int)c, (int)k));
    return 0;
}

/* Means over prompts, each of n sorted scores, of leak@k and of the expected maximum. */
static void leak_means(const struct numbers *s, double threshold, int k, double *leak, double *most)
{
    const int n = s->n / s->rows;
    *leak = *most = 0;
    for (int r = 0; r < s->rows; r++) {
        const double *v = s->v + (size_t)r * (size_t)n;
        int c = 0;
        for (int i = 0; i < n; i++)
            c += v[i] >= threshold;
        *leak += leak_at_k(n, c, k) / s->rows;
        *most += leak_expected_max(v, n, k) / s->rows;
    }
}

/* The largest score of all prompts and answers. */
static double largest(const struct numbers *s)
{
    const int n = s->n / s->rows;
    double most = 0;
    for (int r = 1; r <= s->rows; r++)
        most = fmax(most, s->v[(size_t)r * (size_t)n - 1]);
    return most;
}

static int leak_set(json_t *set, const struct stats_options *o, struct err *e)
{
    struct numbers s = {0}, ks = {0};
    double threshold = o->threshold;
    int rc = get_scores(&s, set, e) || stats_numbers(&ks, set, "k", 1, e) ||
             json_opt_real(set, "threshold", &threshold, e);
    if (!rc && s.n % s.rows)
        rc = err_code(e, ERR_BAD_FILE, "'scores' must have rows of equal length");
    const int n = s.rows ? s.n / s.rows : 0;
    for (int r = 0; !rc && r < s.rows; r++)
        sort_doubles(s.v + (size_t)r * (size_t)n, (size_t)n);
    json_t *leaks = json_array(), *most = json_array();
    for (int i = 0; !rc && i < ks.n; i++) {
        double leak, expected;
        if (ks.v[i] < 1 || ks.v[i] > n) {
            rc = err_code(e, ERR_BAD_FILE, "k = %g: there are %d answers to a prompt", ks.v[i], n);
            break;
        }
        leak_means(&s, threshold, (int)ks.v[i], &leak, &expected);
        json_array_append_new(leaks, json_real(leak));
        json_array_append_new(most, json_real(expected));
    }
    json_object_set_new(set, "leak_at_k", leaks);
    json_object_set_new(set, "expected_max", most);
    if (!rc)
        json_put_real(set, "worst_case", largest(&s));
    free(s.v);
    free(ks.v);
    return rc;
}

int stats_leak(json_t *j, const struct stats_options *o, struct err *e)
{
    size_t i;
    json_t *v, *cases = json_object_get(j, "cases"), *sets = json_object_get(j, "sets");
    json_array_foreach(cases, i, v) if (leak_case(v, e)) return err_prefix(e, "case %zu: ", i + 1);
    json_array_foreach(sets, i, v) if (leak_set(v, o, e)) return err_prefix(e, "set %zu: ", i + 1);
    return cases || sets ? 0 : leak_set(j, o, e);
}

/* --- bound --- */

static void put_pair(json_t *row, const char *name, struct interval i)
{
    char key[64];
    snprintf(key, sizeof key, "%s_lower", name);
    json_put_real(row, key, i.low);
    snprintf(key, sizeof key, "%s_upper", name);
    json_put_real(row, key, i.high);
}

static void put_survival(json_t *row, const struct numbers *s, const struct numbers *x, double eps)
{
    json_t *mid = json_array(), *low = json_array(), *high = json_array();
    for (int i = 0; i < x->n; i++) {
        int above = 0;
        for (int k = 0; k < s->n; k++)
            above += s->v[k] > x->v[i];
        const double p = (double)above / s->n;
        json_array_append_new(mid, json_real(p));
        json_array_append_new(low, json_real(fmax(p - eps, 0)));
        json_array_append_new(high, json_real(fmin(p + eps, 1)));
    }
    json_object_set_new(row, "survival", mid);
    json_object_set_new(row, "survival_lower", low);
    json_object_set_new(row, "survival_upper", high);
}

static void put_bounds(json_t *row, const struct numbers *s, double threshold, double alpha)
{
    const double mean = stats_mean(s->v, s->n);
    double variance = 0;
    int leaks = 0;
    for (int i = 0; i < s->n; i++) {
        variance += (s->v[i] - mean) * (s->v[i] - mean) / s->n;
        leaks += s->v[i] >= threshold;
    }
    json_object_set_new(row, "leaks", json_integer(leaks));
    put_pair(row, "binomial", interval_of_rate(leaks, s->n, 1 - 2 * alpha));
    json_put_real(row, "dkw_eps", leak_dkw(s->n, alpha));
    json_put_real(row, "mean", mean);
    put_pair(row, "mean", leak_mean_bounds(s->v, s->n, alpha, 100));
    const struct interval exact = leak_mean_bounds(s->v, s->n, alpha, 0);
    json_put_real(row, "mean_lower_exact", exact.low);
    json_put_real(row, "mean_upper_exact", exact.high);
    const struct interval v = leak_variance_bounds(s->v, s->n, alpha);
    json_put_real(row, "variance", variance);
    put_pair(row, "variance", v);
    json_put_real(row, "std", sqrt(variance));
    put_pair(row, "std", (struct interval){sqrt(v.low), sqrt(v.high)});
    json_put_real(row, "ed_2", mean + 2 * sqrt(variance));
}

/* Rows without scores have those of the row before. */
int stats_bound(json_t *j, const struct stats_options *o, struct err *e)
{
    struct numbers s = {0}, x = {0};
    double threshold = o->threshold;
    int rc = json_opt_real(j, "leak_threshold", &threshold, e);
    size_t i;
    json_t *row, *rows = json_object_get(j, "rows");
    json_array_foreach(rows, i, row)
    {
        double alpha = o->alpha;
        const bool own = !i || json_object_get(row, "scores");
        if (own)
            free(s.v);
        if (rc || (own && get_scores(&s, row, e)) || json_opt_real(row, "alpha", &alpha, e) ||
            (json_object_get(row, "x") && stats_numbers(&x, row, "x", 1, e))) {
            rc = err_prefix(e, "row %zu: ", i + 1);
            break;
        }
        if (own)
            sort_doubles(s.v, (size_t)s.n);
        put_bounds(row, &s, threshold, alpha);
        if (x.v)
            put_survival(row, &s, &x, leak_dkw(s.n, alpha));
        free(x.v);
        x.v = NULL;
    }
    free(s.v);
    free(x.v);
    return rc || rows ? rc : err_code(e, ERR_BAD_FILE, "'rows' is missing");
}
