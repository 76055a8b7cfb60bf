/* Logistic regression as scikit-learn defines it. LogisticRegression there is the minimum of
 * 1/2 ||W||^2 + C sum over rows of the cross-entropy, with the intercepts not penalised and the
 * features taken as they are. Two classes have one weight vector (of class 1), more have one each
 * (the multinomial form, whose intercepts sum to 0). Found by L-BFGS in f64.
 */
#ifndef EVAL_LOGISTIC_H
#define EVAL_LOGISTIC_H

#include <stdbool.h>

#include "base/err.h"

struct logistic {
    int classes, width;
    int vectors;       /* 1 of two classes, else `classes` */
    double *coef;      /* owned [vectors, width] */
    double *intercept; /* [vectors], within coef's memory */
    double objective;
    int iterations;
    bool converged; /* the largest entry of the gradient is at most the tolerance */
};

struct logistic_options {
    double c;         /* C: the inverse of the penalty's strength */
    double tolerance; /* of the largest entry of the gradient */
    int max_iterations;
};

/* x [n,width]; label[n] in 0..classes-1. Fails only for lack of memory. */
int logistic_fit(struct logistic *l, const float *x, const int *label, int n, int width,
                 int classes, const struct logistic_options *o, struct err *e);
/* Class probabilities of one row, p [classes]; returns the likeliest class, the lowest on ties. */
int logistic_predict(const struct logistic *l, const float *x, double *p);
void logistic_fini(struct logistic *l);

#endif
