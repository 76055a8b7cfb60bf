/* What the command line of a training job asks for: the config of a run, and how its result is
 * printed.
 */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "cli/args.h"
#include "cli/job.h"
#include "cli/recipe_args.h"
#include "run/run.h"

/* What the method may preset: which weights move, what stands before the optimiser, and which stage
 * goes first. */
struct choice_options {
    const char *locate, *wrapper, *first;
};

struct request {
    struct args args;
    struct run_config config;
    const char *optimiser;
    bool json;
    struct recipe_options choice;
    struct choice_options chosen;
};

/* ARGS_GO or an exit status; request_fini is due in every case. */
int request_parse(struct request *q, const struct job_command *c, int argc, char **argv);
void request_fini(struct request *q);

#endif
