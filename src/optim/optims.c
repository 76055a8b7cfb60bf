#include "optim/optims.h"

#include <string.h>
#include <strings.h>

const struct optim *const optims[] = {&optim_adamw, &optim_sophia, &optim_sophia_soul,
                                      &optim_lion,  &optim_sgd,    NULL};

const struct wrapper *const wrappers[] = {&wrapper_sam, &wrapper_rs,  &wrapper_gnr, &wrapper_cr,
                                          &wrapper_wa,  &wrapper_lat, &wrapper_tar, NULL};

const struct optim *optim_by_name(const char *name, struct err *e)
{
    char known[128] = "";
    for (int i = 0; optims[i]; i++) {
        size_t at = strlen(known);
        if (!strcasecmp(optims[i]->name, name))
            return optims[i];
        snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", optims[i]->name);
    }
    err_set(e, "unknown optimiser '%s'; there are: %s", name, known);
    return NULL;
}

int wrapper_by_name(const char *name, const struct wrapper **w, struct err *e)
{
    char known[128] = "none";
    *w = NULL;
    if (!strcasecmp(name, "none"))
        return 0;
    for (int i = 0; wrappers[i]; i++) {
        size_t at = strlen(known);
        if (!strcasecmp(wrappers[i]->name, name)) {
            *w = wrappers[i];
            return 0;
        }
        snprintf(known + at, sizeof known - at, ", %s", wrappers[i]->name);
    }
    return err_set(e, "unknown wrapper '%s'; there are: %s", name, known);
}
