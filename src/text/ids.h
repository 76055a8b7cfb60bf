/* A growing list of token ids. */
#ifndef TEXT_IDS_H
#define TEXT_IDS_H

#include <stddef.h>

#include "base/mem.h"

struct ids {
    int *v; /* owned; zero-initialise, free(v) */
    size_t n, cap;
};

static inline int ids_add(struct ids *ids, int id, struct err *e)
{
    if (mem_reserve(&ids->v, &ids->cap, ids->n + 1, sizeof *ids->v, e))
        return -1;
    ids->v[ids->n++] = id;
    return 0;
}

#endif
