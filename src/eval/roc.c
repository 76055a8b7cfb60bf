#include "eval/roc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct value {
    double value;
    int i; /* its index among all */
};

static int compare_values(const void *a, const void *b)
{
    double x = ((const struct value *)a)->value, y = ((const struct value *)b)->value;
    return (x > y) - (x < y);
}

static int collect(struct value *to, int first, const double *v, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i])) {
            to[first + count] = (struct value){v[i], first + count};
            count++;
        }
    return count;
}

static void count(struct roc *r, int i)
{
    if (i < r->n_zero)
        r->at[r->place[i]].zero++;
    else
        r->at[r->place[i]].one++;
}

int roc_init(struct roc *r, const double *zero, int n_zero, const double *one, int n_one,
             struct err *e)
{
    size_t most = (size_t)n_zero + (size_t)n_one;
    struct value *all = mem_alloc(most, sizeof *all, e);
    *r = (struct roc){.at = mem_alloc(most, sizeof *r->at, e),
                      .place = mem_alloc(most, sizeof *r->place, e)};
    if (!all || !r->at || !r->place) {
        free(all);
        roc_fini(r);
        return -1;
    }
    r->n_zero = collect(all, 0, zero, n_zero);
    r->n_one = collect(all, r->n_zero, one, n_one);
    int n = r->n_zero + r->n_one;
    if (n)
        qsort(all, (size_t)n, sizeof *all, compare_values);
    for (int i = 0; i < n; i++) {
        r->n += !i || all[i].value != all[i - 1].value;
        r->place[all[i].i] = r->n - 1;
    }
    for (int i = 0; i < n; i++)
        count(r, i);
    free(all);
    return 0;
}

void roc_draw(struct roc *r, struct rng *rng)
{
    memset(r->at, 0, (size_t)r->n * sizeof *r->at);
    for (int i = 0; i < r->n_zero; i++)
        count(r, (int)((uint64_t)rng_u32(rng) * (uint64_t)r->n_zero >> 32));
    for (int i = 0; i < r->n_one; i++)
        count(r, r->n_zero + (int)((uint64_t)rng_u32(rng) * (uint64_t)r->n_one >> 32));
}

void roc_fini(struct roc *r)
{
    free(r->at);
    free(r->place);
    *r = (struct roc){0};
}

double roc_auc(const struct roc *r)
{
    double wins = 0, below = 0; /* zeros passed so far */
    for (int i = 0; i < r->n; i++) {
        wins += r->at[i].one * (below + r->at[i].zero / 2.0);
        below += r->at[i].zero;
    }
    return r->n_zero && r->n_one ? wins / ((double)r->n_zero * r->n_one) : NAN;
}

double roc_tpr(const struct roc *r, double most)
{
    int zeros = 0, ones = 0;
    for (int i = r->n - 1; i >= 0 && zeros + r->at[i].zero <= most * r->n_zero; i--) {
        zeros += r->at[i].zero;
        ones += r->at[i].one;
    }
    return r->n_zero && r->n_one ? (double)ones / r->n_one : NAN;
}
