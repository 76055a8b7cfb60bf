/* Stored values to f32, the same bits with every instruction set: the Makefile keeps d*q + m two
 * operations here. The quantised layouts are ggml's: a block of 32 holds a half-precision
 * scale d (and minimum m), then packed integers q; the weight is d*q, d*(q - zero) or d*q + m. Each
 * *_blocks function converts n blocks; a block of a plain type is one element.
 */
#include "base/sizes.h"
#include "tensor/cpu_runs.h"

static void f32_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 4)
        memcpy(y, b, sizeof *y);
}

/* n blocks of runs; t is a constant. */
INLINE void runs(enum dtype t, float *restrict y, const uint8_t *restrict b, size_t n)
{
    const size_t bytes = block_bytes(t);
    for (; n; n--, b += bytes)
        for (int r = 0; r < block_runs(t); r++, y += RUN) {
            vec w[VECS];
            run_vectors(t, w, b, r);
            for (int v = 0; v < VECS; v++)
                *(vec *)(y + v * LANES) = w[v];
        }
}

/* NAME_blocks of a type that has whole runs alone. */
#define RUN_BLOCKS(name, type)                                                                     \
    static void name##_blocks(float *restrict y, const uint8_t *restrict b, size_t n)              \
    {                                                                                              \
        runs(type, y, b, n);                                                                       \
    }

static void f16_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    const size_t done = n - n % RUN;
    runs(DT_F16, y, b, n / RUN);
    for (size_t i = done; i < n; i++)
        y[i] = f16_load(b + 2 * i);
}

static void bf16_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    const size_t done = n - n % RUN;
    runs(DT_BF16, y, b, n / RUN);
    for (size_t i = done; i < n; i++)
        y[i] = bf16_load(b + 2 * i);
}

static void f64_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 8) {
        double v;
        memcpy(&v, b, sizeof v);
        *y = (float)v;
    }
}

static void i32_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 4) {
        int32_t v;
        memcpy(&v, b, sizeof v);
        *y = (float)v;
    }
}

static void i64_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 8) {
        int64_t v;
        memcpy(&v, b, sizeof v);
        *y = (float)v;
    }
}

static void u8_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b++)
        *y = (float)*b;
}

/* d, 16 bytes: low nibbles are elements 0..15, high nibbles 16..31. */
RUN_BLOCKS(q4_0, DT_Q4_0)

/* d, m, 16 bytes of nibbles. */
RUN_BLOCKS(q4_1, DT_Q4_1)

/* d, 32 fifth bits, 16 bytes of nibbles. */
RUN_BLOCKS(q5_0, DT_Q5_0)

/* d, m, 32 fifth bits, 16 bytes of nibbles. */
RUN_BLOCKS(q5_1, DT_Q5_1)

/* d, 32 signed bytes. */
RUN_BLOCKS(q8_0, DT_Q8_0)

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

/* d, 16 bytes of nibbles, each the index of a value. */
static void iq4_nl_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y += 32, b += 18) {
        const float d = f16_load(b);
        const uint8_t *q = b + 2;
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)iq4_values[q[i] & 15];
            y[i + 16] = d * (float)iq4_values[q[i] >> 4];
        }
    }
}

/* --- blocks of 256 elements: eight or sixteen small groups with integer scales of their own
 * under one half-precision scale d (and minimum dmin). --- */

/* 16 bytes of scale (low nibble) and minimum (high), 64 of bit pairs, d, dmin. Each half of 128
 * elements is four runs of 32, a bit pair higher each, in the same 32 bytes. */
static void q2_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, b += 84) {
        const float d = f16_load(b + 80), dmin = f16_load(b + 82);
        for (int g = 0; g < 16; g++, y += 16) {
            const uint8_t *q = b + 16 + 32 * (g / 8) + 16 * (g & 1);
            const float scale = d * (float)(b[g] & 15), min = dmin * (float)(b[g] >> 4);
            const int shift = g / 2 % 4 * 2;
            for (int i = 0; i < 16; i++)
                y[i] = scale * (float)(q[i] >> shift & 3) - min;
        }
    }
}

/* 32 bytes of third bits, 64 of bit pairs as in Q2_K, 12 of scales, d. A third bit that is *not*
 * set takes 4 away. Scale g has 6 bits, 32 too large: a nibble of byte g % 8 and a bit pair of byte
 * 8 + g % 4. */
