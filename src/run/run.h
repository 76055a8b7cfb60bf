/* One run of training: the steps that its method needs (run/procedure.h), its own training, the
 * saved model. From typed options: no argv, no exit status, nothing printed but through the hooks.
 *
 *     struct run_config c;
 *     struct run_result r;
 *     run_config_init(&c, &run_kind_forget);    every option at its default
 *     c.names.method = "SimNPO";                those set that differ: paths, data, names, training
 *     run_config_choose(&c, NULL, &e)           what the names choose, with its presets
 *     c.alternates.times = 2;                   likewise of what was chosen
 *     run_train(&c, NULL, &r, &e)
 *     run_config_fini(&c)
 *
 * OUT is refused where it holds anything, unless the run resumes or replaces it. It gets the model,
 * train.jsonl (train/log.h) and run.json (train/cost.h).
 *
 * Exact removal: with more than one shard or slice, or kept checkpoints, a run of `train` leaves
 * what run_remove needs to take rows out again as if they had never been there, bit by bit: SISA
 * (arXiv 1912.03817), and replay of a run from its last checkpoint before them. OUT gets a layout
 * (run/sharding.h) and, of more than one shard, a directory for each, shard-0, shard-1 ..: with its
 * model, its kept checkpoints step-N.safetensors, and state.json.
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "base/log.h"
#include "run/data.h"
#include "run/locate.h"
#include "run/procedure.h"
#include "train/loop.h"
#include "train/weighting.h"

/* A command: which data it has, and whether the method is chosen. */
struct run_kind {
    const char *command;
    const struct param *data; /* rows on struct run_options: files, other models */
    const char *method;       /* fixed; NULL: chosen */
};

extern const struct run_kind run_kind_train, run_kind_forget;

/* What is chosen by name. */
struct run_names {
    const char *method, *optimiser;
    const char *locate, *wrapper, *first, *last; /* NULL: the method's, else the table's default */
};

extern const struct param method_name_params[]; /* `method`, on struct run_names */

/* Of run_kind_train. */
struct exact_options {
    int64_t shards, slices, keep_every;
};

/* Likewise: DP-SGD (train/private.h), the clipping norm C is train.clip. */
struct private_options {
    bool dp;
    double sigma, delta;
};

enum { RUN_TABLES = 24 };

/* All options of a run. It is not moved once it is open: `tables` point into it. */
struct run_config {
    const char *command; /* for the ledger and the progress bar: "forget" */
    const struct run_kind *kind;
    struct run_names names;
    struct setup_options setup;
    struct run_options run;
    struct train_options train;
    struct alternate_options alternates;
    struct generic_options generic;
    struct weighting_options weighting;
    struct validation_options validation;
    struct exact_options exact;
    struct private_options privacy;
    struct recipe recipe;                  /* owned */
    struct choice optim, locator, wrapper; /* owned; no wrapper: NULL */
    struct mask_options mask;              /* of a locator with scores */
    struct procedure procedure;            /* of the recipe, by procedure_of; zeroed: no steps */
    bool dry_run; /* everything is checked and estimated, no step is made, nothing is written */
    /* Of every option, as the command line and recipes name them. A resumed run must have the same
     * values as it had; OUT/run.json tells them. */
    struct param_table tables[RUN_TABLES];
    int n_tables;
};

/* Every option of the kind at its default, except those that depend on what the names choose. */
void run_config_init(struct run_config *c, const struct run_kind *kind);
/* Chooses method, weights, optimiser and steps by their names, and adds their tables of options,
 * each of which `t` may change before what depends on it is chosen; NULL: defaults, presets, and
 * what setup.compat names. run_config_fini is due in every case. */
int run_config_choose(struct run_config *c, const struct param_taker *t, struct err *e);
/* The same with the values of an object {name: value}, as a run.json has them in "options", also
 * for the tables of run_config_init. Names of other tables and nulls are left out; texts are
 * borrowed from it. */
int run_config_read(struct run_config *c, const json_t *values, struct err *e);
/* Refuses options that contradict each other; run_train does it too. */
int run_config_check(const struct run_config *c, struct err *e);
/* {name: value} of all options, a new object. */
json_t *run_config_values(const struct run_config *c);
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
    long steps, clipped;           /* steps, and those whose gradient was clipped */
    const char *further, *shorter; /* of a method of one step: what to change so that it goes
                                    * further, or less far; NULL: it trains */
};

/* What exact training has read; one example in one batch is one read. */
struct exact_cost {
    double reads; /* now */
    double whole; /* of training all shards from their beginning, without the deleted rows */
    int trained, shards;
};

struct run_result {
    struct train_report report; /* of the run's own training; dry_run: its steps, if it were made */
    struct exact_cost exact;    /* of a run with rows that can be deleted; its report is the sum
                                 * over shards, the loss that of the last */
    struct nll_change nll;      /* of forget and retain data, the first rows of each */
    bool finished;              /* an earlier run had finished: nothing was done */
    bool interrupted;           /* the run failed, and can be resumed */
};

/* Fails with an error that names the step it was in; what is borrowed by `c` must last so long.
 * `h` may be NULL. */
int run_train(const struct run_config *c, const struct run_hooks *h, struct run_result *out,
              struct err *e);

/* Deletes rows, by their numbers in the data file at the first training, from the run in OUT, whose
 * options `c` has, and trains again what had seen them. The data file may be that of the first
 * training, or one without deleted rows. If it is interrupted, run_train with `resume` completes
 * it. */
int run_remove(const struct run_config *c, const int *rows, int n, const struct run_hooks *h,
               struct run_result *out, struct err *e);

/* One shard of a run, compared with its fresh training on the rows that are left. */
struct verified {
    int shard, left, deleted;
    bool checked, same; /* every model file, byte by byte */
    char differs[256];  /* the first file that differs; "": none */
};

/* Trains the shards with deleted rows (all: every shard) from their beginning in the directory
 * `scratch`, and compares the models in OUT with the result. *v: owned [*n], free it. */
int run_verify(const struct run_config *c, const char *scratch, bool all, const struct run_hooks *h,
               struct verified **v, int *n, struct err *e);

#endif
