/* Stored values to f32. The quantised layouts are ggml's: a block of 32 holds a half-precision
 * scale d (and minimum m), then packed integers q; the weight is d*q, d*(q - zero) or d*q + m. Each
 * *_blocks function converts n blocks; a block of a plain type is one element. Blocks of 256 are in
 * dequant_k.c.
 */
#include "tensor/dequant.h"
#include "base/sizes.h"
#include "tensor/dtype.h"

static void f32_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 4)
        memcpy(y, b, sizeof *y);
}

static void f16_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 2)
        *y = f16_load(b);
}

static void bf16_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y++, b += 2)
        *y = bits_float((uint32_t)b[0] << 16 | (uint32_t)b[1] << 24);
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
static void q4_0_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y += 32, b += 18) {
        const float d = f16_load(b);
        const uint8_t *q = b + 2;
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((q[i] & 15) - 8);
            y[i + 16] = d * (float)((q[i] >> 4) - 8);
        }
    }
}

/* d, m, 16 bytes of nibbles. */
static void q4_1_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y += 32, b += 20) {
        const float d = f16_load(b), m = f16_load(b + 2);
        const uint8_t *q = b + 4;
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)(q[i] & 15) + m;
            y[i + 16] = d * (float)(q[i] >> 4) + m;
        }
    }
}

static uint32_t u32_load(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* d, 32 fifth bits, 16 bytes of nibbles. */
static void q5_0_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y += 32, b += 22) {
        const float d = f16_load(b);
        const uint32_t high = u32_load(b + 2);
        const uint8_t *q = b + 6;
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((int)((q[i] & 15) | (high >> i & 1) << 4) - 16);
            y[i + 16] = d * (float)((int)((q[i] >> 4) | (high >> (i + 16) & 1) << 4) - 16);
        }
    }
}

/* d, m, 32 fifth bits, 16 bytes of nibbles. */
static void q5_1_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y += 32, b += 24) {
        const float d = f16_load(b), m = f16_load(b + 2);
        const uint32_t high = u32_load(b + 4);
        const uint8_t *q = b + 8;
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((q[i] & 15) | (high >> i & 1) << 4) + m;
            y[i + 16] = d * (float)((q[i] >> 4) | (high >> (i + 16) & 1) << 4) + m;
        }
    }
}

/* d, 32 signed bytes. */
static void q8_0_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, y += 32, b += 34) {
        const float d = f16_load(b);
        for (int i = 0; i < 32; i++)
            y[i] = d * (float)(int8_t)b[2 + i];
    }
}

const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
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

static void (*const blocks_to_f32[DT_COUNT])(float *, const uint8_t *, size_t) = {
    [DT_F32] = f32_blocks,       [DT_F16] = f16_blocks,       [DT_BF16] = bf16_blocks,
    [DT_F64] = f64_blocks,       [DT_I32] = i32_blocks,       [DT_I64] = i64_blocks,
    [DT_U8] = u8_blocks,         [DT_OTHER] = u8_blocks,      [DT_Q4_0] = q4_0_blocks,
    [DT_Q4_1] = q4_1_blocks,     [DT_Q5_0] = q5_0_blocks,     [DT_Q5_1] = q5_1_blocks,
    [DT_Q8_0] = q8_0_blocks,     [DT_Q2_K] = q2_k_blocks,     [DT_Q3_K] = q3_k_blocks,
    [DT_Q4_K] = q4_k_blocks,     [DT_Q5_K] = q5_k_blocks,     [DT_Q6_K] = q6_k_blocks,
    [DT_IQ4_NL] = iq4_nl_blocks, [DT_IQ4_XS] = iq4_xs_blocks,
};

void dtype_to_f32(enum dtype t, float *dst, const void *src, size_t n)
{
    const int block = dtype_info[t].block, bytes = dtype_info[t].bytes;
    /* Elements a thread takes at once: a multiple of every block. */
    const size_t step = SIZE(4096, 256);
    BUG_ON(n % (size_t)block);
#pragma omp parallel for schedule(static) if (n > SIZE(16, 1) * step)
    for (size_t at = 0; at < n; at += step) {
        const size_t part = (n - at < step ? n - at : step) / (size_t)block;
        blocks_to_f32[t](dst + at, (const uint8_t *)src + at / (size_t)block * (size_t)bytes, part);
    }
}
