/* The tasks of a multiple-choice suite, read from its recipe: how a question is worded, what is
 * right (eval/choice_task.h), and in which files the questions are. doc/suites.md describes the
 * form.
 *
 * A task takes the keys it lacks from the suite's `common`, and each of its `layouts` those it
 * lacks from the task.
 */
#ifndef SUITES_TASKS_H
#define SUITES_TASKS_H

#include "eval/choice_task.h"
#include "suites/recipe.h"

enum { TASK_FILES = 4, TASK_GROUPS = 4 };

struct suite_task {
    const char *name;
    const char *subject;         /* as --subjects names it; NULL: none */
    struct choice_task *layouts; /* owned, up to a row without a name */
    /* Where the questions are in the folder that is given; {subject} stands for the subject. The
     * first file that is there is taken. Without a name --data is the file itself. */
    const char *files[TASK_FILES + 1];
    const char *examples;                /* the file of worked examples; NULL: none */
    const char *groups[TASK_GROUPS + 1]; /* those it counts in, the widest first */
};

/* Fills r->tasks from r->json. */
int suite_tasks_read(struct suite_recipe *r, struct err *e);
/* Gives every task these keys, as if its recipe had them, and reads all again. */
int suite_tasks_override(struct suite_recipe *r, json_t *object, struct err *e);
void suite_tasks_free(struct suite_recipe *r);

#endif
