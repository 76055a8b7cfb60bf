/* Unlikelihood (arXiv 1908.04319): lowers the probability of the labels; unlike ascent it
 * is bounded below by 0.
 *   mean over scored tokens of -log(1 - p(label)),  d/d log p = p / (1 - p).
 * 1 - p is at least 1e-7, the resolution of p near 1 in f32. */
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
    .logp = {.token = unlikelihood},
};
