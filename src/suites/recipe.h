/* A suite as data: its data sets and metrics, or the tasks of a multiple-choice suite
 * (suites/tasks.h). Built-in ones are suites/NAME.json; doc/suites.md describes the form. Names
 * borrow from the recipe's JSON.
 */
#ifndef SUITES_RECIPE_H
#define SUITES_RECIPE_H

#include "suites/suite.h"

struct suite_set {
    const char *name, *help;
    bool required;
    bool plain;           /* texts without a prompt */
    bool continued;       /* prompt and answer are one text */
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
};

/* The built-in suites: names and JSON texts, up to a row without a name. */
struct suite_text {
    const char *name, *text;
};
extern const struct suite_text suite_texts[];

/* Opens a built-in suite by name, or the file of that name. Errors name the place in the file. */
int suite_recipe_open(struct suite_recipe *r, const char *name, struct err *e);
int suite_recipe_read(struct suite_recipe *r, json_t *json, const char *name, struct err *e);
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

#endif
