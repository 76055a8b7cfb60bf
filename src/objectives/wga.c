/* Weighted gradient ascent (arXiv 2502.19301): tokens that are already forgotten get less weight,
 *   -sum_M w c / |M|,  w = p^beta, a constant,  c = -log p(label).
 * The mean is over all scored tokens. */
#include "objectives/terms.h"

#include <math.h>

struct wga {
    double beta;
};

static const struct param params[] = {
    REAL_PARAM(struct wga, beta, 0, 100, 1,
               "exponent of the token's probability in its weight; 0 is gradient ascent"),
    {0},
};

static double wga(const void *params_, double logp, double *d)
{
    const struct wga *p = params_;
    *d = exp(p->beta * logp);
    return *d * logp;
}

const struct term term_wga = {
    .name = "wga",
    .paper = "arXiv 2502.19301",
    .formula = "-sum_M w c / |M|, c = -log p(label), w = p(label)^beta, a constant",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct wga),
    .logp = {.token = wga},
};
