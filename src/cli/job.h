/* A training job from the command line: `train` and `forget` differ in their data options, and in
 * whether the method is chosen.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "base/param.h"

struct job_command {
    const char *name, *usage, *about;
    const struct param *data; /* rows on struct run_options: files, reference */
    const char *method;       /* fixed; NULL: chosen by --method */
};

/* Reads the command line and the data, trains, saves the model with its tokenizer into --out,
 * prints a summary. Returns an exit status: an interrupt (Ctrl-C) saves a checkpoint, says how to
 * go on, and is STATUS_FAILED. */
int job_main(const struct job_command *c, int argc, char **argv);

#endif
