/* Sorting numbers in ascending order. NaN is not allowed. */
#ifndef BASE_SORT_H
#define BASE_SORT_H

#include <stdlib.h>

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

#endif
