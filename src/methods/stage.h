/* Stages: what a method runs before its own training. A stage either makes a frozen model that the
 * method's terms look at, a copy of the target model that learns one role's data, or goes first: it
 * changes the weights that the method then starts from, while the target model stays the reference.
 *
 * A stage trains by a row of the table of methods, and by its own learning rate and length. All
 * else is as in the run: which weights move, optimiser, batches, seed; but no wrapper, and constant
 * weights of terms.
 */
#ifndef METHODS_STAGE_H
#define METHODS_STAGE_H

#include "methods/method.h"

struct stage {
    const char *name;           /* its folder in --out; its options begin so */
    const char *help;           /* one line */
    enum helper helper;         /* what its model is for; HELPER_COUNT: the method starts from it */
    const char *method;         /* by which it trains */
    enum role learns;           /* whose data are then to keep; ROLE_COUNT: roles as in the run */
    const char *instead;        /* option that makes it needless */
    const struct param *params; /* rows on struct stage_options */
};

struct stage_options {
    double lr, epochs;
    int64_t steps; /* of one that goes first; 0: it does not run */
};

enum { STAGE_COUNT = 3 };
extern const struct stage stages[STAGE_COUNT];

/* Those that go first, by name; *s NULL for "none". */
int stage_by_name(const char *name, const struct stage **s, struct err *e);
/* The recipe needs the stage: its terms look at what it makes, or it is the one that goes first. */
bool stage_is_needed(const struct stage *s, const struct recipe *r, const struct stage *first);

#endif
