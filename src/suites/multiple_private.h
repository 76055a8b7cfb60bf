/* Running one task of a multiple-choice suite. Private to multiple*.c and their tests.
 */
#ifndef SUITES_MULTIPLE_PRIVATE_H
#define SUITES_MULTIPLE_PRIVATE_H

#include "suites/multiple.h"

/* Questions that are scored in one call. Zero-initialise; batch_fini is due. */
struct question_batch {
    struct questions q;
    struct choice_score *s; /* owned [q.n] */
    double seconds;         /* wall time of scoring */
};

/* Builds and scores the questions of all rows, each with the first n_shots rows of `shots` as
 * worked examples. */
int batch_score(struct question_batch *b, const struct suite_task *t, const struct rows *rows,
                const struct rows *shots, int n_shots, const struct multiple_model *model,
                struct err *e);
/* Question i as a sample of the log, a new object: lm-evaluation-harness's {doc_id, target, resps,
 * acc, acc_norm} and, where all rows have the same labels, the chosen label. NULL: out of memory.
 */
json_t *batch_sample(const struct question_batch *b, int i);
void batch_fini(struct question_batch *b);

struct fold_cost {
    double seconds;
    json_t *examples; /* owned: rows of the worked examples */
};

struct task_run {
    struct multiple *m;
    const struct multiple_options *o;
    const struct multiple_model *model;
    const struct suite_task *task;
    struct rows rows;        /* owned */
    char *examples;          /* owned: the file of worked examples; NULL: none */
    json_t *samples;         /* borrowed: the task's array in the log */
    int missing;             /* rows that are no questions */
    struct fold_cost *costs; /* owned [folds]; NULL: unknown */
};

/* Evaluates the task in folds (multiple_folds.c): fills the samples, in order of rows, and the
 * costs. */
int task_run_folds(struct task_run *run, struct err *e);
/* Adds the rows of table and summary from the task's samples (multiple_results.c), and the task to
 * its groups. */
int task_report(struct task_run *run, struct err *e);
/* Adds the rows of all groups. */
int groups_report(struct multiple *m, struct err *e);
/* Counts rows that are no questions; keeps the error of the first. */
void task_note_bad(struct task_run *run, const struct questions *q);

void accuracy_fini(struct accuracy *t);

/* fold[i] = 0..k-1 of row i, whose label is label[i] >= 0: shuffled, then dealt label by label, so
 * that fold sizes differ by at most one row, in total and per label. */
int folds_deal(const int *label, int n, int k, uint32_t seed, int *fold, struct err *e);
/* Draws `shots` different rows outside of fold f into pick[shots], as evenly over the labels as
 * possible; fails if there are fewer. pick has room for n. */
int folds_draw(const int *label, const int *fold, int n, int f, int shots, uint32_t seed, int *pick,
               struct err *e);

#endif
