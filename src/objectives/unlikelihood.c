/* Unlikelihood (arXiv 1908.04319): the labels become unlikely, and no more so than they are
 * already; unlike ascent it is bounded below by 0.
 *   mean over scored tokens of -log(1 - p(label)),  d/d log p = p / (1 - p).
 * 1 - p counts as 1e-7 at least, which is as near to 1 as p comes in f32. */
#include "objectives/terms.h"

#include <math.h>

static int unlikelihood(const void *params, struct view *const *views, double *loss, struct err *e)
{
    struct view *v = views[0];
    (void)params, (void)e;
    for (int r = 0; r < v->n_rows; r++) {
        double p = exp((double)v->logp[r]), rest = fmax(-expm1((double)v->logp[r]), 1e-7);
        *loss -= log(rest) / v->mean_rows;
        v->dlogp[r] += (float)(p / rest / v->mean_rows);
    }
    return 0;
}

const struct term term_unlikelihood = {
    .name = "unlikelihood",
    .paper = "arXiv 1908.04319",
    .formula = "mean over scored tokens of -log(1 - p(label))",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .loss = unlikelihood,
};
