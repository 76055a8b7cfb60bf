/* Storage types: every half, rounding at every midpoint, and the quantised kinds against numpy. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "tap.h"
#include "tensor/dtype.h"

static float to_f32(enum dtype t, uint16_t h)
{
    float f;
    dtype_to_f32(t, &f, &h, 1);
    return f;
}

static uint16_t from_f32(enum dtype t, float f)
{
    uint16_t h;
    dtype_from_f32(t, &h, &f, 1);
    return h;
}

/* What 16 bits with `mantissa` low bits and a biased exponent above them mean, from the definition.
 */
static double meaning(uint16_t h, int mantissa, int bias)
{
    int exponent = (h & 0x7fff) >> mantissa, low = h & ((1 << mantissa) - 1);
    double v = exponent ? ldexp(low + (1 << mantissa), exponent - bias - mantissa)
                        : ldexp(low, 1 - bias - mantissa);
    return h & 0x8000 ? -v : v;
}

static void test_narrow(enum dtype t, int mantissa, int bias)
{
    const char *name = dtype_info[t].name;
    const uint16_t inf = (uint16_t)(0x7fff >> mantissa << mantissa);
    int wrong = 0, back = 0, nans = 0, ties = 0;
    for (int i = 0; i < 0x10000; i++) {
        uint16_t h = (uint16_t)i;
        float f = to_f32(t, h);
        if ((h & 0x7fff) > inf) {
            nans += !isnan(f) || (from_f32(t, f) & 0x7fff) <= inf;
            continue;
        }
        wrong += (h & 0x7fff) == inf ? !isinf(f) || (f < 0) != h >> 15
                                     : (double)f != meaning(h, mantissa, bias);
        back += from_f32(t, f) != h;
    }
    ok(!wrong, "%s: every value reads as its definition says (%d wrong)", name, wrong);
    ok(!back, "%s: and is written back to the same bits (%d wrong)", name, back);
    ok(!nans, "%s: NaNs stay NaNs (%d wrong)", name, nans);
    for (uint16_t h = 0; h < inf - 1; h++) {
        float middle = (float)((meaning(h, mantissa, bias) + meaning(h + 1, mantissa, bias)) / 2);
        uint16_t even = h & 1 ? h + 1 : h;
        ties += from_f32(t, middle) != even || from_f32(t, -middle) != (even | 0x8000) ||
                from_f32(t, nextafterf(middle, 0)) != h ||
                from_f32(t, nextafterf(middle, INFINITY)) != h + 1;
    }
    ok(!ties, "%s: midpoints go to even, their neighbours to the nearest (%d wrong)", name, ties);
    float largest = (float)meaning(inf - 1, mantissa, bias), step = largest - to_f32(t, inf - 2);
    ok(from_f32(t, largest + step / 2) == inf &&
           from_f32(t, nextafterf(largest + step / 2, 0)) == inf - 1,
       "%s: overflow starts half a step past the largest value", name);
}

/* test/data/quants/KIND.bin: int32 n, n blocks, their f32 values by gguf's numpy code. */
static void test_quant(enum dtype t)
{
    const struct dtype_info *d = &dtype_info[t];
    struct err e;
    char name[64];
    snprintf(name, sizeof name, "quants/%s.bin", d->name);
    char *path = test_data(name), *data = path ? file_read(path, NULL, &e) : NULL;
    if (!ok(data != NULL, "%s is there", name))
        return;
    int32_t n;
    memcpy(&n, data, sizeof n);
    const size_t count = (size_t)n * (size_t)d->block, bytes = (size_t)n * (size_t)d->bytes;
    float *got = mem_alloc(count, sizeof *got, &e);
    dtype_to_f32(t, got, data + sizeof n, count);
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        float want;
        memcpy(&want, data + sizeof n + bytes + i * sizeof want, sizeof want);
        wrong += memcmp(&got[i], &want, sizeof want) && !(isnan(got[i]) && isnan(want));
    }
    ok(!wrong, "%s: %zu values equal numpy's, bit for bit (%zu wrong)", d->name, count, wrong);
    free(got);
    free(data);
    free(path);
}

