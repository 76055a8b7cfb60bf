/* What a multiple-choice suite found, on standard output. */
#ifndef CLI_MULTIPLE_PRINT_H
#define CLI_MULTIPLE_PRINT_H

#include "suites/multiple.h"

int multiple_print(const struct multiple *m, struct err *e);

#endif
