/* Files that gzip has packed. */
#ifndef DATA_GZ_H
#define DATA_GZ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

bool gz_is(const char *path); /* by its ending, .gz */
/* The whole text, unpacked and NUL-terminated, owned by the caller. Refuses damaged files and
 * texts above 2 GiB. */
char *gz_read(const char *path, size_t *len, struct err *e);

#endif
