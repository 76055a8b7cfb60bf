/* Runs of 32 elements of a stored weight as vectors of f32, for the types whose blocks are such
 * runs or single numbers: BF16, F16, Q8_0, Q4_0, Q4_1. The type is a constant where these are
 * inlined.
 */
#ifndef TENSOR_CPU_RUNS_H
#define TENSOR_CPU_RUNS_H

#include <string.h>

#include "tensor/cpu.h"

#if defined __AVX2__
#include <immintrin.h>
#endif

enum { RUN = 32, VECS = RUN / LANES };

typedef int32_t ivec __attribute__((vector_size(VEC_BYTES)));

/* Runs of a block, or 1 for a run of single numbers; and its bytes. */
INLINE int block_runs(enum dtype t)
{
    return t == DT_Q4_K || t == DT_Q5_K || t == DT_Q6_K ? 8 : 1;
}

INLINE size_t block_bytes(enum dtype t)
{
    return (size_t)(RUN * block_runs(t) / dtype_info[t].block * dtype_info[t].bytes);
}

/* --- what the instruction set widens; LANES numbers of 1 or 2 bytes --- */

#if defined __AVX2__
INLINE float f16_load(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}
#else
/* The bits under the sign, moved to a float's place, read 2^112 times too small, subnormals too. */
INLINE float f16_load(const uint8_t *p)
{
    uint32_t h = p[0] | (uint32_t)p[1] << 8, bits = (h & 0x7fff) << 13;
    float f;
    memcpy(&f, &bits, sizeof f);
    f *= 0x1p112f;
    memcpy(&bits, &f, sizeof bits);
    if (f >= 65536.0f) /* exponent 31: infinity or NaN */
        bits |= 0x7f800000;
    bits |= (h & 0x8000) << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}
#endif

#if defined __AVX512F__
INLINE vec f16_vector(const uint8_t *b)
{
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)b));
}

INLINE ivec halves_of(const uint8_t *b)
{
    return (ivec)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)b));
}

INLINE ivec bytes_of(const uint8_t *b)
{
    return (ivec)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)b));
}

INLINE ivec signed_of(const uint8_t *b)
{
    return (ivec)_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)b));
}
#elif defined __AVX2__
INLINE vec f16_vector(const uint8_t *b)
{
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const void *)b));
}

INLINE ivec halves_of(const uint8_t *b)
{
    return (ivec)_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)b));
}

INLINE ivec bytes_of(const uint8_t *b)
{
    return (ivec)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)b));
}

INLINE ivec signed_of(const uint8_t *b)
{
    return (ivec)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)b));
}
#else
INLINE vec f16_vector(const uint8_t *b)
{
    return (vec){f16_load(b), f16_load(b + 2), f16_load(b + 4), f16_load(b + 6)};
}

INLINE ivec halves_of(const uint8_t *b)
{
    return (ivec){b[0] | b[1] << 8, b[2] | b[3] << 8, b[4] | b[5] << 8, b[6] | b[7] << 8};
}

INLINE ivec bytes_of(const uint8_t *b)
{
    return (ivec){b[0], b[1], b[2], b[3]};
}

INLINE ivec signed_of(const uint8_t *b)
{
    return (ivec){(int8_t)b[0], (int8_t)b[1], (int8_t)b[2], (int8_t)b[3]};
}
#endif

INLINE vec floats_of(ivec q)
{
    return __builtin_convertvector(q, vec);
}

