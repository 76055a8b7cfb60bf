#include "cli/recipe_args.h"

#include <stddef.h>

#include "base/mem.h"

const struct param recipe_params[] = {
    {"method", PARAM_STRING, offsetof(struct recipe_options, method), 0, 0, NULL, "NPO", "NAME",
     "what to run; 'unlearn methods' lists all"},
    {0},
};

static const char *const titles[PART_COUNT] = {"forget term", "retain term", "extra term"};

int recipe_args(struct args *a, const struct recipe_options *o, struct recipe *r)
{
    struct err e = {""};
    *r = (struct recipe){0};
    if (!(r->method = method_by_name(o->method, &e)))
        return args_usage(a, &e);
    a->presets = r->method->presets;
    int status = args_take(a, "method", method_params, &r->p);
    if (status == ARGS_GO && recipe_choose_terms(r, &e))
        status = args_usage(a, &e);
    for (int i = 0; i < PART_COUNT && status == ARGS_GO; i++)
        if (r->part[i].term && r->part[i].term->params)
            status = args_take(a, titles[i], r->part[i].term->params, r->part[i].params);
    return status;
}

int locator_args(struct args *a, const char *name, const struct locator **l, void **params)
{
    struct err e = {""};
    if (!(*l = locator_by_name(name, &e)) || !(*params = mem_alloc(1, (*l)->params_size, &e)))
        return args_usage(a, &e);
    return (*l)->params ? args_take(a, (*l)->name, (*l)->params, *params) : ARGS_GO;
}
