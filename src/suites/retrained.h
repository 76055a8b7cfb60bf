/* Comparison with the retrained model per data set: KL divergence, top-1 agreement, KS test, AUC,
 * on the suite's answers. s->comparison gets an object for each set that is given and used by a
 * metric, over the answers in the field of the first such metric; rows are answers, tokens their
 * labels. p is the retrained model's distribution, q the model's; a row's loss is its mean
 * -log-probability per token:
 *
 *   rows, tokens    that were compared
 *   missing         rows left out: without a label, or with a loss or KL that is not finite
 *   kl              sum KL(p || q) / tokens, in nats, over the whole vocabulary
 *   top1            share of tokens where both have the same argmax
 *   ks              p-value of the Kolmogorov-Smirnov test between the losses of both
 *   auc             P(retrained model's loss > model's) + P(=)/2 over all pairs of rows: 0.5 if the
 *                   losses do not separate the models, 1 if every loss of the model is below every
 *                   loss of the retrained one
 *   auc_gap         for a set that an attack of the suite uses as members: AUC of the loss attack
 *                   (metric mia_loss) on the model minus that on the retrained one
 *   kl_low, kl_high ...  bootstrap intervals of kl, top1 and auc over rows, at SUITE_LEVEL
 */
#ifndef SUITES_RETRAINED_H
#define SUITES_RETRAINED_H

#include "suites/suite.h"

/* The suite needs its data; it need not have run. */
int suite_compare_retrained(struct suite *s, const struct comparer *c, struct err *e);

#endif
