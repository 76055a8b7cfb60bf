/* Storage types of tensors in files, their block sizes, and conversion to and from f32. */
#ifndef TENSOR_DTYPE_H
#define TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* DT_OTHER: raw bytes of an unsupported type or number of dimensions; allowed for tensors that are
 * not weights. */
/* clang-format off */
enum dtype {
    DT_F32, DT_F16, DT_BF16, DT_F64, DT_I32, DT_I64, DT_U8, DT_OTHER,
    DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_Q8_0,
    DT_Q2_K, DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_NL, DT_IQ4_XS,
    DT_COUNT
};
/* clang-format on */

struct dtype_info {
    const char *name; /* "Q4_1" */
    int block, bytes; /* `bytes` hold `block` elements */
    const char *st;   /* safetensors name, or NULL */
    int ggml;         /* ggml type number, or -1 */
};

extern const struct dtype_info dtype_info[DT_COUNT];

enum dtype dtype_by_safetensors(const char *name); /* DT_COUNT: unknown */
enum dtype dtype_by_ggml(uint32_t type);
/* Bytes of n elements; non-zero if n is no multiple of the block or the size overflows. */
int dtype_bytes(enum dtype t, size_t n, size_t *bytes);
/* n elements of `src` (any alignment) as f32. */
void dtype_to_f32(enum dtype t, float *dst, const void *src, size_t n);
/* Weights of this type can stay in it: ops.h has products with it. */
bool dtype_stays(enum dtype t);
/* Whether n elements of such a type are, in f32, free of NaN and infinity. */
bool dtype_all_finite(enum dtype t, const void *src, size_t n);
/* f32 to F32, F16 or BF16, rounded to nearest even, or to a type of quantise_ggml: n is
 * a multiple of the block. */
void dtype_from_f32(enum dtype t, void *dst, const float *src, size_t n);

#endif
