#include "base/sha256.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sizes.h"

/* Fractions of the cube roots of the first 64 primes. */
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round: a and e of the next one go where d and h were. */
static inline void round_of(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f,
                            uint32_t g, uint32_t *h, uint32_t kw)
{
    uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    uint32_t t1 = *h + s1 + (g ^ (e & (f ^ g))) + kw;
    *d += t1;
    *h = t1 + s0 + ((a & b) | (c & (a | b)));
}

static void one_block(uint32_t sum[8], const uint8_t *p)
{
    uint32_t w[64], a = sum[0], b = sum[1], c = sum[2], d = sum[3];
    uint32_t e = sum[4], f = sum[5], g = sum[6], h = sum[7];
    for (int t = 0; t < 16; t++)
        w[t] = big_endian(p + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t x = w[t - 15], y = w[t - 2];
        w[t] = w[t - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[t - 7] +
               (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
    }
    for (int t = 0; t < 64; t += 8) {
        round_of(a, b, c, &d, e, f, g, &h, K[t] + w[t]);
        round_of(h, a, b, &c, d, e, f, &g, K[t + 1] + w[t + 1]);
        round_of(g, h, a, &b, c, d, e, &f, K[t + 2] + w[t + 2]);
        round_of(f, g, h, &a, b, c, d, &e, K[t + 3] + w[t + 3]);
        round_of(e, f, g, &h, a, b, c, &d, K[t + 4] + w[t + 4]);
        round_of(d, e, f, &g, h, a, b, &c, K[t + 5] + w[t + 5]);
        round_of(c, d, e, &f, g, h, a, &b, K[t + 6] + w[t + 6]);
        round_of(b, c, d, &e, f, g, h, &a, K[t + 7] + w[t + 7]);
    }
    const uint32_t v[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        sum[i] += v[i];
}

static void blocks_portable(uint32_t h[8], const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        one_block(h, p + i * SHA256_BLOCK);
}

/* The instructions keep the state as two registers, (a b e f) and (c d g h) from the top word down,
 * and do four rounds with the four words of `m`. */
#define WITH_SHA __attribute__((target("sha,sse4.1")))

WITH_SHA static void four_rounds(__m128i *abef, __m128i *cdgh, __m128i m, int t)
{
    __m128i wk = _mm_add_epi32(m, _mm_load_si128((const __m128i *)(const void *)(K + t)));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0E));
}

WITH_SHA static void blocks_sha(uint32_t h[8], const uint8_t *p, size_t n)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
    __m128i cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
    for (size_t i = 0; i < n; i++, p += SHA256_BLOCK) {
        const __m128i abef0 = abef, cdgh0 = cdgh;
        __m128i m[4];
        for (int k = 0; k < 4; k++) {
            m[k] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * k)),
                                    swap);
            four_rounds(&abef, &cdgh, m[k], 4 * k);
        }
        for (int t = 16; t < 64; t += 4) {
            /* w[t..t+3] from w[t-16..], w[t-15..], w[t-7..] and w[t-2..] */
            __m128i w =
                _mm_add_epi32(_mm_sha256msg1_epu32(m[0], m[1]), _mm_alignr_epi8(m[3], m[2], 4));
            w = _mm_sha256msg2_epu32(w, m[3]);
            four_rounds(&abef, &cdgh, w, t);
            m[0] = m[1], m[1] = m[2], m[2] = m[3], m[3] = w;
        }
        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    uint32_t x[4], y[4];
    _mm_storeu_si128((__m128i *)(void *)x, abef);
    _mm_storeu_si128((__m128i *)(void *)y, cdgh);
    h[0] = x[3], h[1] = x[2], h[4] = x[1], h[5] = x[0];
    h[2] = y[3], h[3] = y[2], h[6] = y[1], h[7] = y[0];
}

static int has_sha(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA &&
           __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1;
}

void sha256_init(struct sha256 *s, int portable)
{
    /* Fractions of the square roots of the first 8 primes. */
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    *s = (struct sha256){.blocks = !portable && has_sha() ? blocks_sha : blocks_portable};
    memcpy(s->h, start, sizeof start);
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    const size_t at = s->n % SHA256_BLOCK, room = SHA256_BLOCK - at;
    s->n += n;
    if (at) {
        const size_t some = n < room ? n : room;
        memcpy(s->block + at, p, some);
        p += some;
        n -= some;
        if (some < room)
            return;
        s->blocks(s->h, s->block, 1);
    }
    s->blocks(s->h, p, n / SHA256_BLOCK);
    if (n % SHA256_BLOCK)
        memcpy(s->block, p + n / SHA256_BLOCK * SHA256_BLOCK, n % SHA256_BLOCK);
}

void sha256_end(struct sha256 *s, uint8_t hash[SHA256_BYTES])
{
    /* A one bit, zeros, and the number of bits in the last 8 bytes of a block. */
    uint8_t end[2 * SHA256_BLOCK] = {0x80};
    const size_t pad = SHA256_BLOCK - (s->n + 8) % SHA256_BLOCK;
    const uint64_t bits = s->n * 8;
    for (int i = 0; i < 8; i++)
        end[pad + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(s, end, pad + 8);
    for (int i = 0; i < SHA256_BYTES; i++)
        hash[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

static int read_all(struct sha256 *s, int fd, const char *path, struct err *e)
{
    enum { PIECE = SIZE(1 << 20, 67) };
    uint8_t *piece = mem_alloc(PIECE, 1, e);
    ssize_t n = piece ? 1 : -1;
    while (n > 0) {
        do
            n = read(fd, piece, PIECE);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            err_sys(e, "cannot read '%s'", path);
        else
            sha256_add(s, piece, (size_t)n);
    }
    free(piece);
    return n < 0 ? -1 : 0;
}

int sha256_file(const char *path, char text[SHA256_TEXT], struct err *e)
{
    struct sha256 s;
    uint8_t hash[SHA256_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "cannot open '%s'", path);
    sha256_init(&s, 0);
    const int rc = read_all(&s, fd, path, e);
    close(fd);
    sha256_end(&s, hash);
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    return rc;
}
