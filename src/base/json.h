/* JSON on Jansson, with getters whose errors name the key and what was found. All getters borrow
 * from `obj`. `need` getters fail if the key is missing; `opt` getters then leave *out as it was. A
 * null counts as missing. Readers take what Python writes: NaN, Infinity and reals beyond a double
 * (1e400) become null, integers beyond 64 bits become reals, strings may hold NUL, of equal keys
 * the last one counts.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* New references, owned by the caller: json_decref(). `what` names the text in messages. */
json_t *json_read_file(const char *path, struct err *e);
json_t *json_read_text(const char *text, size_t len, const char *what, struct err *e);

/* The same, but an infinite number becomes +-DBL_MAX: for evaluation logs, where Infinity occurs.
 */
json_t *json_read_log(const char *path, struct err *e);
/* Appends the text as Jansson can parse it, with what only Python's parser takes replaced within
 * its line; `out` stays empty if there is nothing to replace. (HF tokenizer_config.json has
 * "model_max_length": 1000000000000000019884624838656.) */
enum json_infinity { JSON_INFINITY_IS_NULL, JSON_INFINITY_IS_MAX };
int json_plain(const char *text, size_t len, enum json_infinity infinity, struct buf *out,
               struct err *e);

/* Reals are written with the fewest digits that read back to the same double, as Python's repr
 * does. flags: JSON_INDENT(n), JSON_COMPACT, JSON_SORT_KEYS, JSON_ENSURE_ASCII of Jansson;
 * JSON_LIKE_PYTHON is json.dump(indent=4, sort_keys=True); JSON_NULL_IS_NAN writes NaN, as Python
 * does where a number is missing, for every null, and Infinity for DBL_MAX. No newline is put at
 * the end. The file appears atomically. */
#define JSON_LIKE_PYTHON (JSON_INDENT(4) | JSON_SORT_KEYS | JSON_ENSURE_ASCII)
#define JSON_NULL_IS_NAN 0x1000000
int json_write_file(const json_t *j, const char *path, size_t flags, struct err *e);
int json_write_buf(const json_t *j, struct buf *out, size_t flags, struct err *e);
/* Shortest text of a finite double ("0.1", "1e-05", "3.0"), into at least JSON_REAL_TEXT bytes. */
#define JSON_REAL_TEXT 32
void json_real_text(double value, char *text);

/* A real, null where it is not finite; the same as obj[key]. */
json_t *json_finite(double value);
void json_put_real(json_t *obj, const char *key, double value);

/* A value as messages show it, in text[JSON_BRIEF]: as it is written where that is short, else its
 * kind and size ("a list of 300"). Returns text. */
enum { JSON_BRIEF = 64 };
const char *json_brief(const json_t *v, char *text);

int json_need_int(const json_t *obj, const char *key, int64_t lo, int64_t hi, int64_t *out,
                  struct err *e);
int json_opt_int(const json_t *obj, const char *key, int64_t lo, int64_t hi, int64_t *out,
                 struct err *e);
int json_need_real(const json_t *obj, const char *key, double *out, struct err *e);
int json_opt_real(const json_t *obj, const char *key, double *out, struct err *e);
int json_opt_bool(const json_t *obj, const char *key, bool *out, struct err *e);
int json_need_str(const json_t *obj, const char *key, const char **out, struct err *e);
int json_opt_str(const json_t *obj, const char *key, const char **out, struct err *e);
/* An array of token ids in [0, 2^31): *ids owned by the caller. */
int json_need_ids(const json_t *obj, const char *key, int **ids, int *n, struct err *e);

#endif
