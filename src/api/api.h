/* What the parts of the library share: errors and hooks of callers as the program has them, and
 * options by name with rows in memory.
 */
#ifndef API_API_H
#define API_API_H

#include <jansson.h>

#include "api/unlearn.h"
#include "base/err.h"
#include "base/log.h"
#include "base/param.h"

/* Copies the error to the caller's, which may be NULL; returns -1. */
int api_fail(struct unlearn_error *to, const struct err *from);

/* What happens between these goes to the hooks of the caller, which may be NULL. */
struct api_call {
    struct unlearn_hooks hooks;
    struct log log, before;
};

void api_begin(struct api_call *c, const struct unlearn_hooks *h);
/* rc: of the work, handed on with its error. */
int api_end(struct api_call *c, int rc, struct unlearn_error *to, const struct err *from);

/* Options by name. */
struct api_options {
    json_t *values; /* owned {name: text}, names with underscores */
    json_t *rows;   /* owned {name: text of a data file} */
    json_t *used;   /* owned {name: true}, of those that a table had */
    char *dir;      /* owned: where the rows lie while they are used; NULL: nowhere */
};

int api_options_init(struct api_options *o, struct err *e);
void api_options_fini(struct api_options *o);
int api_options_set(struct api_options *o, const char *name, const char *value, struct err *e);
/* Refuses rows that cannot be read. */
int api_options_rows(struct api_options *o, const char *name, const char *text, size_t n,
                     struct err *e);
/* The value, borrowed, or NULL. */
const char *api_options_text(const struct api_options *o, const char *name);
/* Writes the rows into the directory, which nobody else may read, as the options' values; NULL: a
 * temporary one. api_options_unlink removes it. */
int api_options_write(struct api_options *o, const char *dir, struct err *e);
void api_options_unlink(struct api_options *o);
/* The `take` of a param_taker whose context are the options; texts are borrowed from them. */
int api_options_take(void *options, const struct param_table *t, const struct param_preset *presets,
                     struct err *e);
/* Refuses an option that no table had, with the nearest one of `tables` [n]. */
int api_options_check(const struct api_options *o, const struct param_table *tables, int n,
                      struct err *e);

#endif
