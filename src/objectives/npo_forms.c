/* Losses that other repositories call NPO (npo.c) and SimNPO; their beta differs from the papers'.
 *   npo_token_mean:    -(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref) / n_b),
 * by SOUL, WAGLE and the WMDP code of Unlearn-Simple. There it is the mean over all labels of
 * a micro-batch of one sequence; here it is per sequence for any batch size.
 *   npo_raw_logits:    -(2/beta) mean over rows and vocabulary of log sigmoid(beta (z_ref - z)),
 *   simnpo_raw_logits: the same with -delta instead of z_ref,
 * by MUSE (arXiv 2407.06460), whose "NPO" results use them, and Unlearn-Simple's fork of it. They
 * do not depend on the labels. Rows are the scored ones; under kl_all_positions every row of the
 * padded batch, as in that code. d/dz = 2 sigmoid(-beta (z_ref - z)) / (rows V). */
#include "objectives/terms.h"

struct form {
    struct row_choice rows; /* of the two on logits */
    double beta, delta;
};

static const struct param mean_params[] = {
    REAL_PARAM(struct form, beta, 1e-6, 100, 0.1, "inverse temperature"),
    {0},
};

static const struct param npo_params[] = {
    ROW_CHOICE,
    REAL_PARAM(struct form, beta, 1e-6, 100, 0.1, "inverse temperature"),
    {0},
};

static const struct param simnpo_params[] = {
    ROW_CHOICE,
    REAL_PARAM(struct form, beta, 1e-6, 100, 0.7, "inverse temperature"),
    REAL_PARAM(struct form, delta, 0, 100, 0,
               "negated logit at which the gradient has half its maximum"),
    {0},
};

static double token_mean(const void *params, const struct seq_view *s, double *d)
{
    const struct form *p = params;
    double n = s->n ? s->n : 1, z = p->beta * (s->nll - s->ref_nll) / n;
    *d = -2 * sigmoid(-z) / n;
    return -2 / p->beta * log_sigmoid(z);
}

/* from: z_ref, or NULL for -delta. */
static double add_row(const struct form *p, const struct logit_row *r, const float *from)
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

const struct term term_npo_token_mean = {
    .name = "npo_token_mean",
    .paper = "arXiv 2404.18239",
    .formula = "-(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref) / n_b), L_b / n_b = mean of -log "
               "p over the labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .needs_ref = true,
    .params = mean_params,
    .params_size = sizeof(struct form),
    .logp = {.seq = token_mean},
};

const struct term term_npo_raw_logits = {
    .name = "npo_raw_logits",
    .paper = "arXiv 2407.06460",
    .formula = "-(2/beta) mean over rows and vocabulary of log sigmoid(beta (z_ref - z))",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = npo_params,
    .params_size = sizeof(struct form),
    .logits = {.row = npo_row, .rows = row_choice},
};

const struct term term_simnpo_raw_logits = {
    .name = "simnpo_raw_logits",
    .paper = "arXiv 2410.07163",
    .formula = "-(2/beta) mean over rows and vocabulary of log sigmoid(beta (-z - delta))",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .params = simnpo_params,
    .params_size = sizeof(struct form),
    .logits = {.row = simnpo_row, .rows = row_choice},
};
