/* A model beside the retrained one, data set by data set: how far apart they are where the suite's
 * answers are scored. s->comparison gets an object for each set that is given and that some metric
 * looks at, of the answers in the first field that one looks at; rows are answers, tokens their
 * labels. p is the retrained model's distribution, q the model's own; a row's loss is its mean
 * -log-probability per token:
 *
 *   rows, tokens    on which the figures rest
 *   missing         rows left out: without a label, or with a figure that is not finite
 *   kl              sum KL(p || q) / tokens, in nats, over the whole vocabulary
 *   top1            share of tokens where both have the same first choice
 *   ks              p-value of the Kolmogorov-Smirnov test between the losses of both
 *   auc             P(retrained model's loss > model's) + P(=)/2 over all pairs of rows: 0.5 says
 *                   that losses do not tell the models apart, 1 that the model knows all of it
 *                   better than the retrained one
 *   auc_gap         of a set that an attack of the suite takes for members: the AUC of the attack
 *                   on losses (metric mia_loss) of the model less that of the retrained one
 *   kl_low, kl_high ...  intervals of kl, top1 and auc, by bootstrap over rows at SUITE_LEVEL
 */
#ifndef SUITES_RETRAINED_H
#define SUITES_RETRAINED_H

#include "suites/suite.h"

/* Of a suite whose data are in place; it need not have run. */
int suite_compare_retrained(struct suite *s, const struct comparer *c, struct err *e);

#endif
