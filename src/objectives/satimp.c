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
    REAL_PARAM(struct satimp, beta1, 0, 100, 5,
               "exponent of p: less weight for forgotten tokens (saturation)"),
    REAL_PARAM(struct satimp, beta2, 0, 100, 1,
               "exponent of 1 - p: less weight for confident tokens (importance)"),
    {0},
};

static double satimp(const void *params_, double logp, double *d)
{
    const struct satimp *p = params_;
    double rest = fmax(0, -expm1(logp)); /* rounding may give logp > 0 */
    *d = exp(p->beta1 * logp) * pow(rest, p->beta2);
    return *d * logp;
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
    .logp = {.token = satimp},
};
