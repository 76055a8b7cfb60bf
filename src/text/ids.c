#include "text/ids.h"

#include "base/mem.h"

int ids_add(struct ids *ids, int id, struct err *e)
{
    if (mem_reserve(&ids->v, &ids->cap, ids->n + 1, sizeof *ids->v, e))
        return -1;
    ids->v[ids->n++] = id;
    return 0;
}
