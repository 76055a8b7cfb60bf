/* Parameter tables: one entry is a flag, a JSON key, a struct field, a range check and a help line.
 * A table ends with a row whose name is NULL. Names are written with underscores; on the command
 * line dashes are the same (--max-new-tokens sets max_new_tokens).
 */
#ifndef BASE_PARAM_H
#define BASE_PARAM_H

#include <stdint.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

enum param_type {
    PARAM_INT,    /* field: int64_t */
    PARAM_REAL,   /* double */
    PARAM_BOOL,   /* bool; as a flag it takes no value, --no-name clears it */
    PARAM_STRING, /* const char *; borrowed from argv or the recipe */
    PARAM_CHOICE  /* const char *; one of `choices`, matched without regard to case */
};

struct param {
    const char *name;
    enum param_type type;
    size_t offset;       /* offsetof(struct, field) */
    double lo, hi;       /* numbers: allowed range, ends included; both 0: any finite number */
    const char *choices; /* PARAM_CHOICE: "NLL|KL"; PARAM_BOOL: see COMPAT_PARAM */
    const char *value;   /* default, as text; NULL: zero, false or NULL */
    const char *meta;    /* what the help shows for the value ("FILE"); NULL: by type */
    const char *help;    /* one line */
};

/* Rows of a struct's table, whose fields are named as the options are. `value`: the default, a
 * number or true or false, as it is written. */
#define REAL_PARAM(type, field, lo, hi, value, help)                                               \
    {                                                                                              \
#field, PARAM_REAL, offsetof(type, field), lo, hi, NULL, #value, NULL, help                \
    }
#define INT_PARAM(type, field, lo, hi, value, help)                                                \
    {                                                                                              \
#field, PARAM_INT, offsetof(type, field), lo, hi, NULL, #value, NULL, help                 \
    }
#define BOOL_PARAM(type, field, value, help)                                                       \
    {                                                                                              \
#field, PARAM_BOOL, offsetof(type, field), 0, 0, NULL, #value, NULL, help                  \
    }
/* value: a text, or NULL. */
#define CHOICE_PARAM(type, field, choices, value, help)                                            \
    {                                                                                              \
#field, PARAM_CHOICE, offsetof(type, field), 0, 0, choices, value, NULL, help              \
    }
#define STRING_PARAM(type, field, value, meta, help)                                               \
    {                                                                                              \
#field, PARAM_STRING, offsetof(type, field), 0, 0, NULL, value, meta, help                 \
    }

/* A quirk of one term, optimiser or locator, off by default: `--compat FIELD` sets it, and
 * `--compat ou` (base/compat.h), before a recipe and the command line are read. */
#define COMPAT_PARAM(type, field, help)                                                            \
    {                                                                                              \
#field, PARAM_BOOL, offsetof(type, field), 0, 0, "ou", "false", NULL, help                 \
    }

/* A method's default instead of the table's. Lists end with a NULL name. */
struct param_preset {
    const char *name, *value;
};

/* A table with the struct that it fills in. */
struct param_table {
    const char *title; /* heading in the help */
    const struct param *params;
    void *obj;
};

/* Changes fields of a table, in which the values of an option may come from anywhere: a command
 * line, a recipe. It sets the defaults and the presets itself. */
struct param_taker {
    int (*take)(void *ctx, const struct param_table *t, const struct param_preset *presets,
                struct err *e);
    void *ctx;
};

/* By the taker; NULL: the defaults, then the presets. */
int param_take(const struct param_table *t, const struct param_preset *presets,
               const struct param_taker *taker, struct err *e);
/* Sets every field of `obj` to its default. One that is written in the table must lie in its range.
 */
void param_defaults(const struct param *table, void *obj);
/* The row of that name (dashes = underscores, any case), or NULL. */
const struct param *param_find(const struct param *table, const char *name);
int param_set_text(const struct param *p, void *obj, const char *text, struct err *e);
int param_set_json(const struct param *p, void *obj, const json_t *value, struct err *e);
/* Applies the presets whose names are in this table; others belong to other tables. */
int param_apply_presets(const struct param *table, void *obj, const struct param_preset *presets,
                        struct err *e);
/* Reads one field back, as a new JSON value. */
json_t *param_get_json(const struct param *p, const void *obj);
/* Index of `text` in "a|b|c" without regard to case, or -1. */
int param_choice(const char *choices, const char *text);
/* Bytes of "5GB", "200MB", "20G" or "2GiB" (G is GiB), "1000". */
int param_size(const char *text, uint64_t *bytes, struct err *e);
/* The name as an option is written, with - for _, in flag[PARAM_NAME_MOST + 1]; returns flag. */
enum { PARAM_NAME_MOST = 63 };
const char *param_flag(const char *name, char *flag);
/* Two columns: "  --name VALUE   help (default 3, 0 to 1000)". */
void param_help(const struct param *table, FILE *out);
/* The same with the defaults of `presets`, lists of which the later ones override; it ends with
 * NULL. */
void param_help_preset(const struct param *table, const struct param_preset *const *presets,
                       FILE *out);
/* The candidate nearest to `word` by edit distance, or NULL if none is near; for "did you mean". */
const char *param_nearest(const char *word, const char *const *names, int n);

#endif
