/* Multiple-choice questions, from the rows of the data sets people have. Those of the built-in
 * suites are worded byte for byte as lm-evaluation-harness 0.4.8 words them, so that figures can be
 * compared with published ones.
 *
 * A task says how the prompt reads, where the choices are and which one is right; suites/tasks.h
 * reads it from a suite's JSON. Its scores are those of eval/choice_score.h.
 */
#ifndef EVAL_CHOICE_TASK_H
#define EVAL_CHOICE_TASK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "data/rows.h"

enum { QUESTION_CHOICES = 64, TASK_CHOICES = 16 };

/* Which choice is right. */
enum answer_kind {
    ANSWER_INDEX,  /* its number, from 0, or a truth value */
    ANSWER_NUMBER, /* its number, from 1 */
    ANSWER_LABEL,  /* its name among the labels */
    ANSWER_TRUTHS, /* `labels` holds 1 for right ones, which come first, then 0 for wrong ones */
    ANSWER_FIRST,  /* as ANSWER_TRUTHS, but only the first counts as right */
};

/* One layout of a task's rows; a task is an array of them up to one without a name, of which the
 * first that fits is taken. Fields are named by paths: "choices.text". Templates are those of
 * eval/template.h. All borrowed. */
struct choice_task {
    const char *name;
    const char *has;         /* rows with this field are of this layout; NULL: all are */
    const char *description; /* said first; {subject} stands for the subject */
    const char *prompt;      /* with several `contexts`, unused */
    const char *choices;     /* path of the list of choices (of an object: its keys), or NULL: */
    const char *options[TASK_CHOICES + 1];  /* templates of the choices, up to NULL */
    const char *contexts[TASK_CHOICES + 1]; /* templates of prompts that differ by choice, all with
                                               `ending` */
    const char *ending;                     /* then the template of what is scored */
    bool letters;          /* choices are listed in the prompt, their letters are scored */
    bool wikihow;          /* HellaSwag's marks are taken out */
    const char *answer;    /* path of what is right */
    const char *labels;    /* path of the list of labels, or NULL: */
    const json_t *classes; /* the labels of every row, as texts; NULL: none */
    enum answer_kind answer_is;
    bool normalised; /* accuracy by log-probability per character is usual */
};

/* The layout of this task that fits the row; an error names the fields that would. */
const struct choice_task *choice_task_find(const struct choice_task *task, const struct rows *rows,
                                           int row, struct err *e);

struct question {
    int row, n;     /* number of the row; choices */
    char **context; /* [n] owned; all the same pointer unless contexts differ */
    char **choice;  /* [n] owned: the text of the choice, without the space before it */
    int gold;       /* the right choice */
    int n_right;    /* ANSWER_TRUTHS: choices 0..n_right-1 are right; else 0 */
};

struct questions {
    const struct choice_task *task; /* the layout of the first row */
    struct question *v;             /* owned */
    int n;
    int bad;          /* rows that are no questions and were left out */
    struct err first; /* what is wrong with the first of them */
};

/* The questions of all rows, each behind the first n_shots rows of `shots` with their answers.
 * subject: of the description, underscores read as spaces; may be NULL. An error if no row is a
 * question. */
int questions_build(struct questions *q, const struct choice_task *task, const char *subject,
                    const struct rows *rows, const struct rows *shots, int n_shots, struct err *e);
void questions_fini(struct questions *q);

#endif
