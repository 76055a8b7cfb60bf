/* Suites of multiple-choice tasks: MMLU (arXiv 2009.03300), WMDP (2403.03218), TruthfulQA
 * (2109.07958), and any single task of eval/choice_tasks.c. Figures are those of
 * lm-evaluation-harness 0.4.8: the accuracy of each task, of each group the accuracy over all its
 * questions.
 */
#ifndef SUITES_MULTIPLE_H
#define SUITES_MULTIPLE_H

#include "eval/choice.h"
#include "suites/peer_json.h"

#define MULTIPLE_HELP                                                                              \
    "  mmlu        --data DIR with test/SUBJECT_test.csv and, for --shots, dev/SUBJECT_dev.csv\n"  \
    "  wmdp        --data DIR with {bio,chem,cyber}_questions.json or .json.gz\n"                  \
    "  truthfulqa  --data FILE, mc_task.json or rows with mc1_targets and mc2_targets\n"           \
    "  arc, hellaswag, piqa, winogrande, openbookqa, boolq\n"                                      \
    "              --data FILE in the data set's own JSON Lines\n"

struct multiple_options {
    const char *suite;    /* "mmlu" ... or the name of a task */
    const char *data;     /* a folder as published (see MULTIPLE_HELP), or the task's file */
    const char *subjects; /* of MMLU or WMDP, "anatomy,virology"; NULL: all there are */
    int shots;            /* worked examples before each question, MMLU only */
    int limit;            /* questions of each task; 0: all */
};

/* Zero-initialise; multiple_fini is due after multiple_run in any case. */
struct multiple {
    struct peer_log log; /* {task: samples} and {task/metric: value} */
    /* Rows of the printed table: {task: {rows, missing, acc, acc_stderr, low, high, acc_norm}},
     * tasks in order, then groups; low and high bound acc at 95 %. */
    json_t *table;
    struct err first_bad; /* what is wrong with the first row that was left out */
};

/* Whether a suite of this name is one of multiple choice. */
bool multiple_is(const char *suite);
/* Their names, in names[most]; how many. */
int multiple_names(const char **names, int most);

/* positions: the longest sequence the model takes. */
int multiple_run(struct multiple *m, const struct multiple_options *o, const struct tokenizer *tok,
                 const struct scorer *model, int positions, struct err *e);
void multiple_fini(struct multiple *m);

#endif
