/* The stages of a training job (methods/stage.h): each is a job of its own, on the request of the
 * run with other data, method and length, and leaves its model in OUT/NAME. The run then is what it
 * would be had the user trained that model beforehand and given it as an option.
 *
 * OUT/NAME/stage.json is written last: the options of the run that it belongs to.
 */
#ifndef CLI_STAGES_H
#define CLI_STAGES_H

#include "cli/request.h"

/* Does one job, and returns its exit status. */
typedef int stage_job(struct request *q);

/* Trains what the method needs and the command line does not give, and names it in the request's
 * options. Under --resume finished stages are kept, the interrupted one goes on, and the run's own
 * training begins anew unless it was interrupted itself. ARGS_GO or an exit status. */
int stages_run(struct request *q, stage_job *job);

/* No stage that an earlier run left in OUT counts as finished. */
void stages_clear(const char *out);

#endif
