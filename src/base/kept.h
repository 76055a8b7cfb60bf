/* Results that took long, kept in a file as they come: work that was stopped goes on from there.
 *
 *   file    "unlearn kept 1 ID NAME\n": ID is a fingerprint, in hexadecimal, of what the results
 *           are of, NAME says it in words
 *   record  u64 key, u32 size, u32 check, bytes[size]; check is the CRC-32 of all the rest
 *
 * in the machine's own byte order, as the file is not meant to travel. Each record is handed to the
 * system as soon as it is there, so that a process that is killed loses none. What is cut off or
 * damaged at the end, as by a full disk, is dropped when the file is opened again.
 */
#ifndef BASE_KEPT_H
#define BASE_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct kept_entry {
    uint64_t key;
    uint32_t size;
    const char *bytes; /* in what was read */
};

struct kept {
    char *path;           /* owned; NULL: closed */
    int fd;               /* open for writing, and locked */
    char *read;           /* owned: what the file held when it was opened */
    struct kept_entry *v; /* owned [n], by key */
    size_t n;
    size_t size; /* of the file's sound part */
    long added;  /* records since it was opened */
};

/* Opens or makes the file. Refuses one that is of something else or in use by another process.
 * `anew`: whatever it holds is dropped. */
int kept_open(struct kept *k, const char *path, uint64_t id, const char *name, bool anew,
              struct err *e);
/* The bytes of a record that was in the file when it was opened, borrowed and not aligned; NULL:
 * there is none. */
const void *kept_find(const struct kept *k, uint64_t key, size_t *size);
/* On failure the file still holds all records before this one. */
int kept_add(struct kept *k, uint64_t key, const void *bytes, size_t size, struct err *e);
/* Whether it holds any record. */
bool kept_any(const struct kept *k);
/* Closes it, and removes it if it is not to stay or holds nothing. Fine on a zeroed one. */
void kept_close(struct kept *k, bool stay);

#endif