static void q3_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, b += 110) {
        const uint8_t *s = b + 96;
        const float d = f16_load(b + 108);
        for (int g = 0; g < 16; g++, y += 16) {
            const uint8_t *high = b + 16 * (g & 1), *q = b + 32 + 32 * (g / 8) + 16 * (g & 1);
            const int scale = (s[g % 8] >> g / 8 * 4 & 15) | (s[8 + g % 4] >> g / 4 * 2 & 3) << 4;
            const float dg = d * (float)(scale - 32);
            for (int i = 0; i < 16; i++)
                y[i] = dg * (float)((q[i] >> g / 2 % 4 * 2 & 3) - (high[i] >> g / 2 & 1 ? 0 : 4));
        }
    }
}

/* d, dmin, 12 bytes of scales, 128 of nibbles: each 32 bytes are two runs of 32 elements. Of the
 * eight 6-bit scales and minima the first four lie in the low 6 bits of bytes 0..3 and 4..7; of the
 * last four, the low nibbles are in bytes 8..11 and the top 2 bits above the first four. */
RUN_BLOCKS(q4_k, DT_Q4_K)

/* As Q4_K, with 32 bytes of fifth bits before the nibbles: bit r of byte i belongs to run r. */
RUN_BLOCKS(q5_k, DT_Q5_K)

/* 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d. Each half of 128 elements is
 * eight groups of 16 with a scale each; groups 0..3 are the low nibbles of its 64 bytes, 4..7 the
 * high ones, and two groups at a time share a bit pair of its 32 bytes. */
RUN_BLOCKS(q6_k, DT_Q6_K)

/* d, 16 bits of high bit pairs and 4 bytes of low nibbles of eight scales (32 too large), 128 bytes
 * of nibbles. */
static void iq4_xs_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, b += 136) {
        const float d = f16_load(b);
        const int high = b[2] | b[3] << 8;
        const uint8_t *q = b + 8;
        for (int g = 0; g < 8; g++, q += 16, y += 32) {
            const int scale = (b[4 + g / 2] >> (g & 1) * 4 & 15) | (high >> 2 * g & 3) << 4;
            const float dg = d * (float)(scale - 32);
            for (int i = 0; i < 16; i++) {
                y[i] = dg * (float)iq4_values[q[i] & 15];
                y[i + 16] = dg * (float)iq4_values[q[i] >> 4];
            }
        }
    }
}

static void (*const blocks_to_f32[DT_COUNT])(float *, const uint8_t *, size_t) = {
    [DT_F32] = f32_blocks,       [DT_F16] = f16_blocks,       [DT_BF16] = bf16_blocks,
    [DT_F64] = f64_blocks,       [DT_I32] = i32_blocks,       [DT_I64] = i64_blocks,
    [DT_U8] = u8_blocks,         [DT_OTHER] = u8_blocks,      [DT_Q4_0] = q4_0_blocks,
    [DT_Q4_1] = q4_1_blocks,     [DT_Q5_0] = q5_0_blocks,     [DT_Q5_1] = q5_1_blocks,
    [DT_Q8_0] = q8_0_blocks,     [DT_Q2_K] = q2_k_blocks,     [DT_Q3_K] = q3_k_blocks,
    [DT_Q4_K] = q4_k_blocks,     [DT_Q5_K] = q5_k_blocks,     [DT_Q6_K] = q6_k_blocks,
    [DT_IQ4_NL] = iq4_nl_blocks, [DT_IQ4_XS] = iq4_xs_blocks,
};

void CPU(dequant)(float *to, const struct stored *w, size_t first, size_t n)
{
    const size_t block = (size_t)dtype_info[w->type].block;
    BUG_ON(first % block || n % block);
    blocks_to_f32[w->type](to, stored_at(w, first), n / block);
}

void CPU(unpack)(float *to, const struct stored *w, size_t first, size_t n)
{
    /* Elements a thread takes at once: a multiple of every block. */
    const size_t step = SIZE(4096, 256);
#pragma omp parallel for schedule(static) if (n > SIZE(16, 1) * step)
    for (size_t at = 0; at < n; at += step)
        CPU(dequant)(to + at, w, first + at, n - at < step ? n - at : step);
}
