/* One task of a multiple-choice suite while it is run. Private to multiple.c, folded.c, figures.c.
 */
#ifndef SUITES_PART_H
#define SUITES_PART_H

#include "suites/multiple.h"

struct fold_cost {
    double seconds;
    json_t *examples; /* owned: rows of the worked examples */
};

struct part {
    struct multiple *m;
    const struct multiple_options *o;
    const struct asked *who;
    const struct suite_task *task;
    struct rows rows;        /* owned */
    char *examples;          /* owned: the file of worked examples; NULL: none */
    json_t *samples;         /* borrowed: the task's array in the log */
    int missing;             /* rows that are no questions */
    struct fold_cost *costs; /* owned [folds]; NULL: not known */
};

/* Asks the task's questions in folds (folded.c): fills the samples, in order of rows, and the
 * costs. */
int part_ask_folds(struct part *p, struct err *e);
/* From the samples of a task (figures.c): its lines in table and summary, its share in groups. */
int part_figures(struct part *p, struct err *e);
/* The lines of all groups. */
int part_group_figures(struct multiple *m, struct err *e);
/* Counts rows that are no questions; remembers the first of all. */
void part_note_bad(struct part *p, const struct questions *q);

#endif
