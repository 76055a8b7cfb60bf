/* k folds: the rows of a set dealt into k parts, each of which is evaluated by itself, with worked
 * examples from the others. All follows from the seed.
 */
#ifndef SUITES_FOLDS_H
#define SUITES_FOLDS_H

#include <stdint.h>

#include "base/err.h"

/* fold[i] = 0..k-1 of row i, whose label is label[i] >= 0: shuffled, then dealt label by label, so
 * that the folds differ by at most one row, in all and of each label. */
int folds_deal(const int *label, int n, int k, uint32_t seed, int *fold, struct err *e);
/* Draws `shots` different rows that are not of fold f into pick[shots], of all labels as evenly as
 * can be; fails if there are fewer. pick has room for n. */
int folds_draw(const int *label, const int *fold, int n, int f, int shots, uint32_t seed, int *pick,
               struct err *e);

#endif
