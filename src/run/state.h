/* A run that is in progress, for the files of this folder. */
#ifndef RUN_STATE_H
#define RUN_STATE_H

#include "base/outdir.h"
#include "methods/method.h"
#include "run/run.h"

struct run {
    struct run_config c; /* a copy, which stages change: what it points to is borrowed */
    const struct run_hooks *hooks;
    struct run_result *result;
    const struct stage *stage;    /* that this is the run of; NULL: the run itself */
    char *stage_dir[STAGE_COUNT]; /* owned; NULL: the stage did not run */
    json_t *shared;               /* owned: the options that a resumed run must share */
    json_t *files;                /* owned {path: SHA-256} of what is read; NULL: not yet */
    struct outdir *dir;           /* borrowed: run.out, locked */
};

/* Leaves of all options those that a resumed run must share. */
void run_drop_free(json_t *all);
/* Writes OUT/run.json of a run that begins: its options, and that it is not finished. */
int run_ledger_begin(const struct run *r, struct err *e);
/* The training alone: of the run or of one of its stages. */
int run_training(struct run *r, struct err *e);

#endif
