/* Every weight may move. */
#include "locate/locators.h"

static int apply(const void *params, struct weight_table *t, struct err *e)
{
    (void)params, (void)e;
    for (int i = 0; i < t->n; i++)
        t->v[i].trainable = true;
    return 0;
}

const struct locator locator_all = {
    .name = "all",
    .help = "every weight",
    .apply = apply,
};
