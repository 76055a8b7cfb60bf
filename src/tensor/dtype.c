#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

#include "base/sizes.h"
#include "tensor/quantise.h"

const struct dtype_info dtype_info[DT_COUNT] = {
    [DT_F32] = {"F32", 1, 4, "F32", 0},         [DT_F16] = {"F16", 1, 2, "F16", 1},
    [DT_BF16] = {"BF16", 1, 2, "BF16", 30},     [DT_F64] = {"F64", 1, 8, "F64", 28},
    [DT_I32] = {"I32", 1, 4, "I32", 26},        [DT_I64] = {"I64", 1, 8, "I64", 27},
    [DT_U8] = {"U8", 1, 1, "U8", -1},           [DT_OTHER] = {"other", 1, 1, NULL, -1},
    [DT_Q4_0] = {"Q4_0", 32, 18, NULL, 2},      [DT_Q4_1] = {"Q4_1", 32, 20, NULL, 3},
    [DT_Q5_0] = {"Q5_0", 32, 22, NULL, 6},      [DT_Q5_1] = {"Q5_1", 32, 24, NULL, 7},
    [DT_Q8_0] = {"Q8_0", 32, 34, NULL, 8},      [DT_Q4_K] = {"Q4_K", 256, 144, NULL, 12},
    [DT_Q5_K] = {"Q5_K", 256, 176, NULL, 13},   [DT_Q6_K] = {"Q6_K", 256, 210, NULL, 14},
    [DT_Q2_K] = {"Q2_K", 256, 84, NULL, 10},    [DT_Q3_K] = {"Q3_K", 256, 110, NULL, 11},
    [DT_IQ4_NL] = {"IQ4_NL", 32, 18, NULL, 20}, [DT_IQ4_XS] = {"IQ4_XS", 256, 136, NULL, 23},
};

enum dtype dtype_by_safetensors(const char *name)
{
    int t = 0;
    while (t < DT_COUNT && !(dtype_info[t].st && !strcmp(dtype_info[t].st, name)))
        t++;
    return (enum dtype)t;
}

enum dtype dtype_by_ggml(uint32_t type)
{
    int t = 0;
    while (t < DT_COUNT && !(dtype_info[t].ggml >= 0 && (uint32_t)dtype_info[t].ggml == type))
        t++;
    return (enum dtype)t;
}

int dtype_bytes(enum dtype t, size_t n, size_t *bytes)
{
    const struct dtype_info *d = &dtype_info[t];
    if (n % (size_t)d->block)
        return -1;
    return __builtin_mul_overflow(n / (size_t)d->block, (size_t)d->bytes, bytes) ? -1 : 0;
}

static uint32_t float_bits(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static float bits_float(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

static uint16_t f32_to_bf16(float f)
{
    uint32_t x = float_bits(f);
    if ((x & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(x >> 16 | 0x40); /* a NaN stays one */
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

static uint16_t f32_to_f16(float f)
{
    uint32_t x = float_bits(f), sign = x >> 16 & 0x8000;
    x &= 0x7fffffff;
    if (x > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (x >> 13 & 0x3ff));
    if (x >= 0x477ff000) /* 65520, half way past the largest half */
        return (uint16_t)(sign | 0x7c00);
    /* Below 2^-14 halves are multiples of 2^-24, the spacing of floats in [0.5, 1): adding 0.5
     * rounds. */
    if (x < 0x38800000)
        return (uint16_t)(sign | (float_bits(bits_float(x) + 0.5f) - float_bits(0.5f)));
    x += 0xfff + (x >> 13 & 1);
    return (uint16_t)(sign | (x - 0x38000000) >> 13);
}

static void f16_store(uint8_t *dst, const float *src, size_t n)
{
    for (; n; n--, dst += 2) {
        uint16_t h = f32_to_f16(*src++);
        memcpy(dst, &h, sizeof h);
    }
}

static void bf16_store(uint8_t *dst, const float *src, size_t n)
{
    for (; n; n--, dst += 2) {
        uint16_t h = f32_to_bf16(*src++);
        memcpy(dst, &h, sizeof h);
    }
}

void dtype_from_f32(enum dtype t, void *dst, const float *src, size_t n)
{
    switch (t) {
    case DT_F32:
        if (n)
            memcpy(dst, src, n * sizeof *src);
        break;
    case DT_F16:
        f16_store(dst, src, n);
        break;
    case DT_BF16:
        bf16_store(dst, src, n);
        break;
    case DT_IQ4_NL:
    case DT_IQ4_XS:
        BUG_ON("no type to be written");
        break;
    default:
        BUG_ON(dtype_info[t].block == 1);
        quantise_ggml(t, dst, src, n);
    }
}

/* Where a block has its 16-bit numbers, whose exponent is `mask`; all ones are NaN or infinity. The
 * quantised ones' integers are finite. */
static const struct halves {
    int n, at[2];
    uint16_t mask;
} halves[DT_COUNT] = {
    [DT_F16] = {1, {0}, 0x7c00},     [DT_BF16] = {1, {0}, 0x7f80},
    [DT_Q4_0] = {1, {0}, 0x7c00},    [DT_Q4_1] = {2, {0, 2}, 0x7c00},
    [DT_Q5_0] = {1, {0}, 0x7c00},    [DT_Q5_1] = {2, {0, 2}, 0x7c00},
    [DT_Q8_0] = {1, {0}, 0x7c00},    [DT_Q2_K] = {2, {80, 82}, 0x7c00},
    [DT_Q3_K] = {1, {108}, 0x7c00},  [DT_Q4_K] = {2, {0, 2}, 0x7c00},
    [DT_Q5_K] = {2, {0, 2}, 0x7c00}, [DT_Q6_K] = {1, {208}, 0x7c00},
    [DT_IQ4_NL] = {1, {0}, 0x7c00},  [DT_IQ4_XS] = {1, {0}, 0x7c00},
};

bool dtype_stays(enum dtype t)
{
    return halves[t].n > 0;
}

static inline int count_bad(const uint8_t *b, size_t n, const int stride, uint16_t mask)
{
    int bad = 0;
    for (; n; n--, b += stride)
        bad |= ((b[0] | b[1] << 8) & mask) == mask;
    return bad;
}

bool dtype_all_finite(enum dtype t, const void *src, size_t n)
{
    const struct halves h = halves[t];
    const int bytes = dtype_info[t].bytes;
    const size_t blocks = n / (size_t)dtype_info[t].block, step = SIZE(4096, 3);
    int bad = 0;
    BUG_ON(!h.n);
#pragma omp parallel for schedule(static) reduction(| : bad) if (blocks > step)
    for (size_t at = 0; at < blocks; at += step) {
        const uint8_t *b = (const uint8_t *)src + at * (size_t)bytes;
        const size_t part = blocks - at < step ? blocks - at : step;
        for (int k = 0; k < h.n; k++)
            bad |= bytes == 2 ? count_bad(b, part, 2, h.mask)
                              : count_bad(b + h.at[k], part, bytes, h.mask);
    }
    return !bad;
}
