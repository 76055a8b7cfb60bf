/* The list of a ledger's runs, of `unlearn runs`. */
#ifndef CLI_RUNS_H
#define CLI_RUNS_H

#include <stdbool.h>

#include "run/ledger.h"

struct runs_options {
    const char *ledger;
    const char *values; /* names, joined by commas, of values that are columns; NULL: the usual */
    const char *where;  /* conditions NAME OP NUMBER, likewise; NULL: none */
    struct ledger_filter filter;
    bool json, csv;
};

/* Prints the runs that the filter and the conditions leave, oldest first. */
int runs_list(struct ledger *l, const struct runs_options *o, struct err *e);

#endif
