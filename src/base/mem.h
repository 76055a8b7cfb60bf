/* Memory from the heap. Every allocation of the library goes through here, so that sizes are
 * checked for overflow in one place and tests can make any of them fail. Release with free();
 * free(NULL) is fine.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/err.h"

/* n * size zeroed bytes, 64-byte aligned; NULL on failure. n = 0: a pointer that can be freed. */
void *mem_alloc(size_t n, size_t size, struct err *e);
/* A copy of the string, owned by the caller. */
char *mem_strdup(const char *s, struct err *e);
char *mem_strndup(const char *s, size_t n, struct err *e);
/* Makes room in the growing array *p (elements of `size` bytes, *cap of them allocated) for `need`
 * elements, doubling. New elements are not zeroed. On failure the array is as it was. */
int mem_reserve(void *p, size_t *cap, size_t need, size_t size, struct err *e);

/* Checked sizes: 0 and *out = a op b, or non-zero if it does not fit size_t. */
int size_mul(size_t a, size_t b, size_t *out);
int size_add(size_t a, size_t b, size_t *out);

/* Tests: the allocation number n from now (0 is the next one) fails; n < 0 turns it off.
 * Returns how many allocations happened since the last call. Not for threaded code. */
long mem_fail_at(long n);

#endif
