/* SatImp (arXiv 2505.11953): gradient ascent, each token weighted by how far it is from saturation
 * (p^beta1) and by its importance ((1-p)^beta2):
 *   -sum_M w c / |M|,  w = p^beta1 (1-p)^beta2, a constant,  c = -log p(label).
 * The mean is over all scored tokens. */
#include "objectives/terms.h"

#include <math.h>

struct satimp {
    double beta1, beta2;
};

static const struct param params[] = {
    {"beta1", PARAM_REAL, offsetof(struct satimp, beta1), 0, 100, NULL, "5", NULL,
     "saturation: spares what is forgotten already"},
    {"beta2", PARAM_REAL, offsetof(struct satimp, beta2), 0, 100, NULL, "1", NULL,
     "importance: spares what the model is sure of"},
    {0},
};

static int satimp(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct satimp *p = params_;
    struct view *v = views[0];
    (void)e;
    for (int r = 0; r < v->n_rows; r++) {
        double lp = (double)v->logp[r], rest = fmax(0, -expm1(lp)); /* rounding may give lp > 0 */
        double w = exp(p->beta1 * lp) * pow(rest, p->beta2) / v->mean_rows;
        *loss += w * lp;
        v->dlogp[r] += (float)w;
    }
    return 0;
}

const struct term term_satimp = {
    .name = "satimp",
    .paper = "arXiv 2505.11953",
    .formula = "-sum_M w c / |M|, c = -log p(label), w = p^beta1 (1-p)^beta2 of the label's p, a "
               "constant",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct satimp),
    .loss = satimp,
};
