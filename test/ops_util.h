/* For tests of operations: random arrays, and the instruction sets to try. */
#ifndef TEST_OPS_UTIL_H
#define TEST_OPS_UTIL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tap.h"
#include "tensor/ops.h"

static inline float *floats(size_t n)
{
    struct err e;
    float *x = mem_alloc(n, sizeof *x, &e);
    BUG_ON(!x);
    return x;
}

/* Normal numbers times `size`. */
static inline float *random_floats(struct rng *r, size_t n, float size)
{
    float *x = floats(n);
    for (size_t i = 0; i < n; i++)
        x[i] = size * (float)rng_normal(r);
    return x;
}

static inline float *filled(size_t n, float value)
{
    float *x = floats(n);
    for (size_t i = 0; i < n; i++)
        x[i] = value;
    return x;
}

/* x in double precision; NULL: zeros. */
static inline double *doubles(const float *x, size_t n)
{
    struct err e;
    double *y = mem_alloc(n, sizeof *y, &e);
    BUG_ON(!y);
    for (size_t i = 0; x && i < n; i++)
        y[i] = x[i];
    return y;
}

/* The largest |got - want| / (1 + |want|), NaN counting as infinite. */
static inline double distance(const float *got, const double *want, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = got[i] == want[i] ? 0 : fabs(got[i] - want[i]) / (1 + fabs(want[i]));
        if (!(d <= worst))
            worst = isnan(d) ? INFINITY : d;
    }
    return worst;
}

/* Calls `test` for every instruction set that this processor has. */
static inline void each_isa(void (*test)(const struct ops *o))
{
    const char *const names[] = {"generic", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        const struct ops *o = ops_cpu_isa(names[i]);
        if (o)
            test(o);
        else
            skip("this processor has no %s", names[i]);
    }
}

#endif
