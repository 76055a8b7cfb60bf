/* A training job from the command line: `train` and `forget` differ in their data options, and in
 * whether the method is chosen. The choice itself, of a method and of which weights move, is also
 * for commands that run one step of a method (probe).
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "cli/args.h"
#include "locate/locators.h"
#include "methods/method.h"

struct job_command {
    const char *name, *usage, *about;
    const struct param *data; /* rows on struct run_options: files, reference */
    const char *method;       /* fixed; NULL: chosen by --method */
};

/* Reads the command line and the data, trains, saves the model with its tokenizer into --out,
 * prints a summary. Returns an exit status: an interrupt (Ctrl-C) saves a checkpoint, the message
 * tells how to resume, and the status is STATUS_FAILED. */
int job_main(const struct job_command *c, int argc, char **argv);

/* Choosing a method: --method, its terms, and the parameters of both. */
struct recipe_options {
    const char *method;
};

extern const struct param recipe_params[];

/* Takes the tables of the chosen method from an open command line: ARGS_GO or an exit status.
 * recipe_fini is due in every case. */
int recipe_args(struct args *a, const struct recipe_options *o, struct recipe *r);

/* The row of --locate in a table of options. */
#define LOCATE_PARAM(offset)                                                                       \
    {                                                                                              \
        "locate", PARAM_STRING, offset, 0, 0, NULL, "all", "NAME",                                 \
            "which weights may move: all, regex, lora (adapters on frozen weights), or by a "      \
            "score: "                                                                              \
            "'unlearn locate --list'"                                                              \
    }
/* Chooses the locator of that name and takes its parameters; choice_fini is due in every case. */
int locator_args(struct args *a, const char *name, struct choice *c);

#endif
