/* 64-bit non-cryptographic hash: detects accidental differences; collisions can be constructed.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_START UINT64_C(0x243F6A8885A308D3)

/* Appends a word to the hash `h`. */
static inline uint64_t hash_word(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

/* Appends n and the n bytes. */
static inline uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t word;
    h = hash_word(h, n);
    for (; n >= sizeof word; n -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        h = hash_word(h, word);
    }
    word = 0;
    if (n)
        memcpy(&word, at, n);
    return hash_word(h, word);
}

#endif
