/* What the command line of a training job asks for: its options, the method, and what the method
 * may preset, with the parameters of each.
 */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "base/outdir.h"
#include "cli/args.h"
#include "run/generic.h"
#include "cli/job.h"
#include "run/config.h"
#include "run/data.h"
#include "cli/recipe_args.h"
#include "run/setup.h"
#include "methods/stage.h"
#include "methods/wrapping.h"
#include "train/locator.h"
#include "train/optim.h"
#include "train/options.h"
#include "train/watch.h"
#include "train/weighting.h"

/* What the method may preset: which weights move, what stands before the optimiser, and which stage
 * goes first. */
struct choice_options {
    const char *locate, *wrapper, *first;
};

struct request {
    struct args args;
    struct setup_options setup;
    struct run_options job;
    struct train_options train;
    struct recipe_options choice;
    struct recipe recipe;
    struct choice optim;
    struct choice_options chosen;
    struct alternate_options alternates;
    struct generic_options fluency;
    struct weighting_options weighting;
    struct watch_options watch;
    struct choice locator;
    struct wrapping wrapping;
    const struct stage *first; /* NULL: none */
    struct stage_options stages[STAGE_COUNT];
    char *stage_dir[STAGE_COUNT]; /* owned; NULL: the stage did not run */
    const struct stage *stage;    /* that this is the request of; NULL: of the run itself */
    json_t *given;                /* owned: all options, as they were before any stage ran */
    json_t *options;              /* owned: those of them that a resumed run must share */
    json_t *files;                /* owned {path: SHA-256} of what the run reads; NULL: not yet */
    struct outdir *dir;           /* borrowed: job.out, claimed */
};

/* ARGS_GO or an exit status; request_fini is due in every case. */
int request_parse(struct request *q, const struct job_command *c, int argc, char **argv);
/* Leaves of all options those that a resumed run must share. */
void request_drop_free(json_t *all);
void request_fini(struct request *q);

/* The locator leaves the model's own weights as they are. */
static inline bool request_keeps_base(const struct request *q)
{
    return ((const struct locator *)q->locator.row)->keeps_base;
}

#endif
