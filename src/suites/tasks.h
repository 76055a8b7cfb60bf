/* The tasks of a multiple-choice suite, read from its recipe: prompts, correct answers
 * (eval/choice_task.h), and in which files the questions are. doc/suites.md describes the form.
 *
 * A task inherits missing keys from the suite's `common`, and each of its `layouts` from the task.
 */
#ifndef SUITES_TASKS_H
#define SUITES_TASKS_H

#include "eval/choice_task.h"
#include "suites/recipe.h"

enum { TASK_FILES = 4, TASK_GROUPS = 4 };

struct suite_task {
    const char *name;
    const char *subject;         /* name for choosing tasks; NULL: none */
    struct choice_task *layouts; /* owned, up to a row without a name */
    /* Names of the file of questions in the given folder, {subject} replaced; the first that exists
     * is read. Without a name the given path is the file. */
    const char *files[TASK_FILES + 1];
    const char *examples;                /* the file of worked examples; NULL: none */
    const char *groups[TASK_GROUPS + 1]; /* groups it counts in, the widest first */
};

/* Fills r->tasks from r->json. */
int suite_tasks_read(struct suite_recipe *r, struct err *e);
/* Sets these keys in every task and reads all tasks again. */
int suite_tasks_override(struct suite_recipe *r, json_t *object, struct err *e);
void suite_tasks_free(struct suite_recipe *r);

#endif
