#include "base/table.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

enum { MOST = 128, SHORT = 10 }; /* names of a table; as many as an error lists */

static const struct row *row_at(const void *table, int i)
{
    const struct row *row;
    memcpy(&row, (const char *)table + (size_t)i * sizeof row, sizeof row);
    return row;
}

static void refuse(const void *table, const char *what, const char *name, bool none, struct err *e)
{
    const char *names[MOST];
    char list[256] = "";
    int n = 0;
    if (none)
        names[n++] = "none";
    for (int i = 0; n < MOST && row_at(table, i); i++)
        names[n++] = row_at(table, i)->name;
    const char *near = n > SHORT ? param_nearest(name, names, n) : NULL;
    for (int i = 0; i < n && n <= SHORT; i++) {
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "; there are: ", names[i]);
    }
    err_set(e, "unknown %s '%s'%s%s%s%s", what, name, near ? ": did you mean '" : "",
            near ? near : "", near ? "'?" : "", near ? "" : list);
}

static const struct row *find(const void *table, const char *name)
{
    for (int i = 0; row_at(table, i); i++)
        if (!strcasecmp(row_at(table, i)->name, name))
            return row_at(table, i);
    return NULL;
}

const void *table_find(const void *table, const char *what, const char *name, struct err *e)
{
    const struct row *row = find(table, name);
    if (!row)
        refuse(table, what, name, false, e);
    return row;
}

int table_find_or_none(const void *table, const char *what, const char *name, const void **row,
                       struct err *e)
{
    *row = NULL;
    if (!strcasecmp(name, "none") || (*row = find(table, name)))
        return 0;
    refuse(table, what, name, true, e);
    return -1;
}

int choice_init(struct choice *c, const void *row_, const struct param_preset *presets,
                struct err *e)
{
    const struct row *row = row_;
    *c = (struct choice){.row = row};
    if (!row)
        return 0;
    if (!(c->params = mem_alloc(1, row->params_size, e)))
        return -1;
    if (!row->params)
        return 0;
    param_defaults(row->params, c->params);
    return presets ? param_apply_presets(row->params, c->params, presets, e) : 0;
}

void choice_fini(struct choice *c)
{
    free(c->params);
    *c = (struct choice){0};
}

const char *choice_name(const struct choice *c)
{
    return c->row ? ((const struct row *)c->row)->name : NULL;
}

const struct param *choice_params(const struct choice *c)
{
    return c->row ? ((const struct row *)c->row)->params : NULL;
}
