/* Arena allocator for the memory of a step: allocations are released all at once. They are 64-byte
 * aligned and not zeroed. The arena grows by chunks; arena_reset merges them into one, so a loop of
 * equal steps allocates in its first two only.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* owned, newest first */
    size_t used, high;          /* bytes in use, and the high-water mark */
};

/* Zero-initialise, or arena_init. */
void arena_init(struct arena *a);
void arena_fini(struct arena *a);
/* n * size bytes, valid until the next reset; NULL on failure. */
void *arena_take(struct arena *a, size_t n, size_t size, struct err *e);
/* The same, zeroed, with n + 1 elements, so that n = 0 is valid too. */
void *arena_zeros(struct arena *a, size_t n, size_t size, struct err *e);
void arena_reset(struct arena *a);
/* Resets; the next chunk is of at least so many bytes. */
void arena_reserve(struct arena *a, size_t bytes);

#endif
