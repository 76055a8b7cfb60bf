/* Unlikelihood (arXiv 1908.04319): the labels become unlikely, and no more so than they are
 * already; unlike ascent it is bounded below by 0.
 *   mean over scored tokens of -log(1 - p(label)),  d/d log p = p / (1 - p).
 * 1 - p counts as 1e-7 at least, which is as near to 1 as p comes in f32. */
#include "objectives/terms.h"

#include <math.h>

static double unlikelihood(const void *params, double logp, double *d)
{
    (void)params;
    double rest = fmax(-expm1(logp), 1e-7);
    *d = exp(logp) / rest;
    return -log(rest);
}

const struct term term_unlikelihood = {
    .name = "unlikelihood",
    .paper = "arXiv 1908.04319",
    .formula = "mean over scored tokens of -log(1 - p(label))",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .token = unlikelihood,
};
