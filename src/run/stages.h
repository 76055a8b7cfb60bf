/* The stages of a run (methods/stage.h): each is a training with the run's options but for data,
 * method and length, and leaves its model in OUT/NAME. The run then is what it would be had the
 * user trained that model beforehand and given it as an option.
 *
 * OUT/NAME/stage.json is written last: the options of the run that it belongs to.
 */
#ifndef RUN_STAGES_H
#define RUN_STAGES_H

#include "run/state.h"

/* Trains what the method needs and the options do not give, and puts it into the run's options.
 * Under --resume finished stages are kept, the interrupted one is resumed, and the run's own
 * training starts over unless it was interrupted itself. */
int stages_run(struct run *r, struct err *e);

/* Of a dry run: checks that their data are there, notes which would be trained, and has the run's
 * own model stand in for each. */
int stages_plan(struct run *r, struct err *e);

/* No stage that an earlier run left in OUT counts as finished. */
void stages_clear(const char *out);

#endif
