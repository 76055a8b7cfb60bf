/* What a training works on: the model, its data, the other models, and a method bound to them.
 */
#ifndef RUN_TRAINING_H
#define RUN_TRAINING_H

#include "methods/method.h"
#include "run/run.h"
#include "run/validation.h"

struct training {
    struct setup s;
    struct run_validation validation;
    struct model ref, helper[HELPER_COUNT];
    struct engine engine;
    struct run_data data;
    struct wrapping wrapping; /* its choice is the config's */
    float *direction;         /* owned [C] */
    uint64_t *mask;           /* owned [mask_words]; NULL: none */
    bool shows;               /* notes the first row; false: a stage of another run */
    json_t *first_row;        /* owned: text/rendered.h, and "role"; NULL: rows of ids */
};

/* `t` is zeroed but for `shows`; training_close is due in every case. */
int training_open(struct training *t, const struct run_config *c, struct err *e);
void training_close(struct training *t);

#endif
