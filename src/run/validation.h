/* What a training job measures on its way (train/validation.h), on the data of its engine.
 */
#ifndef RUN_VALIDATION_H
#define RUN_VALIDATION_H

#include "train/engine.h"
#include "train/validation.h"

struct run_validation {
    struct validation validation;
    struct engine *engine; /* borrowed; tokens that are looked at count as read */
};

/* Refuses bounds on data that are not there. */
int run_validation_init(struct run_validation *w, const struct validation_options *o,
                        struct engine *g, struct err *e);

#endif
