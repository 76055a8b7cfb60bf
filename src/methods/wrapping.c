#include "methods/wrapping.h"

#include "base/mem.h"
#include "objectives/terms.h"
#include "optim/optims.h"

int wrapping_choose(struct wrapping *w, const char *name, struct err *e)
{
    const struct wrapper *row;
    *w = (struct wrapping){0};
    return wrapper_by_name(name, &row, e) || choice_init(&w->chosen, row, NULL, e);
}

int wrapping_bind(struct wrapping *w, struct engine *g, struct err *e)
{
    const struct wrapper *row = wrapping_row(w);
    for (int k = 0; row && k < WRAPPER_MAX_EXTRAS && row->extra[k].term; k++) {
        const struct term *t = term_by_name(row->extra[k].term, e);
        if (!t || !(w->extra[k] = mem_alloc(1, t->params_size, e)))
            return -1;
        if (t->params)
            param_defaults(t->params, w->extra[k]);
        struct objective o = {.term = t,
                              .params = w->extra[k],
                              .role = {row->extra[k].role, ROLE_ALTERNATE},
                              .weight = row->weight ? row->weight(w->chosen.params, k) : 1,
                              .goal = GOAL_WRAPPER + (unsigned)k};
        if (engine_add(g, &o, e))
            return err_prefix(e, "wrapper '%s': ", row->name);
    }
    return 0;
}

unsigned wrapping_goals(const struct wrapping *w)
{
    return GOALS_METHOD | (w->chosen.row ? wrapping_row(w)->moves : 0);
}

void wrapping_fini(struct wrapping *w)
{
    for (int k = 0; k < WRAPPER_MAX_EXTRAS; k++)
        free(w->extra[k]);
    choice_fini(&w->chosen);
    *w = (struct wrapping){0};
}
