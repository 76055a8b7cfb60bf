/* Multiple-choice questions, from the rows of the data sets people have, worded byte for byte as
 * lm-evaluation-harness 0.4.8 words them, so that figures can be compared with published ones.
 *
 * A task is a row of a table: how the prompt reads, where the choices are, which one is right. Its
 * scores are those of eval/choice.h.
 */
#ifndef EVAL_QUESTION_H
#define EVAL_QUESTION_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "data/rows.h"

enum { QUESTION_CHOICES = 64 };

/* Which choice is right. */
enum gold_kind {
    GOLD_INDEX,  /* its number, from 0, or a truth value */
    GOLD_NUMBER, /* its number, from 1 */
    GOLD_LABEL,  /* its name in the list `labels` */
    GOLD_TRUTHS, /* `labels` holds 1 for right ones, which come first, then 0 for wrong ones */
    GOLD_FIRST,  /* as GOLD_TRUTHS, but only the first counts as right */
};

/* Fields are named by paths: "choices.text". In templates {path} stands for a text, {path|strip}
 * and {path|capitalize} for what Python's methods make of it. */
struct choice_task {
    const char *name;
    const char *has;         /* rows with this field are of this layout */
    const char *about;       /* said first; {subject} stands for the subject */
    const char *prompt;      /* with several `contexts`, unused */
    const char *list;        /* path of the list of choices (of an object: its keys), or NULL: */
    const char *options[4];  /* templates of the choices */
    const char *contexts[2]; /* templates of prompts that differ by choice, all with `ending` */
    const char *ending;      /* then the template of what is scored */
    bool letters;            /* choices are listed in the prompt, their letters are scored */
    bool wikihow;            /* HellaSwag's marks are taken out */
    const char *gold, *labels;
    enum gold_kind kind;
    bool normalised; /* accuracy by log-probability per character is usual */
};

extern const struct choice_task choice_tasks[]; /* up to a row without a name */

/* The layout of this task that fits the row; an error names the fields that would. */
const struct choice_task *choice_task_find(const char *name, const struct rows *rows, int row,
                                           struct err *e);

struct question {
    int row, n;     /* number of the row; choices */
    char **context; /* [n] owned; all the same pointer unless contexts differ */
    char **choice;  /* [n] owned: the text of the choice, without the space before it */
    int gold;       /* the right choice */
    int n_right;    /* GOLD_TRUTHS: choices 0..n_right-1 are right; else 0 */
};

struct questions {
    const struct choice_task *task;
    struct question *v; /* owned */
    int n;
    int bad;          /* rows that are no questions and were left out */
    struct err first; /* what is wrong with the first of them */
};

/* The questions of all rows, each behind the first n_shots rows of `shots` with their answers.
 * subject: of the description, underscores read as spaces; may be NULL. An error if no row is a
 * question. */
int questions_build(struct questions *q, const char *task, const char *subject,
                    const struct rows *rows, const struct rows *shots, int n_shots, struct err *e);
void questions_fini(struct questions *q);

#endif
