#include "optim/optims.h"

#include <string.h>
#include <strings.h>

const struct optim *const optims[] = {&optim_adamw, NULL};

const struct optim *optim_by_name(const char *name, struct err *e)
{
    for (int i = 0; optims[i]; i++)
        if (!strcasecmp(optims[i]->name, name))
            return optims[i];
    err_set(e, "unknown optimiser '%s'; there is: adamw", name);
    return NULL;
}
