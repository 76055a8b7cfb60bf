/* Suites as data: data sets and metrics, or multiple-choice tasks. */
#ifndef SUITES_RECIPE_H
#define SUITES_RECIPE_H

#include "eval/choice.h"
#include "suites/suite.h"

/* A suite as data: its data sets and metrics, or the tasks of a multiple-choice suite
 * (below). Built-in ones are suites/NAME.json; doc/suites.md describes the form. Names
 * borrow from the recipe's JSON.
 */

struct suite_set {
    const char *name, *help;
    bool required;
    bool plain;           /* texts without a prompt */
    bool continued;       /* prompt and answer are one text */
    enum role role;       /* of its rows; ROLE_COUNT: none */
    const char *question; /* field of the prompt; NULL: the suite's */
    const char *prompt;   /* a template that replaces the field; NULL: none */
    const char *shot;     /* template of a worked example, */
    int shots;            /* the set whose rows are {shots} in the prompt; -1: none */
    int max_new_tokens;   /* of an answer; 0: the suite's */
    const char **stops;   /* owned, where an answer is cut, up to NULL; NULL: nowhere */
};

struct suite_recipe {
    json_t *json;            /* owned */
    const char *name;        /* as given by the user, borrowed */
    const char *about, *log; /* log: "TOFU" for TOFU_EVAL.json */
    struct suite_set *sets;  /* owned [n_sets] */
    int n_sets;
    struct metric *metrics;   /* owned, up to a row without a name */
    const char *data;         /* of tasks: help of the data option */
    struct suite_task *tasks; /* owned [n_tasks]; none: the suite has sets and metrics */
    int n_tasks;
    enum role role; /* of the knowledge that the tasks ask for; ROLE_COUNT: not known */
};

/* The built-in suites: names and JSON texts, up to a row without a name. */
struct suite_text {
    const char *name, *text;
};
extern const struct suite_text suite_texts[];

/* Opens a built-in suite by name, or the file of that name. Errors name the place in the file. */
int suite_recipe_open(struct suite_recipe *r, const char *name, struct err *e);
int suite_recipe_read(struct suite_recipe *r, json_t *json, const char *name, struct err *e);
/* Whether `log`, read from `path`, is an evaluation log with rows of this suite, as forget quality
 * needs it of the retrained model: not a summary, a table or another suite's. */
int suite_recipe_check_log(const struct suite_recipe *r, const json_t *log, const char *path,
                           struct err *e);
void suite_recipe_close(struct suite_recipe *r);

/* Fills the prompts of a set's rows, where it has a template: rows[i][question] = prompt. `rows`
 * is by set; NULL entries were not given. */
int suite_recipe_prompts(const struct suite_recipe *r, struct rows *const *rows,
                         const char *question, struct err *e);

/* The index of `name`, or -1 and "unknown WHAT 'NAME': did you mean 'NEAR'?" */
int recipe_find_name(const char *what, const char *name, const char *const *names, int n,
                     struct err *e);
/* Fails unless all keys of the object are among the names. */
int recipe_check_keys(const json_t *object, const char *const *names, int n, struct err *e);
#define RECIPE_CHECK_KEYS(object, names, e)                                                        \
    recipe_check_keys(object, names, (int)(sizeof names / sizeof *names), e)

/* The tasks of a multiple-choice suite, read from its recipe: prompts, correct answers
 * (eval/choice.h), and in which files the questions are. doc/suites.md describes the form.
 *
 * A task inherits missing keys from the suite's `common`, and each of its `layouts` from the task.
 */

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
