/* Random valid UTF-8 for property tests. */
#ifndef TEST_RANDOM_TEXT_H
#define TEST_RANDOM_TEXT_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* A character of one of the four lengths in UTF-8, often a space or a digit. */
static inline size_t random_char(uint64_t *state, char out[4])
{
    static const unsigned below[] = {0x80, 0x800, 0xd800, 0x110000},
                          from[] = {0, 0x80, 0x800, 0x10000};
    unsigned kind = (unsigned)random_next(state) % 6;
    if (kind >= 4) {
        out[0] = " 0\n'"[random_next(state) % 4];
        return 1;
    }
    unsigned c = from[kind] + (unsigned)random_next(state) % (below[kind] - from[kind]);
    size_t n = kind + 1;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(n == 1 ? c : c | (0xf00u >> n & 0xff));
    return n;
}

/* Fewer than `chars` characters into text[4 * chars]; returns its bytes. */
static inline size_t random_text(uint64_t *state, char *text, size_t chars)
{
    size_t n = 0;
    for (size_t i = random_next(state) % chars; i-- > 0;)
        n += random_char(state, text + n);
    return n;
}

#endif
