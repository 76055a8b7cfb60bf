/* The key/value section of a GGUF under construction, for tensor/out.h: model/ adds the
 * decoder's keys, text/ the tokenizer's. Zero-initialise, put, free with gguf_pairs_fini. Each
 * key is put once. The types are those that llama.cpp reads: u32 for sizes and ids, f32 for reals,
 * i32 for lists of integers.
 */
#ifndef TENSOR_GGUF_PAIRS_H
#define TENSOR_GGUF_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tensor/gguf.h"

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
