/* Suites of multiple-choice tasks (suites/recipe.h). Results of the built-in ones are those of
 * lm-evaluation-harness 0.4.8: the accuracy of each task, and of each group over all its questions.
 *
 * With k folds each fold of a task's questions is evaluated separately: accuracy, macro F1 and
 * running time of each fold; mean and standard deviation over the folds; and the results over all
 * questions.
 */
#ifndef SUITES_MULTIPLE_H
#define SUITES_MULTIPLE_H

#include "eval/choice.h"
#include "suites/peer_json.h"
#include "suites/recipe.h"

enum { MULTIPLE_GROUPS = 8 };

/* The model under evaluation; all borrowed. */
struct multiple_model {
    const struct tokenizer *tok;
    const struct backend *backend;
    int positions; /* the longest sequence it takes */
};

/* Counts over questions. Zero-initialise. */
struct accuracy {
    const char *name; /* borrowed, of a group */
    double *acc;      /* owned [n] */
    int n, missing;
    double norm;              /* sum of acc_norm */
    double chance;            /* sum of 1 / choices */
    int parts;                /* tasks joined to a group, and of these */
    double variance;          /* the sum of (n-1) n stderr^2 */
    bool shares, normalised;  /* acc is a share of the probability; acc_norm is reported */
    int classes;              /* labels that all rows share; 0: none, */
    int gold[TASK_CHOICES];   /* how many rows have each, */
    int chosen[TASK_CHOICES]; /* were predicted as it, */
    int hits[TASK_CHOICES];   /* correctly */
};

struct multiple_options {
    const char *data;    /* a folder with the files the recipe's tasks name, or the task's file */
    const char *columns; /* "label,text": the names of a CSV file's fields; NULL: its header line */
    const char *subjects; /* "anatomy,virology"; NULL: all */
    int64_t shots;        /* worked examples before each question */
    int64_t limit;        /* questions per task; 0: all */
    int64_t folds;        /* 0: no folds */
    int64_t seed;         /* of the folds and of the worked examples drawn from them */
    /* For classification: the field of the text, which becomes {text}; NULL: "text". */
    const char *text_key;
};

/* Zero-initialise; multiple_fini is due after multiple_run in any case. */
struct multiple {
    struct peer_log log; /* {task: samples} and {task/metric: value} */
    /* Rows of the printed table: {task: {rows, missing, acc, acc_stderr, low, high, acc_norm,
     * macro_f1, chance}}, tasks in order, then groups; low and high bound acc at 95 %, macro_f1
     * needs labels. Folds are {task_foldN}, with seconds, rows_per_second and the rows of the
     * `examples` drawn; their task's row also has acc_mean, acc_sd, seconds and rows_per_second. */
    json_t *table;
    enum role role;       /* the suite's */
    struct err first_bad; /* what is wrong with the first row that was left out */
    struct accuracy groups[MULTIPLE_GROUPS];
};

int multiple_run(struct multiple *m, const struct suite_recipe *r, const struct multiple_options *o,
                 const struct multiple_model *model, struct err *e);
/* Calls fn with the files of questions and worked examples that these options read, until it fails.
 */
int multiple_each_file(const struct suite_recipe *r, const struct multiple_options *o,
                       int (*fn)(void *ctx, const char *path, struct err *e), void *ctx,
                       struct err *e);
/* Recomputes the results from the samples of a log, ours or lm-evaluation-harness's, without a
 * model. */
int multiple_rescore(struct multiple *m, const struct suite_recipe *r, const json_t *eval,
                     struct err *e);
void multiple_fini(struct multiple *m);

#endif
