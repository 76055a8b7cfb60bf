/* JSON on Jansson, with getters that say what is wrong where. All getters borrow from `obj`.
 * `need` getters fail if the key is missing; `opt` getters then leave *out as it was.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* New references, owned by the caller: json_decref(). NUL in strings and NaN/Infinity are accepted
 * where Python writes them (json_read_text replaces the bare words NaN, Infinity by null). */
json_t *json_read_file(const char *path, struct err *e);
json_t *json_read_text(const char *text, size_t len, const char *what, struct err *e);
/* Written like Python's json.dump(indent=4, sort_keys): atomically. */
int json_write_file(const json_t *j, const char *path, size_t flags, struct err *e);

int json_need_int(const json_t *obj, const char *key, int64_t lo, int64_t hi, int64_t *out, struct err *e);
int json_opt_int(const json_t *obj, const char *key, int64_t lo, int64_t hi, int64_t *out, struct err *e);
int json_need_real(const json_t *obj, const char *key, double *out, struct err *e);
int json_opt_real(const json_t *obj, const char *key, double *out, struct err *e);
int json_opt_bool(const json_t *obj, const char *key, bool *out, struct err *e);
int json_need_str(const json_t *obj, const char *key, const char **out, struct err *e);
int json_opt_str(const json_t *obj, const char *key, const char **out, struct err *e);
/* An array of token ids in [0, 2^31): *ids owned by the caller. */
int json_need_ids(const json_t *obj, const char *key, int **ids, int *n, struct err *e);

#endif
