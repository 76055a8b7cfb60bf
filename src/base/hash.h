/* Fingerprints of data: 64 bits that tell apart what differs by accident. They are no defence
 * against somebody who wants two things to look alike.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_START UINT64_C(0x243F6A8885A308D3)

/* The hash of what `h` is the hash of, with one more word behind it. */
static inline uint64_t hash_word(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

/* The same with n bytes, and their number. */
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
