/* gzip-compressed files. */
#ifndef DATA_GZ_H
#define DATA_GZ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

bool gz_is(const char *path); /* by its extension, .gz */
/* Whether the bytes start with gzip's magic number. */
bool gz_begins(const char *bytes, size_t n);
/* The whole text, decompressed and NUL-terminated, owned by the caller. Refuses damaged files and
 * texts above 2 GiB; `name` is for messages. */
char *gz_unpack(const char *name, const char *bytes, size_t n, size_t *len, struct err *e);
/* The same for a file, which must be compressed. */
char *gz_read(const char *path, size_t *len, struct err *e);

#endif
