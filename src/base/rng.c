#include "base/rng.h"

#include <math.h>

#include "base/err.h"

enum { N = 624, M = 397 };

/* MT19937: Matsumoto and Nishimura, ACM TOMACS 8(1), 1998; seeding of the 2002 revision. */
void rng_seed(struct rng *r, uint32_t seed)
{
    r->mt[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        r->mt[i] = 1812433253u * (r->mt[i - 1] ^ r->mt[i - 1] >> 30) + i;
    r->at = N;
}

/* The finaliser of splitmix64: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

void rng_stream(struct rng *r, uint32_t seed, enum rng_purpose purpose, uint32_t index)
{
    if (purpose == RNG_ORDER)
        rng_seed(r, seed + index);
    else if (purpose == RNG_DRAW)
        rng_seed(r, seed);
    else
        rng_seed(r, (uint32_t)mix(mix((uint64_t)purpose << 32 | seed) + index));
}

static void refill(struct rng *r)
{
    for (int i = 0; i < N; i++) {
        uint32_t y = (r->mt[i] & 0x80000000u) | (r->mt[(i + 1) % N] & 0x7FFFFFFFu);
        r->mt[i] = r->mt[(i + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    r->at = 0;
}

uint32_t rng_u32(struct rng *r)
{
    if (r->at >= N)
        refill(r);
    uint32_t y = r->mt[r->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    BUG_ON(n == 0);
    return rng_u32(r) % n;
}

float rng_float(struct rng *r)
{
    return (float)(rng_u32(r) & 0xFFFFFF) * 0x1p-24f;
}

double rng_normal(struct rng *r)
{
    double u = (rng_u32(r) + 1.0) * 0x1p-32; /* (0,1]: the logarithm is finite */
    double v = rng_u32(r) * 0x1p-32;
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

void rng_permutation(struct rng *r, int *p, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = i;
    for (int i = 0; i + 1 < n; i++) {
        int j = i + (int)rng_below(r, (uint32_t)(n - i));
        int t = p[i];
        p[i] = p[j];
        p[j] = t;
    }
}
