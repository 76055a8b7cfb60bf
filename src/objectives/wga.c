/* Weighted gradient ascent (arXiv 2502.19301): tokens that are forgotten already count less,
 *   -sum_M w c / |M|,  w = p^beta, a constant,  c = -log p(label).
 * The mean is over all scored tokens. */
#include "objectives/terms.h"

#include <math.h>

struct wga {
    double beta;
};

static const struct param params[] = {
    {"beta", PARAM_REAL, offsetof(struct wga, beta), 0, 100, NULL, "1", NULL,
     "how fast a token's weight falls with its probability; 0 is gradient ascent"},
    {0},
};

static int wga(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct wga *p = params_;
    struct view *v = views[0];
    (void)e;
    for (int r = 0; r < v->n_rows; r++) {
        double lp = (double)v->logp[r], w = exp(p->beta * lp) / v->mean_rows;
        *loss += w * lp;
        v->dlogp[r] += (float)w;
    }
    return 0;
}

const struct term term_wga = {
    .name = "wga",
    .paper = "arXiv 2502.19301",
    .formula = "-sum_M w c / |M|, c = -log p(label), w = p(label)^beta, a constant",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct wga),
    .loss = wga,
};
