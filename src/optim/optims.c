#include "optim/optims.h"

const struct optim *const optims[] = {&optim_adamw, &optim_sophia, &optim_sophia_soul,
                                      &optim_lion,  &optim_sgd,    NULL};

const struct wrapper *const wrappers[] = {&wrapper_sam, &wrapper_rs,      &wrapper_gnr,
                                          &wrapper_cr,  &wrapper_wa,      &wrapper_lat,
                                          &wrapper_tar, &wrapper_project, NULL};

const struct optim *optim_by_name(const char *name, struct err *e)
{
    return table_find(optims, "optimiser", name, e);
}

int wrapper_by_name(const char *name, const struct wrapper **w, struct err *e)
{
    const void *row;
    int rc = table_find_or_none(wrappers, "wrapper", name, &row, e);
    *w = row;
    return rc;
}
