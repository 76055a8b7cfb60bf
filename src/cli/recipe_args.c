#include "cli/recipe_args.h"

#include <stddef.h>

const struct param recipe_params[] = {
    {"method", PARAM_STRING, offsetof(struct recipe_options, method), 0, 0, NULL, "NPO", "NAME",
     "what to run; 'unlearn methods' lists all"},
    {0},
};

static const char *const titles[PART_COUNT] = {"forget term", "retain term", "extra term"};

int recipe_args(struct args *a, const struct recipe_options *o, struct recipe *r)
{
    struct err e = {.msg = ""};
    *r = (struct recipe){0};
    if (!(r->method = method_by_name(o->method, &e)))
        return args_usage(a, &e);
    a->presets = r->method->presets;
    int status = args_take(a, "method", method_params, &r->p);
    if (status == ARGS_GO && recipe_choose_terms(r, &e))
        status = args_usage(a, &e);
    for (int i = 0; i < PART_COUNT && status == ARGS_GO; i++)
        if (choice_params(&r->part[i]))
            status = args_take(a, titles[i], choice_params(&r->part[i]), r->part[i].params);
    return status;
}

int choice_args(struct args *a, const struct choice *c)
{
    const struct param *params = choice_params(c);
    return params ? args_take(a, choice_name(c), params, c->params) : ARGS_GO;
}

int locator_args(struct args *a, const char *name, struct choice *c)
{
    struct err e = {.msg = ""};
    const struct locator *l = locator_by_name(name, &e);
    return !l || choice_init(c, l, NULL, &e) ? args_usage(a, &e) : choice_args(a, c);
}
