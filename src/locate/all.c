/* All weights are trainable. */
#include "locate/locators.h"

static int apply(const void *params, struct model *m, unsigned seed, struct err *e)
{
    (void)params, (void)seed, (void)e;
    for (int i = 0; i < m->table.n; i++)
        m->table.v[i].trainable = true;
    return 0;
}

const struct locator locator_all = {
    .name = "all",
    .help = "every weight",
    .apply = apply,
};
