/* Choosing a method on the command line: --method, its terms, and the parameters of both. */
#ifndef CLI_RECIPE_ARGS_H
#define CLI_RECIPE_ARGS_H

#include "cli/args.h"
#include "locate/locators.h"
#include "methods/method.h"

struct recipe_options {
    const char *method;
};

extern const struct param recipe_params[];

/* The row of --locate in a table of options. */
#define LOCATE_PARAM(offset)                                                                       \
    {                                                                                              \
        "locate", PARAM_STRING, offset, 0, 0, NULL, "all", "NAME",                                 \
            "which weights may move: all, regex, lora (adapters on frozen weights)"                \
    }
/* The parameters of what was chosen, if it has any. */
int choice_args(struct args *a, const struct choice *c);
/* Chooses the locator of that name and takes its parameters; choice_fini is due in every case. */
int locator_args(struct args *a, const char *name, struct choice *c);

/* Takes the tables of the chosen method from an open command line: ARGS_GO or an exit status.
 * recipe_fini is due in every case. */
int recipe_args(struct args *a, const struct recipe_options *o, struct recipe *r);

#endif
