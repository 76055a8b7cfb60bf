/* The interface of what chooses the weights that may move. A locator looks at the table before the
 * first step and says of every weight whether the optimiser moves it.
 */
#ifndef TRAIN_LOCATOR_H
#define TRAIN_LOCATOR_H

#include "base/table.h"
#include "model/model.h"

struct locator {
    ROW_FIELDS;
    const char *help;
    bool keeps_base; /* the model's own weights stay: it is opened for reading */
    /* Sets `trainable` of every row of the model's table. */
    int (*apply)(const void *params, struct model *m, unsigned seed, struct err *e);
};

#endif
