/* The output directory of a training job, before anything is computed.
 */
#ifndef CLI_JOB_CLAIM_H
#define CLI_JOB_CLAIM_H

#include "base/outdir.h"
#include "cli/request.h"

/* Takes OUT for this run: refuses what is read (also by way of links), a directory that is in use,
 * and one that holds anything, unless the run replaces it (--overwrite) or goes on there
 * (--resume). OUT/run.json then tells that a run of these options has begun. Fills q->files.
 *
 * A run goes on from its checkpoint; if it has none yet, it begins; if it is *finished, there is
 * nothing to do. Other options or other files than it began with are refused. */
int job_claim(struct outdir *d, struct request *q, bool *finished, struct err *e);
/* Closes it. failed: a run that left nothing to go on from leaves nothing at all. */
void job_unclaim(struct outdir *d, bool failed);

#endif
