/* The element mask of a model by a locator with scores (locate/scores.h): for `unlearn locate`, and
 * for a run whose locator has scores.
 */
#ifndef RUN_LOCATE_H
#define RUN_LOCATE_H

#include "locate/scores.h"

struct mask_options {
    double ratio;      /* 0: the locator's own */
    const char *scope; /* "own": the locator's */
    int64_t score_batch;
};

extern const struct param mask_params[];

struct located {
    struct engine engine; /* of the gradients; its sets are borrowed */
    struct scoring scores;
    struct selection how;
    struct selected result;
    uint64_t *bits; /* owned [mask_words] */
    double seconds; /* scoring and selection; passes over the data: scores.seconds */
};

/* Scores the trainable weights of `m` and selects. `sets` [ROLE_COUNT]: NULL where there are no
 * data; a role that the locator needs and that is missing is an error about the role. `pair`: a
 * retain row for each forget row, or NULL. located_fini is due in every case. */
int run_locate(struct located *to, struct model *m, const struct choice *locator,
               const struct mask_options *o, const struct dataset *const *sets, const int *pair,
               unsigned seed, const volatile sig_atomic_t *stop, struct err *e);
void located_fini(struct located *l);

#endif
