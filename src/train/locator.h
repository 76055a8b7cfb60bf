/* The locator interface: a locator chooses what may change. Most choose among tensors, and are
 * applied to the weight table once, before the first step. The others give every element, row or
 * neuron a score (locate/scores.h), from which an element mask (train/mask.h) is selected.
 */
#ifndef TRAIN_LOCATOR_H
#define TRAIN_LOCATOR_H

#include "base/table.h"
#include "model/model.h"

struct scoring; /* locate/scores.h */

/* What one score is of. A row is that of a matrix, or one element of a vector; a neuron is a hidden
 * unit of an MLP: its rows of gate and up, its column of down. */
enum unit { UNIT_TENSOR, UNIT_ELEMENT, UNIT_ROW, UNIT_NEURON };

/* Where the units are compared: all of the model, those of one tensor (neurons: of one layer), the
 * elements of one row. */
enum scope { SCOPE_GLOBAL, SCOPE_TENSOR, SCOPE_ROW, SCOPE_COUNT };

struct locator {
    ROW_FIELDS;
    const char *help;
    bool keeps_base; /* the model's own weights are frozen: it is opened read-only */
    /* Sets `trainable` of every row of the model's table. NULL: all of them are. */
    int (*apply)(const void *params, struct model *m, unsigned seed, struct err *e);

    /* Those with scores only. */
    const char *paper, *formula;
    const char *verified; /* what its scores or masks were compared with */
    enum unit unit;
    enum scope scope; /* unless another is asked for */
    double ratio;   /* share that is kept unless another is asked for; 0: scores from `least` on */
    unsigned roles; /* bits of the roles whose rows it reads */
    bool pairs;     /* of the retain rows one for each forget row */
    int (*score)(const void *params, struct scoring *s, struct err *e);
};

#endif
