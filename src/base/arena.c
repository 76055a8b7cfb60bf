#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"

#define ALIGN       64
#define CHUNK_LEAST ((size_t)SIZE(1 << 16, ALIGN))

struct arena_chunk {
    struct arena_chunk *next; /* owned, older */
    char *data;               /* owned */
    size_t size, used;
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

static void free_chunks(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c->data);
        free(c);
    }
    a->chunks = NULL;
}

void arena_fini(struct arena *a)
{
    free_chunks(a);
    *a = (struct arena){0};
}

/* The first chunk is as large as the high-water mark, so that a loop of equal steps needs no second
 * one. */
static int add_chunk(struct arena *a, size_t need, struct err *e)
{
    size_t size = a->chunks ? a->chunks->size : a->high;
    if (size < need)
        size = need;
    if (size < CHUNK_LEAST)
        size = CHUNK_LEAST;
    struct arena_chunk *c = mem_alloc(1, sizeof *c, e);
    if (!c)
        return -1;
    *c = (struct arena_chunk){a->chunks, mem_alloc(size, 1, e), size, 0};
    if (!c->data) {
        free(c);
        return -1;
    }
    a->chunks = c;
    return 0;
}

void *arena_take(struct arena *a, size_t n, size_t size, struct err *e)
{
    size_t bytes;
    if (size_mul(n, size, &bytes) || bytes > SIZE_MAX / 2 - ALIGN) {
        err_code(e, ERR_NO_MEMORY, "out of memory (%zu x %zu bytes)", n, size);
        return NULL;
    }
    bytes = bytes ? (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    if ((!a->chunks || a->chunks->size - a->chunks->used < bytes) && add_chunk(a, bytes, e))
        return NULL;
    struct arena_chunk *c = a->chunks;
    void *p = c->data + c->used;
    c->used += bytes;
    a->used += bytes;
    if (a->high < a->used)
        a->high = a->used;
    return p;
}

void *arena_zeros(struct arena *a, size_t n, size_t size, struct err *e)
{
    void *p = arena_take(a, n + 1, size, e);
    return p ? memset(p, 0, (n + 1) * size) : NULL;
}

void arena_reset(struct arena *a)
{
    if (a->chunks && a->chunks->next)
        free_chunks(a); /* the next take allocates one of `high` bytes */
    if (a->chunks)
        a->chunks->used = 0;
    a->used = 0;
}

void arena_reserve(struct arena *a, size_t bytes)
{
    arena_reset(a);
    free_chunks(a);
    a->high = bytes > a->high ? bytes : a->high;
}
