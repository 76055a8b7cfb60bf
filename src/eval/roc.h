/* Receiver operating characteristic of two samples: how many values of each are at each rank of
 * their common order. AUC and TPR are computed from these counts, so that bootstrap samples need no
 * sorting.
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
    int *place;           /* owned [n_zero + n_one]: rank of each value, those of zero first */
};

int roc_init(struct roc *r, const double *zero, int n_zero, const double *one, int n_one,
             struct err *e);
/* Bootstrap: counts values of each sample drawn with replacement, as many as it has. */
void roc_draw(struct roc *r, struct rng *rng);
void roc_fini(struct roc *r);

/* As stats_auc and stats_tpr_at_fpr; NaN if a sample is empty. */
double roc_auc(const struct roc *r);
double roc_tpr(const struct roc *r, double most);

#endif
