/* SHA-256 (FIPS 180-4), which identifies the files of a run. Bytes may be added in pieces of any
 * size. Processors with SHA instructions hash about 2 GB/s, others 0.3 GB/s.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SHA256_BYTES = 32, SHA256_BLOCK = 64, SHA256_TEXT = 2 * SHA256_BYTES + 1 };

struct sha256 {
    uint32_t h[8];
    uint64_t n;                  /* bytes so far */
    uint8_t block[SHA256_BLOCK]; /* the last n % 64 of them */
    void (*blocks)(uint32_t h[8], const uint8_t *p, size_t n);
};

/* portable: without the processor's SHA instructions; the hash is the same. */
void sha256_init(struct sha256 *s, int portable);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
void sha256_end(struct sha256 *s, uint8_t hash[SHA256_BYTES]);
/* Of a file's bytes, in hexadecimal, as the program sha256sum prints it. */
int sha256_file(const char *path, char text[SHA256_TEXT], struct err *e);

#endif
