/* Suites of multiple-choice tasks (suites/tasks.h). Figures of the built-in ones are those of
 * lm-evaluation-harness 0.4.8: the accuracy of each task, of each group the accuracy over all its
 * questions.
 *
 * In k folds (suites/folds.h) each fold of a task's questions is evaluated by itself: accuracy,
 * macro F1 and running time of each fold; mean and standard deviation over the folds; and the
 * figures of all questions together.
 */
#ifndef SUITES_MULTIPLE_H
#define SUITES_MULTIPLE_H

#include "suites/batch.h"
#include "suites/peer_json.h"
#include "suites/tally.h"

enum { MULTIPLE_GROUPS = 8 };

struct multiple_options {
    const char *data;     /* a folder as the recipe's tasks name its files, or the task's file */
    const char *columns;  /* "label,text": the names of a CSV file's fields; NULL: its first line */
    const char *subjects; /* "anatomy,virology"; NULL: all there are */
    int64_t shots;        /* worked examples before each question */
    int64_t limit;        /* questions of each task; 0: all */
    int64_t folds;        /* 0: all questions at once */
    int64_t seed;         /* of folds, and of examples that are drawn from them */
    /* Of classification: the field of the text, which becomes {text}; NULL: "text". */
    const char *text_key;
};

/* Zero-initialise; multiple_fini is due after multiple_run in any case. */
struct multiple {
    struct peer_log log; /* {task: samples} and {task/metric: value} */
    /* Rows of the printed table, tally_line's of {task}, tasks in order, then groups. Of folds
     * {task_foldN}, with seconds, rows_per_second and the `examples` that were drawn, and then in
     * the task's line acc_mean, acc_sd, seconds and rows_per_second. */
    json_t *table;
    struct err first_bad; /* what is wrong with the first row that was left out */
    struct tally groups[MULTIPLE_GROUPS];
};

int multiple_run(struct multiple *m, const struct suite_recipe *r, const struct multiple_options *o,
                 const struct asked *who, struct err *e);
/* The figures again from the samples of a log, ours or lm-evaluation-harness's, without a model. */
int multiple_rescore(struct multiple *m, const struct suite_recipe *r, const json_t *eval,
                     struct err *e);
void multiple_fini(struct multiple *m);

#endif
