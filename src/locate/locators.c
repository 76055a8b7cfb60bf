#include "locate/locators.h"

const struct locator *const locators[] = {&locator_all,
                                          &locator_regex,
                                          &locator_lora,
                                          &locator_random,
                                          &locator_weight,
                                          &locator_gradient,
                                          &locator_salun,
                                          &locator_snip,
                                          &locator_hessian_free,
                                          &locator_wagle,
                                          &locator_wagle_gn,
                                          &locator_wagle_paper,
                                          &locator_fisher_ratio,
                                          &locator_projection,
                                          &locator_wanda,
                                          &locator_ffn,
                                          &locator_sure,
                                          &locator_pcgu,
                                          &locator_selective,
                                          &locator_depn,
                                          &locator_knowledge,
                                          &locator_tracing,
                                          NULL};

const struct locator *locator_by_name(const char *name, struct err *e)
{
    return table_find(locators, "locator", name, e);
}

int locate_weights(const struct locator *l, const void *params, bool count_all, struct model *m,
                   unsigned seed, struct err *e)
{
    struct weight_table *t = &m->table;
    bool all = count_all && !l->keeps_base;
    int moving = 0;
    const struct locator *how = l->apply ? l : &locator_all;
    if (how->apply(params, m, seed, e))
        return -1;
    for (int i = 0; i < t->n; i++) {
        moving += t->v[i].trainable;
        t->v[i].wants_grad = t->v[i].trainable || all;
    }
    weight_table_place(t);
    return moving ? 0 : err_set(e, "locator '%s' leaves no trainable weight", l->name);
}
