/* The output directory of a training job, before anything is computed.
 */
#ifndef RUN_OUTPUT_H
#define RUN_OUTPUT_H

#include "run/state.h"

/* Takes OUT for this run: refuses what is read (also by way of links), a directory that is in use,
 * and one that holds anything, unless the run replaces it (--overwrite) or goes on there
 * (--resume). OUT/run.json then tells that a run of these options has begun. Fills r->files.
 *
 * A run goes on from its checkpoint; if it has none yet, it begins; if it is *finished, there is
 * nothing to do. Other options or other files than it began with are refused. */
int run_output_open(struct outdir *d, struct run *r, bool *finished, struct err *e);
/* The same checks for a run that writes nothing. */
int run_output_check(const struct run *r, struct err *e);
/* Closes it. failed: a run that left nothing to go on from leaves nothing at all. */
void run_output_close(struct outdir *d, bool failed);

#endif
