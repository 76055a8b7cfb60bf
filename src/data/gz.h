/* Files that gzip has packed. */
#ifndef DATA_GZ_H
#define DATA_GZ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

bool gz_is(const char *path); /* by its ending, .gz */
/* Whether bytes begin as gzip's do, whatever the file is called. */
bool gz_begins(const char *bytes, size_t n);
/* The whole text, unpacked and NUL-terminated, owned by the caller. Refuses damaged files and
 * texts above 2 GiB; `name` is for messages. */
char *gz_unpack(const char *name, const char *bytes, size_t n, size_t *len, struct err *e);
/* The same of a file, which must be packed. */
char *gz_read(const char *path, size_t *len, struct err *e);

#endif
