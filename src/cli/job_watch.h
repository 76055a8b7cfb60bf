/* What a training job measures on its way (train/watch.h), on the data of its engine.
 */
#ifndef CLI_JOB_WATCH_H
#define CLI_JOB_WATCH_H

#include "train/engine.h"
#include "train/watch.h"

struct job_watch {
    struct watch watch;
    struct engine *engine; /* borrowed; tokens that are looked at count as read */
};

/* Refuses bounds on data that are not there. */
int job_watch_init(struct job_watch *w, const struct watch_options *o, struct engine *g,
                   struct err *e);

#endif
