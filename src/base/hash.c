#include "base/hash.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/sizes.h"

struct hash_entry {
    uint64_t hash;
    size_t number; /* plus 1; 0: empty */
};

enum { LEAST = SIZE(64, 2) }; /* a power of two */

static void put(struct hash_index *x, struct hash_entry new)
{
    size_t i = new.hash &(x->cap - 1);
    while (x->entry[i].number)
        i = (i + 1) & (x->cap - 1);
    x->entry[i] = new;
}

/* At most half of the entries are in use. */
static int grow(struct hash_index *x, struct err *e)
{
    const struct hash_index old = *x;
    if (2 * (old.n + 1) <= old.cap)
        return 0;
    x->cap = old.cap ? 2 * old.cap : LEAST;
    if (!(x->entry = mem_alloc(x->cap, sizeof *x->entry, e))) {
        *x = old;
        return -1;
    }
    for (size_t i = 0; i < old.cap; i++)
        if (old.entry[i].number)
            put(x, old.entry[i]);
    free(old.entry);
    return 0;
}

int hash_index_add(struct hash_index *x, uint64_t hash, size_t number, struct err *e)
{
    if (grow(x, e))
        return -1;
    put(x, (struct hash_entry){hash, number + 1});
    x->n++;
    return 0;
}

bool hash_index_next(const struct hash_index *x, uint64_t hash, size_t *probe, size_t *number)
{
    for (; x->cap; ++*probe) {
        const struct hash_entry *found = &x->entry[(hash + *probe) & (x->cap - 1)];
        if (!found->number)
            break;
        if (found->hash == hash) {
            ++*probe;
            *number = found->number - 1;
            return true;
        }
    }
    return false;
}

void hash_index_fini(struct hash_index *x)
{
    free(x->entry);
    *x = (struct hash_index){0};
}
