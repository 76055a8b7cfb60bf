/* Which table, on how many threads; what is a few entries of any table. */
#include <cblas.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sizes.h"
#include "tensor/cpu.h"

extern const struct ops cpu_ops_generic, cpu_ops_avx2, cpu_ops_avx512;

static bool runs_generic(void)
{
    return true;
}

static bool runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* Best first. */
static const struct isa {
    const char *name;
    bool (*runs)(void);
    const struct ops *ops;
} isas[] = {
    {"avx512", runs_avx512, &cpu_ops_avx512},
    {"avx2", runs_avx2, &cpu_ops_avx2},
    {"generic", runs_generic, &cpu_ops_generic},
    {NULL, NULL, NULL},
};

const struct ops *ops_cpu_isa(const char *name)
{
    for (const struct isa *i = isas; i->name; i++)
        if (!strcmp(i->name, name))
            return i->runs() ? i->ops : NULL;
    return NULL;
}

static const struct isa *find_best(void)
{
    const struct isa *best = isas;
    while (!best->runs())
        best++;
    return best;
}

/* The instruction set is not asked for: the bits are the same with each. */
void dtype_to_f32(enum dtype t, float *dst, const void *src, size_t n)
{
    const struct stored w = {t, src, NULL};
    find_best()->ops->unpack(dst, &w, 0, n);
}

const struct ops *ops_cpu(void)
{
    const char *wish = getenv("UNLEARN_ISA");
    const struct ops *wished = wish ? ops_cpu_isa(wish) : NULL;
    const struct isa *best = find_best();

    if (wish && !wished)
        log_warn("UNLEARN_ISA '%s' is not one of generic, avx2, avx512 that this processor has; "
                 "using %s",
                 wish, best->name);
    return wished ? wished : best->ops;
}

void ops_set_threads(int n)
{
    if (n <= 0)
        n = omp_get_num_procs();
    omp_set_num_threads(n);
    openblas_set_num_threads(n);
}

int ops_threads(void)
{
    return omp_get_max_threads();
}

void ops_write(const struct ops *o, float *to, const float *host, size_t n)
{
    memcpy(o->map(to, n), host, n * sizeof *host);
    o->unmap(to);
}

void ops_read(const struct ops *o, float *host, const float *from, size_t n)
{
    memcpy(host, o->map_read(from, n), n * sizeof *host);
    o->unmap(from);
}

float *ops_upload(const struct ops *o, const float *host, size_t n, struct err *e)
{
    float *x = o->alloc(n, e);
    if (x)
        ops_write(o, x, host, n);
    return x;
}

void cpu_columns(int c, int *first, int *end)
{
    int n = omp_get_num_threads(), me = omp_get_thread_num();
    enum { LINE = SIZE(16, 3) };
    int lines = (c + LINE - 1) / LINE;

    *first = (int)((long)lines * me / n) * LINE;
    *end = (int)((long)lines * (me + 1) / n) * LINE;
    if (*end > c)
        *end = c;
}
