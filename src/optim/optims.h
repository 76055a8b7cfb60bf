/* The table of optimisers. */
#ifndef OPTIM_OPTIMS_H
#define OPTIM_OPTIMS_H

#include "train/optim.h"

extern const struct optim optim_adamw;     /* arXiv 1711.05101 */
extern const struct optim *const optims[]; /* ends with NULL */

const struct optim *optim_by_name(const char *name, struct err *e);

#endif
