/* Multiple-choice questions and their scores. */
#ifndef EVAL_CHOICE_H
#define EVAL_CHOICE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "data/rows.h"
#include "eval/backend.h"
#include "text/tokenizer.h"

/* Multiple-choice questions from rows of the usual data sets. Prompts of the built-in suites are
 * byte for byte those of lm-evaluation-harness 0.4.8, so that results compare with published ones.
 *
 * A task defines the prompt, the choices and the correct one; suites/recipe.h reads it from a
 * suite's JSON, eval/choice.h scores it.
 */

enum { QUESTION_CHOICES = 64, TASK_CHOICES = 16 };

/* How the correct choice is given. */
enum answer_kind {
    ANSWER_INDEX,  /* its index, from 0, or a boolean */
    ANSWER_NUMBER, /* its number, from 1 */
    ANSWER_LABEL,  /* its label */
    ANSWER_TRUTHS, /* `labels` holds 1 for correct ones, which come first, then 0 for wrong ones */
    ANSWER_FIRST,  /* as ANSWER_TRUTHS, but only the first counts as correct */
};

/* One layout of a task's rows; a task is an array of them up to one without a name, of which the
 * first that fits is taken. Fields are named by paths: "choices.text". Templates are those of
 * eval/template.h. All borrowed. */
struct choice_task {
    const char *name;
    const char *has;         /* rows with this field have this layout; NULL: all have */
    const char *description; /* comes first; {subject} is the subject */
    const char *prompt;      /* with several `contexts`, unused */
    const char *choices;     /* path of the list of choices (of an object: its keys), or NULL: */
    const char *options[TASK_CHOICES + 1];  /* templates of the choices, up to NULL */
    const char *contexts[TASK_CHOICES + 1]; /* templates of prompts that differ by choice, all with
                                               `ending` */
    const char *ending;                     /* then the template of the scored text */
    bool letters;          /* choices are listed in the prompt, their letters are scored */
    bool wikihow;          /* HellaSwag's marks are removed */
    const char *answer;    /* path of the correct answer */
    const char *labels;    /* path of the list of labels, or NULL: */
    const json_t *classes; /* labels common to all rows, as texts; NULL: none */
    enum answer_kind answer_is;
    bool normalised; /* accuracy by log-probability per character is reported, too */
};

/* The layout of this task that fits the row; an error names the fields that would. */
const struct choice_task *choice_task_find(const struct choice_task *task, const struct rows *rows,
                                           int row, struct err *e);

struct question {
    int row, n;     /* number of the row; choices */
    char **context; /* [n] owned; all the same pointer unless contexts differ */
    char **choice;  /* [n] owned: the text of the choice, without the space before it */
    int gold;       /* the correct choice */
    int n_right;    /* ANSWER_TRUTHS: choices 0..n_right-1 are correct; else 0 */
};

struct questions {
    const struct choice_task *task; /* the layout of the first row */
    struct question *v;             /* owned */
    int n;
    int bad;          /* invalid rows, left out */
    struct err first; /* the error of the first of them */
};

/* The questions of all rows, each after the first n_shots rows of `shots` with their answers as
 * worked examples. subject: of the description, underscores become spaces; may be NULL. Fails if no
 * row is a valid question. */
int questions_build(struct questions *q, const struct choice_task *task, const char *subject,
                    const struct rows *rows, const struct rows *shots, int n_shots, struct err *e);
void questions_fini(struct questions *q);

/* Multiple-choice scoring: the log-probability of each choice given its context, in nats, as
 * lm-evaluation-harness 0.4.8 computes it. The context's tokens are those of the context alone, the
 * choice's are the rest of the tokens of context, space and choice; no BOS is added.
 */

struct choice_score {
    int n;           /* choices */
    double *logp;    /* [n] owned: sum over the tokens of each */
    int best;        /* the most likely one, the first of equals */
    int best_letter; /* the same by log-probability per character */
    /* 1 if that is the correct one, else 0. If several are correct, their share of the probability.
     */
    double acc, acc_norm;
};

/* Fills out[q->n], zeroed before; choice_scores_free is due also on failure. positions: the
 * model's maximum length; the last token of a choice is not an input, and longer sequences are
 * truncated on the left. */
int choice_score(struct choice_score *out, const struct questions *q, const struct tokenizer *tok,
                 const struct backend *model, int positions, struct err *e);
void choice_scores_free(struct choice_score *s, int n);
/* Fills the results of `s` from its logp[n] and the question. */
void choice_judge(struct choice_score *s, const struct question *q);

#endif
