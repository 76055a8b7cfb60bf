/* Tables of named rows, and a chosen row with its parameters. A table is an array
 * of pointers to rows that ends with NULL; every row begins with ROW_FIELDS, so that all
 * tables share one search and one handling of parameters.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/param.h"

#define ROW_FIELDS                                                                                 \
    const char *name;                                                                              \
    const struct param *params; /* NULL: none */                                                   \
    size_t params_size

struct row {
    ROW_FIELDS;
};

/* The row of that name, whatever its case; NULL and an error that names the nearest, or all of a
 * short table: "unknown WHAT 'x': did you mean 'y'?". `table`: const struct T *const []. */
const void *table_find(const void *table, const char *what, const char *name, struct err *e);
/* The same, where "none" is allowed, and gives *row = NULL. */
int table_find_or_none(const void *table, const char *what, const char *name, const void **row,
                       struct err *e);

/* A row of some table and its parameters. */
struct choice {
    const void *row; /* borrowed; NULL: nothing is chosen */
    void *params;    /* owned by who chose it */
};

/* Chooses a row, with its parameters at their defaults, then the presets of its names (NULL: none).
 * A row of NULL chooses nothing. Call choice_fini in every case. */
int choice_init(struct choice *c, const void *row, const struct param_preset *presets,
                struct err *e);
void choice_fini(struct choice *c);
/* The chosen row's name and parameter table; NULL: nothing is chosen, or it has none. */
const char *choice_name(const struct choice *c);
const struct param *choice_params(const struct choice *c);

#endif
