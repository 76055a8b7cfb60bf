/* OUT/train.jsonl: one object a step, written as soon as the step is done.
 *
 *     {"step", "lr", "loss", "grad_norm", "terms": {role.term: loss}, "micro": [loss of each
 *      micro-batch], "tokens", "seconds"}
 *
 * and where there are any: "weights" {role.term: weight} that move with the run, "dual" the weight
 * that is a dual variable, "eval" the figures of a look after the step, "stopped" why the run ends
 * there (train/watch.h). Terms that the run gives no weight in a step are not among its terms.
 */
#ifndef TRAIN_JOURNAL_H
#define TRAIN_JOURNAL_H

#include <stdio.h>

#include "train/gradient.h"
#include "train/watch.h"

struct entry {
    long step; /* 0-based */
    double lr, grad_norm, seconds;
    bool weights;            /* they move */
    const struct look *look; /* NULL: none was due */
};

/* OUT/train.jsonl, empty, or with the first `steps` lines of what is there: a run that was killed
 * may have logged steps after its checkpoint, which come again. */
FILE *journal_open(const char *out, bool append, long steps, struct err *e);
int journal_write(FILE *f, const char *out, const struct gradient *g, const struct entry *entry,
                  struct err *e);

#endif
