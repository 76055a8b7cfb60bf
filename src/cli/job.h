/* A training job from the command line: `train` and `forget` differ in their data options, and in
 * whether the method is chosen. The choice itself, of a method and of which weights move, is also
 * for commands that run one step of a method (probe).
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "cli/args.h"
#include "locate/locators.h"
#include "methods/method.h"
#include "run/run.h"

struct job_command {
    const struct run_kind *kind;
    const char *usage, *about;
};

/* Reads the command line and the data, trains, saves the model with its tokenizer into --out,
 * prints a summary. Returns an exit status: an interrupt (Ctrl-C) saves a checkpoint, the message
 * tells how to resume, and the status is STATUS_FAILED. */
int job_main(const struct job_command *c, int argc, char **argv);

/* The hooks of commands that train: Ctrl-C saves a checkpoint. */
extern const struct run_hooks job_hooks;
/* Calls `work` with the options of the run of `train` in the directory `dir`, as its run.json has
 * them, changed by `more` [n] options; returns an exit status. `a` is for messages. */
typedef int job_work(void *ctx, const struct run_config *c, struct err *e);
int job_again(const struct args *a, const char *dir, char *const *more, int n, job_work *work,
              void *ctx);

/* Takes the tables of the chosen method from an open command line: ARGS_GO or an exit status.
 * recipe_fini is due in every case. */
int recipe_args(struct args *a, const char *method, struct recipe *r);
/* Chooses the locator of that name and takes its parameters; choice_fini is due in every case. */
int locator_args(struct args *a, const char *name, struct choice *c);

#endif
