/* Dequantisation of ggml's blocks, for dequant.c and dequant_k.c. Internal to tensor/. */
#ifndef TENSOR_DEQUANT_H
#define TENSOR_DEQUANT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* The sixteen values that a nibble of the IQ4 types indexes. */
extern const int8_t iq4_values[16];

/* Kinds with 256 elements a block: n blocks at `b` to y [256 n]. */
void q2_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n);
void q3_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n);
void q4_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n);
void q5_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n);
void q6_k_blocks(float *restrict y, const uint8_t *restrict b, size_t n);
void iq4_xs_blocks(float *restrict y, const uint8_t *restrict b, size_t n);

#endif
