/* Sorting numbers in ascending order, and the number of one rank without sorting. NaN is not
 * allowed. */
#ifndef BASE_SORT_H
#define BASE_SORT_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static inline int sort_compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline int sort_compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static inline void sort_doubles(double *v, size_t n)
{
    qsort(v, n, sizeof *v, sort_compare_doubles);
}

static inline void sort_floats(float *v, size_t n)
{
    qsort(v, n, sizeof *v, sort_compare_floats);
}

/* The k-th smallest magnitude of floats that are seen twice and not kept: the first time their bit
 * patterns are counted by the upper 16 bits, then by the lower ones of those with the right upper
 * ones.
 *
 *     kth_init(&r, &e)
 *     for each float: kth_see(&r, x)     r.n is how many there were: choose k >= 1
 *     kth_choose(&r, &k)
 *     for each float: kth_see(&r, x)
 *     kth_choose(&r, &k)                 the magnitude
 */
struct kth {
    size_t *count; /* owned [1 << 16] */
    size_t n;      /* seen the first time */
    int64_t upper; /* -1: the first time */
};

static inline int kth_init(struct kth *r, struct err *e)
{
    *r = (struct kth){.count = mem_alloc(1 << 16, sizeof *r->count, e), .upper = -1};
    return r->count ? 0 : -1;
}

static inline void kth_see(struct kth *r, float x)
{
    const float magnitude = fabsf(x);
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    if (r->upper < 0 || bits >> 16 == (uint32_t)r->upper)
        r->count[r->upper < 0 ? bits >> 16 : bits & 0xffff]++;
    r->n += r->upper < 0;
}

/* *k: the rank that is left among those with these upper bits. The second time it returns the
 * magnitude. */
static inline float kth_choose(struct kth *r, size_t *k)
{
    uint32_t bin = 0;
    for (; bin < 0xffff && *k > r->count[bin]; bin++)
        *k -= r->count[bin];
    const uint32_t bits = r->upper < 0 ? bin : (uint32_t)r->upper << 16 | bin;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    r->upper = bin;
    memset(r->count, 0, sizeof *r->count << 16);
    return magnitude;
}

#endif
