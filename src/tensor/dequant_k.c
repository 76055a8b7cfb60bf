/* ggml's blocks of 256 elements: eight or sixteen small groups with integer scales of their own
 * under one half-precision scale d (and minimum dmin).
 */
#include "tensor/dequant.h"

/* 16 bytes of scale (low nibble) and minimum (high), 64 of bit pairs, d, dmin. Each half of 128
 * elements is four runs of 32, a bit pair higher each, in the same 32 bytes. */
void q2_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
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
void q3_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
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
void q4_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
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
void q5_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
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
void q6_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
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
void iq4_xs_blocks(float *restrict y, const uint8_t *restrict b, size_t n)
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
