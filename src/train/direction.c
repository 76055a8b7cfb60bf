#include "train/direction.h"

#include <math.h>
#include <stdbool.h>

#include "base/compat.h"
#include "base/rng.h"

/* Draws that the loader has made by then: two when it starts, one for each retain row. */
static long draws_before(const struct order *o)
{
    long n = 2;
    for (int k = 0; k < 2 && k < o->per_epoch && k < o->n; k++)
        n += o->micro[k].n[ROLE_RETAIN];
    return n;
}

int direction_normalise(float *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    for (int i = 0; i < n && sum > 0; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
    return sum > 0 ? 0 : -1;
}

void direction_draw(float *u, int n, unsigned seed, const struct order *o, unsigned compat)
{
    struct rng r;
    bool peer = compat & COMPAT_RMU_DRAW;
    rng_stream(&r, seed, peer ? RNG_DRAW : RNG_NOISE, 0);
    for (long skip = peer ? draws_before(o) : 0; skip > 0; skip--)
        rng_u32(&r);
    for (int i = 0; i < n; i++)
        u[i] = rng_float(&r);
    direction_normalise(u, n);
}
