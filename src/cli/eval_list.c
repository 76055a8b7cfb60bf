#include "cli/eval_list.h"

#include <stdio.h>

#include "suites/metrics.h"
#include "suites/recipe.h"

static void list_suites(void)
{
    printf("suites:\n");
    for (const struct suite_text *t = suite_texts; t->name; t++) {
        struct suite_recipe r;
        struct err e = {.msg = ""};
        if (suite_recipe_open(&r, t->name, &e))
            continue;
        printf("  %-15s%s\n", t->name, r.about);
        if (r.n_tasks)
            printf("  %-15s--data %s\n", "", r.data);
        suite_recipe_close(&r);
    }
}

void eval_list(bool markdown)
{
    if (markdown) {
        printf("| kind | what it is | forgotten when | verified against |\n|---|---|---|---|\n");
    } else {
        list_suites();
        printf("\nkinds of metrics:\n");
    }
    const struct metric_kind *k;
    for (int i = 0; (k = metric_kind_at(i)); i++) {
        if (markdown)
            printf("| %s | %s | %s | %s |\n", k->name, k->help, k->forgotten, k->verified);
        else
            printf("  %-23s%s\n", k->name, k->help);
    }
}
