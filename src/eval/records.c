#include "eval/records.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct cell *records_add(struct records *r, const char *name, int n, bool list, struct err *e)
{
    char *own;
    BUG_ON(n < 1);
    if (r->cells > INT_MAX - n) {
        err_set(e, "too many answers");
        return NULL;
    }
    if (mem_reserve(&r->v, &r->room, (size_t)r->n + 1, sizeof *r->v, e) ||
        mem_reserve(&r->cell, &r->cells_room, (size_t)r->cells + (size_t)n, sizeof *r->cell, e) ||
        !(own = mem_strdup(name, e)))
        return NULL;
    struct cell *first = r->cell + r->cells;
    for (int i = 0; i < n; i++) {
        first[i] = (struct cell){.text = {{NULL, 0}}};
        for (int c = 0; c < COLUMN_COUNT; c++)
            first[i].x[c] = NAN;
    }
    r->v[r->n++] = (struct record){.name = own, .first = r->cells, .n = n, .list = list};
    r->cells += n;
    return first;
}

int cell_set_text(struct cell *c, enum text_id id, const char *s, size_t n, struct err *e)
{
    char *copy = mem_strndup(s, n, e);
    if (!copy)
        return -1;
    free(c->text[id].s);
    c->text[id] = (struct record_text){copy, n};
    return 0;
}

void records_fini(struct records *r)
{
    for (int i = 0; i < r->n; i++)
        free(r->v[i].name);
    for (int i = 0; i < r->cells; i++)
        for (int t = 0; t < TEXT_COUNT; t++)
            free(r->cell[i].text[t].s);
    free(r->v);
    free(r->cell);
    *r = (struct records){0};
}

struct cell *records_cell(const struct records *r, int i)
{
    return r->cell + r->v[i].first;
}

double records_mean(const struct records *r, enum column_id id, int i)
{
    double sum = 0;
    for (int k = 0; k < r->v[i].n; k++)
        sum += records_cell(r, i)[k].x[id];
    return sum / r->v[i].n;
}

int records_find(const struct records *r, const char *name, int near)
{
    if (near < r->n && !strcmp(r->v[near].name, name))
        return near;
    for (int i = 0; i < r->n; i++)
        if (!strcmp(r->v[i].name, name))
            return i;
    return -1;
}
