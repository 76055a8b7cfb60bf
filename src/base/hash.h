/* 64-bit non-cryptographic hash: detects accidental differences; collisions can be constructed. And
 * an index of things by their hash, so that a name among thousands is found at once.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

#define HASH_START UINT64_C(0x243F6A8885A308D3)

/* Appends a word to the hash `h`. */
static inline uint64_t hash_word(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

/* Appends the whole words of n bytes. */
static inline uint64_t hash_words(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t word;
    for (; n >= sizeof word; n -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        h = hash_word(h, word);
    }
    return h;
}

/* Appends the rest after them, which may be nothing. */
static inline uint64_t hash_rest(uint64_t h, const void *bytes, size_t n)
{
    const size_t rest = n % sizeof(uint64_t);
    uint64_t word = 0;
    if (rest)
        memcpy(&word, (const unsigned char *)bytes + n - rest, rest);
    return hash_word(h, word);
}

/* Appends n and the n bytes. */
static inline uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n)
{
    return hash_rest(hash_words(hash_word(h, n), bytes, n), bytes, n);
}

static inline uint64_t hash_text(const char *s)
{
    return hash_bytes(HASH_START, s, strlen(s));
}

/* Numbers under hashes, several under one if need be: the caller compares the things themselves.
 * Zeros are an empty index. */
struct hash_index {
    struct hash_entry *entry; /* owned [cap], open addressing */
    size_t n, cap;
};

int hash_index_add(struct hash_index *x, uint64_t hash, size_t number, struct err *e);
/* The next number under this hash, `*probe` being 0 at first; false: no more. */
bool hash_index_next(const struct hash_index *x, uint64_t hash, size_t *probe, size_t *number);
void hash_index_fini(struct hash_index *x);

#endif
