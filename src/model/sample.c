#include "model/sample.h"

#include <math.h>

#include "base/mem.h"

struct candidate {
    double p;
    int id;
};

static int likelier_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p) - (x->p > y->p) : x->id - y->id;
}

static int draw(const float *z, int v, float top, double temperature, double top_p, struct rng *r,
                struct err *e)
{
    struct candidate *c = mem_alloc((size_t)v, sizeof *c, e);
    if (!c)
        return -1;
    double total = 0, mass = 0;
    for (int i = 0; i < v; i++) {
        c[i] = (struct candidate){exp(((double)z[i] - (double)top) / temperature), i};
        total += c[i].p;
    }
    qsort(c, (size_t)v, sizeof *c, likelier_first);
    int n = 0;
    while (n < v && (n == 0 || mass < top_p * total))
        mass += c[n++].p;
    double at = (double)rng_float(r) * mass;
    int k = 0;
    while (k + 1 < n && at >= c[k].p)
        at -= c[k++].p;
    int id = c[k].id;
    free(c);
    return id;
}

int sample_token(const float *z, int v, double temperature, double top_p, struct rng *r,
                 float *margin, struct err *e)
{
    int best = -1;
    float top = -INFINITY, second = -INFINITY;
    for (int i = 0; i < v; i++)
        if (z[i] > top) {
            second = top;
            top = z[i];
            best = i;
        } else if (z[i] > second) {
            second = z[i];
        }
    if (best < 0 || !isfinite(top))
        return err_set(e, "the model gives no finite logit; its weights are damaged");
    *margin = top - second;
    return temperature > 0 ? draw(z, v, top, temperature, top_p, r, e) : best;
}
