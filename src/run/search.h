/* Where a search tries next: a learning rate and a number of epochs, so that what is to be reached
 * (the forget set is forgotten) is reached and what is to be kept (the utility) is kept. Both
 * follow from the tries so far alone, so that an interrupted search continues as it would have.
 *
 * For a number of epochs, a rate at which something is not kept is too high, one at which something
 * is not reached is too low: tripled or divided by three until both are known, then bisected on a
 * logarithmic scale. Once they are within a factor of 1.3, the epochs are doubled.
 */
#ifndef RUN_SEARCH_H
#define RUN_SEARCH_H

#include <stdbool.h>

struct search_space {
    double lr_least, lr_most, lr_start, epochs_least, epochs_most;
};

struct search_point {
    double lr, epochs;
    bool reached, kept;
};

/* The rate to start from for a model of so many parameters: 4e-5 at 135 M, where full fine-tuning
 * by NPO was seen to work (demo/run.sh), and less for larger ones, by the cube root: 1e-5 at 7 B.
 */
double search_start(double parameters);

/* false: there is nothing more to try; *why gets the reason, or that a try has both. */
bool search_next(const struct search_space *s, const struct search_point *done, int n,
                 struct search_point *next, const char **why);

#endif
