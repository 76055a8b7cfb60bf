/* Two samples as a receiver operating characteristic sees them: how many values of either are at
 * each place of their common order. The figures are computed from these counts, so that samples
 * drawn again from the same values need no sorting.
 */
#ifndef EVAL_ROC_H
#define EVAL_ROC_H

#include "base/err.h"
#include "base/rng.h"

struct roc_place {
    int zero, one;
};

struct roc {
    int n, n_zero, n_one; /* distinct values; values of each sample, NaN left out */
    struct roc_place *at; /* owned [n], by ascending value */
    int *place;           /* owned [n_zero + n_one]: where each value is, those of zero first */
};

int roc_init(struct roc *r, const double *zero, int n_zero, const double *one, int n_one,
             struct err *e);
/* Counts again, with as many values of each sample drawn with replacement. */
void roc_draw(struct roc *r, struct rng *rng);
void roc_fini(struct roc *r);

/* As stats_auc and stats_tpr_at_fpr have them; NaN if a sample is empty. */
double roc_auc(const struct roc *r);
double roc_tpr(const struct roc *r, double most);

#endif
