/* What a reader must know beside the figures of a suite: rows that are left out or count otherwise
 * than they look, and how figures came about. One line a fact, with the metrics of which it is
 * true.
 */
#ifndef CLI_FOOT_PRINT_H
#define CLI_FOOT_PRINT_H

#include "suites/suite.h"

/* On standard output; as notes on standard error where that holds JSON. */
int foot_print(const struct suite *s, bool json, struct err *e);

#endif
