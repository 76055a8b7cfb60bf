/* Append-only result cache: an interrupted evaluation resumes from it.
 *
 *   file    "unlearn kept 1 ID NAME\n": ID is a hash, in hexadecimal, of the model (or other
 * source) of the results, NAME its name for messages record  u64 key, u32 size, u32 check,
 * bytes[size]; check is the CRC-32 of the other fields
 *
 * in the machine's byte order: the file is not portable. Each record is written as soon as it is
 * computed, so a killed process loses none. A truncated or damaged end (full disk) is dropped when
 * the file is opened again.
 */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cache_entry {
    uint64_t key;
    uint32_t size;
    const char *bytes; /* points into cache_file.read */
};

struct cache_file {
    char *path;            /* owned; NULL: closed */
    int fd;                /* open for writing, and locked */
    char *read;            /* owned: what the file held when it was opened */
    struct cache_entry *v; /* owned [n], by key */
    size_t n;
    size_t size; /* of the file's valid part */
    long added;  /* records since it was opened */
};

/* Opens or creates the file. Refuses one with another id, or in use by another process.
 * `overwrite`: existing records are dropped. */
int cache_file_open(struct cache_file *k, const char *path, uint64_t id, const char *name,
                    bool overwrite, struct err *e);
/* The bytes of a record that was in the file when it was opened, borrowed and not aligned; NULL:
 * not found. */
const void *cache_file_find(const struct cache_file *k, uint64_t key, size_t *size);
/* On failure the file still holds all earlier records. */
int cache_file_add(struct cache_file *k, uint64_t key, const void *bytes, size_t size,
                   struct err *e);
/* Whether it holds any record. */
bool cache_file_any(const struct cache_file *k);
/* Closes it, and removes the file if it holds no record or `keep` is false. A zeroed one is
 * allowed. */
void cache_file_close(struct cache_file *k, bool keep);

#endif
