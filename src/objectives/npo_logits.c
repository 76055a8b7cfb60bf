/* NPO and SimNPO on raw logits, as the code of MUSE (arXiv 2407.06460) and Unlearn-Simple's fork of
 * it have them. No preference of any answer is in it: published MUSE figures of "NPO" are of
 *   npo_raw_logits:    -(2/beta) mean over rows and vocabulary of log sigmoid(beta (z_ref - z)),
 *   simnpo_raw_logits: the same with -delta in the place of z_ref.
 * Rows are the scored ones; under kl_all_positions every row of the padded batch, as there. d/dz =
 * 2 sigmoid(-beta (z_ref - z)) / (rows V). */
#include "objectives/rows.h"
#include "objectives/terms.h"

struct raw {
    double beta, delta;
};

#define FIELD(f) offsetof(struct raw, f)
static const struct param npo_params[] = {
    {"beta", PARAM_REAL, FIELD(beta), 1e-6, 100, NULL, "0.1", NULL, "inverse temperature"},
    {0},
};

static const struct param simnpo_params[] = {
    {"beta", PARAM_REAL, FIELD(beta), 1e-6, 100, NULL, "0.7", NULL, "inverse temperature"},
    {"delta", PARAM_REAL, FIELD(delta), 0, 100, NULL, "0", NULL,
     "minus the logit around which forgetting slows down"},
    {0},
};

/* from: z_ref, or NULL for -delta. */
static double add_row(const struct raw *p, const struct logit_row *r, const float *from)
{
    double loss = 0, share = r->share / r->n;
    for (int i = 0; i < r->n; i++) {
        double s = p->beta * ((from ? (double)from[i] : -p->delta) - (double)r->z[i]);
        loss -= log_sigmoid(s);
        r->dz[i] = (float)(2 * sigmoid(-s) * share);
    }
    return 2 / p->beta * loss * share;
}

static double npo_row(const void *params, const struct logit_row *r)
{
    return add_row(params, r, r->ref);
}

static double simnpo_row(const void *params, const struct logit_row *r)
{
    return add_row(params, r, NULL);
}

static int npo(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return rows_add(v[0], npo_row, params, loss, e);
}

static int simnpo(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return rows_add(v[0], simnpo_row, params, loss, e);
}

const struct term term_npo_raw_logits = {
    .name = "npo_raw_logits",
    .paper = "arXiv 2407.06460",
    .formula = "-(2/beta) mean over rows and vocabulary of log sigmoid(beta (z_ref - z))",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .widen = COMPAT_KL_ALL_POSITIONS,
    .params = npo_params,
    .params_size = sizeof(struct raw),
    .loss = npo,
};

const struct term term_simnpo_raw_logits = {
    .name = "simnpo_raw_logits",
    .paper = "arXiv 2410.07163",
    .formula = "-(2/beta) mean over rows and vocabulary of log sigmoid(beta (-z - delta))",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .widen = COMPAT_KL_ALL_POSITIONS,
    .params = simnpo_params,
    .params_size = sizeof(struct raw),
    .loss = simnpo,
};
