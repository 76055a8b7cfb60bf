/* Memory and copies. The CPU's device memory is the host's. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/cpu.h"

float *CPU(alloc)(size_t n, struct err *e)
{
    return mem_alloc(n, sizeof(float), e);
}

void CPU(free)(float *x)
{
    free(x);
}

float *CPU(take)(struct arena *a, size_t n, struct err *e)
{
    return arena_take(a, n, sizeof(float), e);
}

const float *CPU(borrow)(const float *host)
{
    return host;
}

float *CPU(map)(float *x, size_t n)
{
    (void)n;
    return x;
}

const float *CPU(map_read)(const float *x, size_t n)
{
    (void)n;
    return x;
}

void CPU(unmap)(const float *x)
{
    (void)x;
}

void CPU(fill)(float *x, float a, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t count = cpu_piece(p, n);
        if (a == 0)
            memset(x + p, 0, count * sizeof *x);
        for (size_t i = p; a != 0 && i < p + count; i++)
            x[i] = a;
    }
}

void CPU(copy)(float *to, const float *from, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE)
        memcpy(to + p, from + p, cpu_piece(p, n) * sizeof *to);
}

void CPU(copy_rows)(float *to, const int *to_row, const float *from, const int *from_row, int n,
                    int c)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int i = 0; i < n; i++)
        memcpy(to + (size_t)(to_row ? to_row[i] : i) * (size_t)c,
               from + (size_t)(from_row ? from_row[i] : i) * (size_t)c, sizeof *to * (size_t)c);
}

/* Of the 64 bits from `at` on: 0 or 1 if all are equal to it; -1: mixed, or fewer are left. */
static int whole_word(const uint64_t *bits, size_t at, size_t left)
{
    if (at % 64 || left < 64)
        return -1;
    return bits[at / 64] == 0 ? 0 : bits[at / 64] == ~(uint64_t)0 ? 1 : -1;
}

static void copy_or_clear(float *to, const float *from, size_t n)
{
    if (from)
        memcpy(to, from, n * sizeof *to);
    else
        memset(to, 0, n * sizeof *to);
}

/* Words of all zeros or ones are handled at once: masks of rows and neurons consist of them. */
void CPU(copy_masked)(float *to, const float *from, const uint64_t *bits, size_t first, size_t n,
                      bool set)
{
    for (size_t k = 0, count; k < n; k += count) {
        int whole = bits ? whole_word(bits, first + k, n - k) : 1;
        count = !bits ? n : whole < 0 ? 1 : 64;
        bool one = whole < 0 ? bits[(first + k) / 64] >> (first + k) % 64 & 1 : whole == 1;
        if (one == set)
            copy_or_clear(to + k, from ? from + k : NULL, count);
    }
}
