/* What a training job measures on its way (train/watch.h), on the data of its engine.
 */
#ifndef RUN_VALIDATION_H
#define RUN_VALIDATION_H

#include "train/engine.h"
#include "train/watch.h"

struct run_validation {
    struct watch watch;
    struct engine *engine; /* borrowed; tokens that are looked at count as read */
};

/* Refuses bounds on data that are not there. */
int run_validation_init(struct run_validation *w, const struct watch_options *o, struct engine *g,
                        struct err *e);

#endif
