/* One run of training: the steps that its method needs (run/procedure.h), its own training, the
 * saved model. From typed options: no argv, no exit status, nothing printed but through the hooks.
 *
 *     struct run_config c = {.command = "forget", .run.out = "DIR", ...};
 *     struct run_result r;
 *     run_train(&c, NULL, &r, &e)
 *
 * OUT is taken as run/output.h describes; it gets the model, train.jsonl (train/log.h) and
 * run.json (train/cost.h).
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "base/log.h"
#include "run/data.h"
#include "run/locate.h"
#include "run/procedure.h"
#include "train/loop.h"
#include "train/weighting.h"

/* Each struct of options has a table of parameters with its defaults: setup_params, train_params,
 * alternate_params ... */
struct run_config {
    const char *command; /* for the ledger and the progress bar: "forget" */
    struct setup_options setup;
    struct run_options run;
    struct train_options train;
    struct alternate_options alternates;
    struct generic_options generic;
    struct weighting_options weighting;
    struct validation_options validation;
    struct recipe recipe;                  /* owned */
    struct choice optim, locator, wrapper; /* owned; no wrapper: NULL */
    struct mask_options mask;              /* of a locator with scores */
    struct procedure procedure;            /* of the recipe, by procedure_of; zeroed: no steps */
    bool dry_run;    /* everything is checked and estimated, no step is made, nothing is written */
    json_t *options; /* owned: {name: value} of all options, for the ledger and for --resume, which
                        refuses others; NULL: none are compared */
};

void run_config_fini(struct run_config *c);
/* The locator leaves the model's own weights as they are. */
bool run_keeps_base(const struct run_config *c);
/* It scores elements: the run begins with the mask that it selects. */
bool run_makes_mask(const struct run_config *c);

struct run_hooks {
    const struct log *log; /* takes notes, warnings and progress; NULL: the current log does */
    /* Called before the first step of each training, once a checkpoint can be written: the flag
     * that ends it. NULL: nothing does. */
    const volatile sig_atomic_t *(*interrupt)(void *ctx);
    void *ctx;
};

/* Mean over rows of the mean NLL of their labels before and after the training; NaN: not measured.
 */
struct nll_change {
    double forget[2], retain[2];
    long steps, clipped; /* steps, and those whose gradient was clipped */
};

struct run_result {
    struct train_report report; /* of the run's own training; dry_run: its steps, if it were made */
    struct nll_change nll;      /* of forget and retain data, the first rows of each */
    bool finished;              /* an earlier run had finished: nothing was done */
    bool interrupted;           /* the run failed, and can be resumed */
};

/* Fails with an error that names the step it was in; what is borrowed by `c` must last so long.
 * `h` may be NULL. */
int run_train(const struct run_config *c, const struct run_hooks *h, struct run_result *out,
              struct err *e);

#endif
