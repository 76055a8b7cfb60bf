/* Stored values to f32, the same bits with every instruction set: the Makefile keeps d*q + m two
 * operations here. The quantised layouts are ggml's: a block of 32 holds a half-precision
 * scale d (and minimum m), then packed integers q; the weight is d*q, d*(q - zero) or d*q + m. Each
 * *_blocks function converts n blocks; a block of a plain type is one element.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/sizes.h"
#include "tensor/cpu.h"

static inline float bits_float(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

/* The bits under the sign, moved to a float's place, read 2^112 times too small, subnormals too. */
static inline float f16_load(const uint8_t *p)
{
    uint32_t h = p[0] | (uint32_t)p[1] << 8;
    float f = bits_float((h & 0x7fff) << 13) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (f >= 65536.0f) /* exponent 31: infinity or NaN */
        bits |= 0x7f800000;
    return bits_float(bits | (h & 0x8000) << 16);
}

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

/* Eight 6-bit scales and minima in 12 bytes: the first four of each lie in the low 6 bits of bytes
 * 0..3 and 4..7; of the last four, the low nibbles are in bytes 8..11 and the top 2 bits above the
 * first four. */
static void k_scales(const uint8_t s[12], uint8_t scale[8], uint8_t min[8])
{
    for (int i = 0; i < 4; i++) {
        scale[i] = s[i] & 63;
        min[i] = s[i + 4] & 63;
        scale[i + 4] = (uint8_t)((s[i + 8] & 15) | (s[i] >> 6) << 4);
        min[i + 4] = (uint8_t)((s[i + 8] >> 4) | (s[i + 4] >> 6) << 4);
    }
}

/* d, dmin, 12 bytes of scales, 128 of nibbles: each 32 bytes are two runs of 32 elements. */
static void q4_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, b += 144) {
        const float d = f16_load(b), dmin = f16_load(b + 2);
        const uint8_t *q = b + 16;
        uint8_t scale[8], min[8];
        k_scales(b + 4, scale, min);
        for (int run = 0; run < 8; run += 2, q += 32, y += 64) {
            const float d0 = d * scale[run], m0 = dmin * min[run];
            const float d1 = d * scale[run + 1], m1 = dmin * min[run + 1];
            for (int i = 0; i < 32; i++) {
                y[i] = d0 * (float)(q[i] & 15) - m0;
                y[i + 32] = d1 * (float)(q[i] >> 4) - m1;
            }
        }
    }
}

/* As Q4_K, with 32 bytes of fifth bits before the nibbles: bit r of byte i belongs to run r. */
static void q5_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, b += 176) {
        const float d = f16_load(b), dmin = f16_load(b + 2);
        const uint8_t *high = b + 16, *q = b + 48;
        uint8_t scale[8], min[8];
        k_scales(b + 4, scale, min);
        for (int run = 0; run < 8; run += 2, q += 32, y += 64) {
            const float d0 = d * scale[run], m0 = dmin * min[run];
            const float d1 = d * scale[run + 1], m1 = dmin * min[run + 1];
            for (int i = 0; i < 32; i++) {
                y[i] = d0 * (float)((q[i] & 15) | (high[i] >> run & 1) << 4) - m0;
                y[i + 32] = d1 * (float)((q[i] >> 4) | (high[i] >> (run + 1) & 1) << 4) - m1;
            }
        }
    }
}

/* 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d. Each half of 128 elements is
 * eight groups of 16 with a scale each; groups 0..3 are the low nibbles of its 64 bytes, 4..7 the
 * high ones, and two groups at a time share a bit pair of its 32 bytes. */
static void q6_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
{
    for (; n; n--, b += 210)
        for (int g = 0; g < 16; g++, y += 16) {
            const int half = g / 8, low_shift = g & 4, high_shift = g / 2 % 4 * 2;
            const uint8_t *low = b + 64 * half + 16 * (g & 3);
            const uint8_t *high = b + 128 + 32 * half + 16 * (g & 1);
            const float d = f16_load(b + 208) * (float)(int8_t)b[192 + g];
            for (int i = 0; i < 16; i++)
                y[i] = d * (float)(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) -
                                   32);
        }
}

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
