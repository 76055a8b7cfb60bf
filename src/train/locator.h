/* The locator interface: a locator chooses the trainable weights. It is applied to the weight table
 * once, before the first step.
 */
#ifndef TRAIN_LOCATOR_H
#define TRAIN_LOCATOR_H

#include "base/table.h"
#include "model/model.h"

struct locator {
    ROW_FIELDS;
    const char *help;
    bool keeps_base; /* the model's own weights are frozen: it is opened read-only */
    /* Sets `trainable` of every row of the model's table. */
    int (*apply)(const void *params, struct model *m, unsigned seed, struct err *e);
};

#endif
