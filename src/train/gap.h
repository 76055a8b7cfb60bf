/* How far one model is from another, in nats a label: a constant of a run.
 */
#ifndef TRAIN_GAP_H
#define TRAIN_GAP_H

#include "data/dataset.h"
#include "model/model.h"

/* The mean over all scored rows of the set of KL(p_from || p_to), in f64. Knowledge gap alignment
 * (arXiv 2305.06535) takes it from the target model to one that learnt new data, over these. */
int gap_measure(double *gap, struct model *from, struct model *to, const struct dataset *set,
                struct err *e);

#endif
