/* A training job from the command line: `train` and `forget` differ only in the method and the data
 * options.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "cli/args.h"
#include "cli/setup.h"
#include "methods/method.h"
#include "train/optim.h"
#include "train/options.h"

struct job_options {
    const char *files[ROLE_COUNT]; /* data of each role; NULL: none */
    const char *question_key, *answer_key;
    const char *ref; /* reference model; NULL: the model itself before training */
    const char *out, *dtype, *optimiser;
    bool scratch, json;
};

/* Rows that both commands have: keys, reference, output. The data rows are the command's own. */
extern const struct param job_params[];

/* Reads the data, trains, saves the model with its tokenizer into o->out. Prints a summary. Returns
 * an exit status: an interrupt (Ctrl-C) saves a checkpoint, says how to go on, and is
 * STATUS_FAILED. */
int job_run(struct args *a, const struct setup_options *so, const struct job_options *jo,
            const struct train_options *to, const struct recipe *r, const struct optim *optim,
            const void *optim_params);

#endif
