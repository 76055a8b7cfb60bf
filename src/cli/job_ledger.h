/* The ledger of a training job, as its command line has it. */
#ifndef CLI_JOB_LEDGER_H
#define CLI_JOB_LEDGER_H

#include "cli/request.h"
#include "train/ledger.h"

/* Begins the ledger, with the costs of the stages it had; a run that is resumed adds those of its
 * checkpoint. ledger_fini is due in every case. */
int job_ledger_open(struct ledger *l, const struct request *q, const struct engine *g,
                    struct err *e);

#endif
