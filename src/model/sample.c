#include "model/generate.h"

#include <math.h>
#include <stdbool.h>

#include "base/mem.h"

struct candidate {
    double p;
    int id;
};

static bool likelier(const struct candidate *a, const struct candidate *b)
{
    return a->p != b->p ? a->p > b->p : a->id < b->id;
}

/* Lets c[i] sink to its place in a heap of n with the likeliest on top. */
static void sink(struct candidate *c, int n, int i)
{
    struct candidate x = c[i];
    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && likelier(&c[child + 1], &c[child]))
            child++;
        if (likelier(&x, &c[child]))
            break;
        c[i] = c[child];
    }
    c[i] = x;
}

/* Moves the likeliest candidates that together reach `enough` to the end of c[v]; returns how many,
 * and their sum in *mass. Few are wanted of very many, so they are not all sorted. */
static int nucleus(struct candidate *c, int v, double enough, double *mass)
{
    int n = v;
    for (int i = v / 2 - 1; i >= 0; i--)
        sink(c, v, i);
    *mass = 0;
    while (n > 0 && (n == v || *mass < enough)) {
        struct candidate top = c[0];
        *mass += top.p;
        c[0] = c[--n];
        c[n] = top;
        sink(c, n, 0);
    }
    return v - n;
}

static int draw(const float *z, int v, float top, double temperature, double top_p, struct rng *r,
                struct err *e)
{
    struct candidate *c = mem_alloc((size_t)v, sizeof *c, e);
    if (!c)
        return -1;
    double mass = 0;
    for (int i = 0; i < v; i++) {
        c[i] = (struct candidate){exp(((double)z[i] - (double)top) / temperature), i};
        mass += c[i].p;
    }
    int n = top_p < 1 ? nucleus(c, v, top_p * mass, &mass) : v, k = v - n;
    double at = (double)rng_float(r) * mass;
    while (k < v - 1 && at >= c[k].p)
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

double sample_lse(const float *z, int v)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < v; i++)
        top = (double)z[i] > top ? (double)z[i] : top;
    for (int i = 0; i < v; i++)
        sum += exp((double)z[i] - top);
    return top + log(sum);
}

void sample_top(const float *z, int v, double lse, struct likely *top, int n)
{
    for (int i = 0, held = 0; i < v && n; i++) {
        const double logp = (double)z[i] - lse;
        if (held == n && logp <= top[n - 1].logp)
            continue;
        int at = held < n ? held++ : n - 1;
        for (; at > 0 && top[at - 1].logp < logp; at--)
            top[at] = top[at - 1];
        top[at] = (struct likely){i, logp};
    }
}
