/* The data sets beside the retrained model (suites/beside.h), as a table on standard output. */
#ifndef CLI_BESIDE_PRINT_H
#define CLI_BESIDE_PRINT_H

#include <jansson.h>

#include "base/err.h"

int beside_print(json_t *beside, struct err *e);

#endif
