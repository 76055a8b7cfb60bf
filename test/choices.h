/* The tasks of the built-in suites by name, for tests. */
#ifndef TEST_CHOICES_H
#define TEST_CHOICES_H

#include <stdio.h>
#include <string.h>

#include "suites/recipe.h"

/* The task of this name; of a name without a subject ("mmlu") the first of the suite. The suite is
 * the name up to '_'; *r is to be closed. */
static inline const struct choice_task *choices_find(struct suite_recipe *r, const char *name)
{
    struct err e;
    char suite[32];
    snprintf(suite, sizeof suite, "%.*s", (int)strcspn(name, "_"), name);
    if (suite_recipe_open(r, suite, &e))
        return NULL;
    for (int i = 0; i < r->n_tasks; i++)
        if (!strcmp(r->tasks[i].name, name) || !strcmp(suite, name))
            return r->tasks[i].layouts;
    suite_recipe_close(r);
    return NULL;
}

#endif
