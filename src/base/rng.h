/* Random numbers: MT19937 exactly as NumPy and PyTorch seed it, one generator per purpose, so that
 * a run is reproduced from its seed and streams are independent of one another.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint32_t mt[624];
    int at;
};

/* Purposes of streams. RNG_ORDER of epoch e is seeded seed + e and RNG_DRAW seed + 0, which are
 * the streams of a PyTorch loader and of its global generator; the others are spread by a hash. */
enum rng_purpose { RNG_ORDER, RNG_DRAW, RNG_INIT, RNG_SAMPLE, RNG_NOISE };

void rng_seed(struct rng *r, uint32_t seed);
void rng_stream(struct rng *r, uint32_t seed, enum rng_purpose purpose, uint32_t index);
uint32_t rng_u32(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* u32 % n, n > 0 */
float rng_float(struct rng *r);                /* [0,1): (u32 & 0xFFFFFF) / 2^24 */
double rng_normal(struct rng *r);              /* Box-Muller, two u32 a call */
/* torch.randperm: Fisher-Yates, for i in 0..n-2: swap(p[i], p[i + u32 % (n-i)]). */
void rng_permutation(struct rng *r, int *p, int n);

/* Number i of stream `key` of SplitMix64, in any order and without state. */
static inline uint64_t rng_at(uint64_t key, uint64_t i)
{
    uint64_t z = key + 0x9e3779b97f4a7c15u * i;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
