#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sizes.h"

/* Arrays of at least so many huge pages are aligned to them and ask for them: fewer page faults
 * when they are first touched, and fewer misses of the TLB after that. */
enum { HUGE_LEAST = SIZE(4, 1) };
#define HUGE_PAGE ((size_t)SIZE(1 << 21, 1 << 16))

static long mem_count, mem_fail = -1;

static int mem_try(size_t n, size_t size, size_t *bytes, struct err *e)
{
    long at = mem_count++;
    if (size_mul(n, size, bytes) || *bytes > SIZE_MAX - 64 || (mem_fail >= 0 && at == mem_fail))
        return err_code(e, ERR_NO_MEMORY, "out of memory (%zu x %zu bytes)", n, size);
    return 0;
}

void *mem_alloc(size_t n, size_t size, struct err *e)
{
    size_t bytes;
    if (mem_try(n, size, &bytes, e))
        return NULL;
    const bool huge = bytes >= HUGE_LEAST * HUGE_PAGE && bytes <= SIZE_MAX - HUGE_PAGE;
    const size_t align = huge ? HUGE_PAGE : 64;
    bytes = bytes ? (bytes + align - 1) & ~(align - 1) : align; /* as aligned_alloc wants it */
    void *p = aligned_alloc(align, bytes);
    if (!p) {
        err_code(e, ERR_NO_MEMORY, "out of memory (%zu bytes)", bytes);
        return NULL;
    }
    if (huge)
        madvise(p, bytes, MADV_HUGEPAGE); /* only a hint */
    return memset(p, 0, bytes);
}

char *mem_strndup(const char *s, size_t n, struct err *e)
{
    if (n == SIZE_MAX) {
        err_no_memory(e, NULL);
        return NULL;
    }
    char *p = mem_alloc(n + 1, 1, e);
    return p ? memcpy(p, s, n) : NULL;
}

char *mem_strdup(const char *s, struct err *e)
{
    return mem_strndup(s, strlen(s), e);
}

int mem_reserve(void *p, size_t *cap, size_t need, size_t size, struct err *e)
{
    if (need <= *cap)
        return 0;
    size_t n = *cap ? *cap : SIZE(8, 2), bytes;
    while (n < need)
        n = n > SIZE_MAX / 2 ? need : 2 * n;
    if (mem_try(n, size, &bytes, e))
        return -1;
    void *old, *grown;
    memcpy(&old, p, sizeof old);
    grown = realloc(old, bytes);
    if (!grown)
        return err_code(e, ERR_NO_MEMORY, "out of memory (%zu bytes)", bytes);
    memcpy(p, &grown, sizeof grown);
    *cap = n;
    return 0;
}

int size_mul(size_t a, size_t b, size_t *out)
{
    return __builtin_mul_overflow(a, b, out) ? -1 : 0;
}

int size_add(size_t a, size_t b, size_t *out)
{
    return __builtin_add_overflow(a, b, out) ? -1 : 0;
}

long mem_fail_at(long n)
{
    long seen = mem_count;
    mem_count = 0;
    mem_fail = n;
    return seen;
}