/* test/data/quants/write_Q8_0.bin: int32 n, 32 n f32 values, the blocks gguf's numpy code makes. */
static void test_quantise(void)
{
    struct err e;
    char *path = test_data("quants/write_Q8_0.bin"),
         *data = path ? file_read(path, NULL, &e) : NULL;
    if (!ok(data != NULL, "write_Q8_0.bin is there"))
        return;
    int32_t n;
    memcpy(&n, data, sizeof n);
    const size_t count = 32 * (size_t)n;
    float *x = mem_alloc(count, sizeof *x, &e);
    uint8_t *got = mem_alloc((size_t)n, 34, &e);
    memcpy(x, data + sizeof n, count * sizeof *x);
    dtype_from_f32(DT_Q8_0, got, x, count);
    int wrong = 0;
    for (int32_t i = 0; i < n; i++)
        wrong += memcmp(got + 34 * i, data + sizeof n + count * sizeof *x + 34 * i, 34) != 0;
    for (int i = 0; i < 32; i++)
        x[i] = 1e-42f; /* the inverse of its scale is no float */
    dtype_from_f32(DT_Q8_0, got, x, 32);
    for (int i = 0; i < 34; i++)
        wrong += got[i] != 0;
    ok(n > 30 && !wrong, "Q8_0: %d blocks are written as numpy does (%d wrong)", n, wrong);
    free(x);
    free(got);
    free(data);
    free(path);
}

/* A tensor large enough for threads gives what its blocks give one by one. */
static void test_large(enum dtype t)
{
    const struct dtype_info *d = &dtype_info[t];
    const size_t block = (size_t)d->block, size = (size_t)d->bytes, n = 256 * 300;
    struct err e;
    uint8_t *src = mem_alloc(n / block, size, &e);
    float *got = mem_alloc(n, sizeof *got, &e), *one = mem_alloc(block, sizeof *one, &e);
    uint32_t x = 12345;
    for (size_t i = 0; i < n / block * size; i++)
        src[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    dtype_to_f32(t, got, src, n);
    size_t wrong = 0;
    for (size_t b = 0; b < n / block; b++) {
        dtype_to_f32(t, one, src + b * size, block);
        wrong += memcmp(one, got + b * block, block * sizeof *one) != 0;
    }
    ok(!wrong, "%s: threads change nothing (%zu blocks wrong)", d->name, wrong);
    free(src);
    free(got);
    free(one);
}

static void test_sizes(void)
{
    size_t bytes = 0;
    ok(!dtype_bytes(DT_Q4_1, 64, &bytes) && bytes == 40, "64 weights of Q4_1 are 40 bytes");
    ok(!dtype_bytes(DT_Q6_K, 512, &bytes) && bytes == 420, "512 weights of Q6_K are 420 bytes");
    ok(dtype_bytes(DT_Q4_1, 33, &bytes), "33 weights of Q4_1 are refused");
    ok(dtype_bytes(DT_F64, SIZE_MAX / 4, &bytes), "a size that overflows is refused");
    ok(dtype_by_safetensors("BF16") == DT_BF16 && dtype_by_safetensors("Q4_1") == DT_COUNT &&
           dtype_by_safetensors("") == DT_COUNT,
       "safetensors names");
    ok(dtype_by_ggml(3) == DT_Q4_1 && dtype_by_ggml(30) == DT_BF16 &&
           dtype_by_ggml(0xffffffff) == DT_COUNT,
       "ggml numbers");
}

int main(void)
{
    test_sizes();
    test_narrow(DT_F16, 10, 15);
    test_narrow(DT_BF16, 7, 127);
    test_quant(DT_F16);
    test_quant(DT_BF16);
    for (int t = DT_Q4_0; t < DT_COUNT; t++)
        test_quant((enum dtype)t);
    test_quantise();
    for (int t = 0; t < DT_COUNT; t++)
        test_large((enum dtype)t);
    return done();
}
