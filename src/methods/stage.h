/* Stages: training that a method needs before its own. A stage either fine-tunes a copy of the
 * target model on one role's data, as a frozen helper model of the method's terms, or it is a first
 * phase: it changes the weights that the method starts from, while the target model stays the
 * reference.
 *
 * A stage is a row of the table of methods with its own learning rate and length. Everything else
 * is as in the run: trainable weights, optimiser, batches, seed; but without a wrapper, and with
 * constant term weights. A helper model is trained without the run's mask.
 */
#ifndef METHODS_STAGE_H
#define METHODS_STAGE_H

#include "methods/method.h"

struct stage {
    const char *name;           /* its directory in the output; prefix of its options */
    const char *help;           /* one line */
    enum helper helper;         /* the helper that it makes; HELPER_COUNT: a first phase */
    const char *method;         /* the method that it trains by */
    enum role learns;           /* the role it fine-tunes on; ROLE_COUNT: roles as in the run */
    const char *instead;        /* option that replaces it */
    const struct param *params; /* rows on struct stage_options */
};

struct stage_options {
    double lr, epochs;
    int64_t steps; /* of a first phase; 0: it does not run */
};

enum { STAGE_COUNT = 3 };
extern const struct stage stages[STAGE_COUNT];

/* A first phase by name; *s is NULL for "none". */
int stage_by_name(const char *name, const struct stage **s, struct err *e);
/* The recipe needs the stage: its terms use the helper model, or it is the first phase. */
bool stage_is_needed(const struct stage *s, const struct recipe *r, const struct stage *first);

#endif
