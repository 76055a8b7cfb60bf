/* The interface of what chooses the weights that may move. A locator looks at the table before the
 * first step and says of every weight whether the optimiser moves it.
 */
#ifndef TRAIN_LOCATOR_H
#define TRAIN_LOCATOR_H

#include "base/param.h"
#include "model/family.h"

struct locator {
    const char *name, *help;
    const struct param *params; /* NULL: none */
    size_t params_size;
    /* Sets `trainable` of every row. */
    int (*apply)(const void *params, struct weight_table *t, struct err *e);
};

#endif
