/* Step memory: taken piece by piece, given back all at once. Pieces are 64-byte aligned and not
 * zeroed. The arena grows by chunks; arena_reset joins them into one, so a steady loop stops
 * allocating.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* owned, newest first */
    size_t used, high;          /* bytes taken now, and at most so far */
};

/* Zero-initialise, or arena_init. */
void arena_init(struct arena *a);
void arena_fini(struct arena *a);
/* n * size bytes, valid until the next reset; NULL on failure. */
void *arena_take(struct arena *a, size_t n, size_t size, struct err *e);
/* The same with zeros in it, and one more than n, so that it is never nothing. */
void *arena_zeros(struct arena *a, size_t n, size_t size, struct err *e);
void arena_reset(struct arena *a);

#endif
