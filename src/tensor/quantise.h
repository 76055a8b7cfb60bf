/* Weight quantisation: codes, scales and the values that come back. For attacks that round an
 * unlearned model's weights (arXiv 2410.16454), and for writing GGUF.
 *
 *     int8, int4 ...              round to nearest, int<bits>[:tensor|row|group=N][,asym]; row is
 *                                 the default
 *     nf4, fp4                    blocks of 64 across rows, scaled by their largest magnitude
 *                                 (arXiv 2305.14314)
 *     q8_0 q5_1 q5_0 q4_1 q4_0    ggml's blocks of 32 along the row
 *     gptq, gptq3 ...             by calibration inputs, gptq<bits>[:row|group=N][,asym][,order]
 *                                 [,fresh]; 4 bits are the default (arXiv 2210.17323)
 *     q2_k q3_k q4_k q5_k q6_k    ggml's blocks of 256 along the row
 */
#ifndef TENSOR_QUANTISE_H
#define TENSOR_QUANTISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/dtype.h"

enum quantise_kind { QUANTISE_INT, QUANTISE_BOOK, QUANTISE_GGML, QUANTISE_GPTQ };
enum quantise_scope { SCOPE_TENSOR, SCOPE_ROW, SCOPE_GROUP };

struct quantise {
    enum quantise_kind kind;
    enum quantise_scope scope; /* of int and gptq */
    int bits, group;           /* of int and gptq; group: elements of a group */
    bool asymmetric;
    bool act_order, fresh; /* of gptq: columns by H's diagonal; a block is a group */
    const float *book;     /* [16] of nf4 and fp4 */
    enum dtype dtype;      /* of ggml */
    char name[40];         /* as it was written */
};

int quantise_parse(struct quantise *q, const char *text, struct err *e);

/* Whether a matrix of rows of `cols` can be quantised so: groups and blocks along the row must fit.
 */
int quantise_fits(const struct quantise *q, size_t cols, struct err *e);
/* Scales (and zero points) of a matrix. */
size_t quantise_scales(const struct quantise *q, size_t rows, size_t cols);

/* The codes [rows*cols] of w [rows, cols], and scale and zero [quantise_scales]. ggml: scale is d
 * and zero is unused; its types with a minimum have no zero point but m, which is not returned. Any
 * of codes, scale and zero may be NULL. values [rows*cols], unless NULL, gets what the codes stand
 * for; it may be w. */
void quantise_apply(const struct quantise *q, const float *w, size_t rows, size_t cols, int *codes,
                    float *scale, int *zero, float *values);

/* w [rows, cols] becomes what its codes by GPTQ stand for. The upper triangle of h [cols, cols] is
 * the sum of x x^T over calibration inputs (matrix_add_gram); its diagonal is damped. */
int quantise_gptq(const struct quantise *q, float *w, size_t rows, size_t cols, double *h,
                  struct err *e);

/* n elements as ggml's blocks, n a multiple of the block; bit for bit as gguf-py and ggml's
 * reference. */
void quantise_ggml(enum dtype t, uint8_t *dst, const float *src, size_t n);
/* The type that rows of `cols` get for t: where they are no whole blocks of 256, that of 32 which
 * llama.cpp takes instead (Q4_0 for Q2_K and Q3_K, for which it has IQ4_NL), where they are no
 * whole blocks of 32, F16. */
enum dtype quantise_type_for(enum dtype t, size_t cols);

/* One block of Q2_K to Q6_K: its bytes, its codes [256] unless NULL, and its d (quantise_k.c). */
enum { QUANTISE_SUPER = 256 };
float quantise_super(enum dtype t, const float *x, int *codes, uint8_t *to);

#endif
