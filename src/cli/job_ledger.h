/* The ledger of a training job, as its command line has it. */
#ifndef CLI_JOB_LEDGER_H
#define CLI_JOB_LEDGER_H

#include "cli/request.h"
#include "train/ledger.h"

/* Begins the ledger, with the costs of the stages it had; a run that is resumed adds those of its
 * checkpoint. ledger_fini is due in every case. */
int job_ledger_open(struct ledger *l, const struct request *q, const struct engine *g,
                    struct err *e);

/* Writes OUT/run.json of a run that begins: what it is of, and that it is not finished. */
int job_ledger_begin(const struct request *q, struct err *e);

#endif
