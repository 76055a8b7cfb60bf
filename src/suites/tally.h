/* What is counted over questions, and the figures that follow from it: accuracy with its standard
 * error and interval, macro F1 where all rows have the same labels.
 */
#ifndef SUITES_TALLY_H
#define SUITES_TALLY_H

#include "eval/choice_task.h"

/* Zero-initialise; tally_fini is due. */
struct tally {
    const char *name; /* borrowed, of a group */
    double *acc;      /* owned [n] */
    int n, missing;
    double norm;              /* of accuracy by character, a sum */
    int parts;                /* joined, and of these */
    double variance;          /* the sum of (n-1) n stderr^2 */
    bool shares, normalised;  /* acc is a share of the probability; acc_norm is usual */
    int classes;              /* labels that all rows share; 0: none, */
    int gold[TASK_CHOICES];   /* how many rows have each, */
    int chosen[TASK_CHOICES]; /* were given it, */
    int hits[TASK_CHOICES];   /* rightly */
};

/* Adds the samples of a log (suites/batch.h), those of one fold or, fold = 0, all. Fails if one has
 * no 'acc'. */
int tally_add(struct tally *t, const struct choice_task *task, const json_t *samples, int fold,
              struct err *e);
/* Adds all of another tally, as one part of a group: the errors of parts are pooled. */
int tally_join(struct tally *t, const struct tally *part, struct err *e);
/* Mean over the labels that occur of 2 hits / (gold + chosen); NaN if there are none. */
double tally_macro_f1(const struct tally *t);
/* {rows, missing, acc, acc_stderr, low, high, acc_norm} and, with labels, macro_f1: a line of the
 * table, a new object; low and high bound acc at 95 %. */
json_t *tally_line(const struct tally *t, struct err *e);
void tally_fini(struct tally *t);

#endif
