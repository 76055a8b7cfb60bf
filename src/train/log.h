/* OUT/train.jsonl, the training log: one object per step, written as soon as the step is done.
 *
 *     {"step", "lr", "loss", "grad_norm", "terms": {role.term: loss}, "micro": [loss of each
 *      micro-batch], "tokens", "seconds"}
 *
 * and where present: "grad_norm_full", under a mask, in steps of one pass, of the gradient before
 * it was masked, of tensors with an element that may change; "weights" {role.term: weight} if these
 * are scheduled, "dual" the weight that is a dual variable, "eval" the validation metrics after the
 * step, "stopped" the reason for early stopping (train/validation.h). Terms whose weight is 0 in a
 * step are not listed in "terms".
 */
#ifndef TRAIN_LOG_H
#define TRAIN_LOG_H

#include <stdio.h>

#include "train/gradient.h"
#include "train/validation.h"

struct entry {
    long step; /* 0-based */
    double lr, grad_norm, seconds;
    bool weights;                               /* they are scheduled */
    const struct validation_result *validation; /* after the step; NULL: none */
};

/* Opens OUT/train.jsonl, empty, or with `append` truncated to its first `steps` lines: a killed run
 * may have logged steps after its checkpoint, which are repeated. */
FILE *train_log_open(const char *out, bool append, long steps, struct err *e);
/* The losses of a step as a progress bar shows them: "forget -1.23  retain 0.981", of each role the
 * sum over its terms; with terms of one role alone "loss 0.981". */
void train_log_terms(const struct gradient *g, char *text, size_t room);
int train_log_write(FILE *f, const char *out, const struct gradient *g, const struct entry *entry,
                    struct err *e);

#endif
