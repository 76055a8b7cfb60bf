/* Choosing a method on the command line: --method, its terms, and the parameters of both. */
#ifndef CLI_RECIPE_ARGS_H
#define CLI_RECIPE_ARGS_H

#include "cli/args.h"
#include "methods/method.h"

struct recipe_options {
    const char *method;
};

extern const struct param recipe_params[];

/* Takes the tables of the chosen method from an open command line: ARGS_GO or an exit status.
 * recipe_fini is due in every case. */
int recipe_args(struct args *a, const struct recipe_options *o, struct recipe *r);

#endif