INLINE float bf16_load(const uint8_t *p)
{
    const uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* --- runs --- */

/* 16 bytes, whose low nibbles are elements 0..15 and high ones 16..31: w = d (q - zero) + m,
 * without m where there is no minimum. */
#if defined __AVX512F__
INLINE void nibbles(vec w[VECS], const uint8_t *b, float d, int zero, bool has_min, float m)
{
    const ivec count = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const ivec q = bytes_of(b);
    vec value = d * floats_of(count - zero);
    if (has_min)
        value += m;
    w[0] = (vec)_mm512_permutexvar_ps((__m512i)q, (__m512)value);
    w[1] = (vec)_mm512_permutexvar_ps((__m512i)(q >> 4), (__m512)value);
}
#else
INLINE void nibbles(vec w[VECS], const uint8_t *b, float d, int zero, bool has_min, float m)
{
    for (int v = 0; v < VECS / 2; v++) {
        const ivec q = bytes_of(b + v * LANES);
        w[v] = d * floats_of((q & 15) - zero);
        w[v + VECS / 2] = d * floats_of((q >> 4) - zero);
        if (has_min) {
            w[v] += m;
            w[v + VECS / 2] += m;
        }
    }
}
#endif

/* Elements v LANES .. of a run whose low nibbles are these 32 bytes', from bit `low` on, and whose
 * next bits are `bits` ones of these other 32, from bit `high` on. */
INLINE ivec joined(const uint8_t *q, int low, const uint8_t *next, int high, int bits, int v)
{
    const ivec top = bytes_of(next + v * LANES) >> high & ((1 << bits) - 1);
    return (bytes_of(q + v * LANES) >> low & 15) | top << 4;
}

/* Q5_0 and Q5_1: 16 bytes of nibbles and a word with a bit for each element. */
INLINE ivec fifth(const uint8_t *q, const uint8_t *word, int v)
{
    uint32_t bits;
    ivec at, nibble = bytes_of(q + v * LANES % 16) >> (v < VECS / 2 ? 0 : 4) & 15;
    memcpy(&bits, word, sizeof bits);
    for (int k = 0; k < LANES; k++)
        at[k] = k;
    return nibble | (((ivec){0} + (int)(bits >> v * LANES)) >> at & 1) << 4;
}

/* The scale and the minimum of run r in the 12 bytes of a Q4_K or Q5_K. */
INLINE int k_scale(const uint8_t *s, int r)
{
    return r < 4 ? s[r] & 63 : (s[r + 4] & 15) | s[r - 4] >> 6 << 4;
}

INLINE int k_min(const uint8_t *s, int r)
{
    return r < 4 ? s[r + 4] & 63 : s[r + 4] >> 4 | s[r] >> 6 << 4;
}

/* Vector v of run r of a block. */
INLINE vec k_vector(enum dtype t, const uint8_t *b, int r, int v)
{
    if (t == DT_Q6_K) {
        const int half = r / 4, part = r % 4;
        const float d = f16_load(b + 208) * (float)(int8_t)b[192 + 2 * r + v * LANES / 16];
        return d * floats_of(joined(b + 64 * half + 32 * (part & 1), part / 2 * 4,
                                    b + 128 + 32 * half, 2 * part, 2, v) -
                             32);
    }
    const float d = f16_load(b) * (float)k_scale(b + 4, r);
    const float m = f16_load(b + 2) * (float)k_min(b + 4, r);
    const uint8_t *q = b + (t == DT_Q4_K ? 16 : 48) + 32 * (r / 2);
    return d * floats_of(t == DT_Q4_K ? bytes_of(q + v * LANES) >> r % 2 * 4 & 15
                                      : joined(q, r % 2 * 4, b + 16, r, 1, v)) -
           m;
}

/* Run r of the block b. */
INLINE void run_vectors(enum dtype t, vec w[VECS], const uint8_t *b, int r)
{
    if (t == DT_Q4_0)
        nibbles(w, b + 2, f16_load(b), 8, false, 0);
    else if (t == DT_Q4_1)
        nibbles(w, b + 4, f16_load(b), 0, true, f16_load(b + 2));
    for (int v = 0; v < VECS; v++)
        if (block_runs(t) > 1)
            w[v] = k_vector(t, b, r, v);
        else if (t == DT_BF16)
            w[v] = (vec)(halves_of(b + 2 * v * LANES) << 16);
        else if (t == DT_F16)
            w[v] = f16_vector(b + 2 * v * LANES);
        else if (t == DT_Q8_0)
            w[v] = f16_load(b) * floats_of(signed_of(b + 2 + v * LANES));
        else if (t == DT_Q5_0)
            w[v] = f16_load(b) * floats_of(fifth(b + 6, b + 2, v) - 16);
        else if (t == DT_Q5_1)
            w[v] = f16_load(b) * floats_of(fifth(b + 8, b + 4, v)) + f16_load(b + 2);
}

#endif
