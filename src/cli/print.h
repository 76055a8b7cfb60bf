/* What several commands print. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>

#include "base/err.h"

/* The value on standard output, and a newline; flags as for json_write_buf. */
int print_json(const json_t *j, size_t flags, struct err *e);

#endif
