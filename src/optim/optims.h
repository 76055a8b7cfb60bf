/* The tables of optimisers and of wrappers. */
#ifndef OPTIM_OPTIMS_H
#define OPTIM_OPTIMS_H

#include "train/optim.h"
#include "train/wrapper.h"

extern const struct optim optim_adamw;       /* arXiv 1711.05101 */
extern const struct optim optim_sophia;      /* arXiv 2305.14342 */
extern const struct optim optim_sophia_soul; /* arXiv 2404.18239 */
extern const struct optim optim_lion;        /* arXiv 2302.06675 */
extern const struct optim optim_sgd;
extern const struct optim *const optims[]; /* ends with NULL */

extern const struct wrapper wrapper_sam; /* arXiv 2502.05374, and the next four */
extern const struct wrapper wrapper_rs;
extern const struct wrapper wrapper_gnr;
extern const struct wrapper wrapper_cr;
extern const struct wrapper wrapper_wa;
extern const struct wrapper wrapper_lat;       /* arXiv 2407.15549 */
extern const struct wrapper wrapper_tar;       /* arXiv 2408.00761 */
extern const struct wrapper wrapper_project;   /* arXiv 2503.09117 */
extern const struct wrapper *const wrappers[]; /* ends with NULL */

/* Case-insensitive; the error lists the names. */
const struct optim *optim_by_name(const char *name, struct err *e);
/* "none" gives *w = NULL. */
int wrapper_by_name(const char *name, const struct wrapper **w, struct err *e);

#endif
