/* The key/value section of a GGUF file: typed getters for model/config and text/tokenizer, and the
 * section under construction, to which model/ adds the decoder's keys, text/ the tokenizer's.
 */
#ifndef TENSOR_GGUF_H
#define TENSOR_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct gguf_meta;

/* A string in the file: not NUL-terminated, borrowed from the map. */
struct gguf_str {
    const char *s;
    size_t n;
};

enum gguf_kind { GGUF_INT, GGUF_REAL, GGUF_BOOL, GGUF_TEXT, GGUF_ARRAY };

struct gguf_pair {
    struct gguf_str key;
    enum gguf_kind kind;
    double value; /* of a number or a bool */
    size_t n;     /* elements of an array */
};

/* Pair i in the order of keys; false: there are no more. */
bool gguf_pair_at(const struct gguf_meta *m, size_t i, struct gguf_pair *out);

/* Each returns false if the key is absent or of another kind. Any integer type serves _int, any
 * number _real. */
bool gguf_int(const struct gguf_meta *m, const char *key, int64_t *out);
bool gguf_real(const struct gguf_meta *m, const char *key, double *out);
bool gguf_bool(const struct gguf_meta *m, const char *key, bool *out);
bool gguf_text(const struct gguf_meta *m, const char *key, struct gguf_str *out);
/* Arrays: *n elements. The pointers are owned by the meta, made at first use. */
bool gguf_strings(struct gguf_meta *m, const char *key, const struct gguf_str **out, size_t *n);
bool gguf_ints(struct gguf_meta *m, const char *key, const int32_t **out, size_t *n);
bool gguf_reals(struct gguf_meta *m, const char *key, const float **out, size_t *n);

/* --- writing --- */

/* Zero-initialise, put, free with gguf_pairs_fini. Each key is put once. The types are those that
 * llama.cpp reads: u32 for sizes and ids, f32 for reals, i32 for lists of integers. */
struct gguf_pairs {
    struct buf bytes; /* encoded as in the file */
    uint64_t n;
};

int gguf_put_u32(struct gguf_pairs *p, const char *key, uint32_t v, struct err *e);
int gguf_put_f32(struct gguf_pairs *p, const char *key, float v, struct err *e);
int gguf_put_bool(struct gguf_pairs *p, const char *key, bool v, struct err *e);
int gguf_put_text(struct gguf_pairs *p, const char *key, const char *s, struct err *e);
int gguf_put_strings(struct gguf_pairs *p, const char *key, const struct gguf_str *v, size_t n,
                     struct err *e);
int gguf_put_ints(struct gguf_pairs *p, const char *key, const int32_t *v, size_t n, struct err *e);
int gguf_put_reals(struct gguf_pairs *p, const char *key, const float *v, size_t n, struct err *e);
void gguf_pairs_fini(struct gguf_pairs *p);

#endif
