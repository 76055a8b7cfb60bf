/* What other repositories call NPO (npo.c) and SimNPO; their beta is not the papers'.
 *   npo_token_mean:    -(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref) / n_b),
 * by SOUL, WAGLE and the WMDP code of Unlearn-Simple. Theirs is the mean over all labels of a
 * micro-batch, of which each has one sequence; here it is that of the sequence in any batch.
 *   npo_raw_logits:    -(2/beta) mean over rows and vocabulary of log sigmoid(beta (z_ref - z)),
 *   simnpo_raw_logits: the same with -delta in the place of z_ref,
 * by MUSE (arXiv 2407.06460), whose figures of "NPO" are these, and Unlearn-Simple's fork of it. No
 * answer is preferred in them. Rows are the scored ones; under kl_all_positions every row of the
 * padded batch, as there. d/dz = 2 sigmoid(-beta (z_ref - z)) / (rows V). */
#include "objectives/rows.h"
#include "objectives/terms.h"

#include "base/mem.h"

struct form {
    double beta, delta;
};

#define FIELD(f) offsetof(struct form, f)
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

static int token_mean(const void *params, struct view *const *views, double *loss, struct err *e)
{
    const struct form *p = params;
    struct view *v = views[0];
    double *g = mem_alloc((size_t)v->n_seqs, sizeof *g, e);
    if (!g)
        return -1;
    for (int b = 0; b < v->n_seqs; b++) {
        double n = v->n_labels[b] ? v->n_labels[b] : 1;
        double s = p->beta * (v->nll[b] - v->ref_nll[b]) / n;
        *loss -= 2 / p->beta * log_sigmoid(s) / v->mean_seqs;
        g[b] = -2 * sigmoid(-s) / n / v->mean_seqs;
    }
    view_add_dnll(v, g);
    free(g);
    return 0;
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

static int npo(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return rows_add(v[0], npo_row, params, loss, e);
}

static int simnpo(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return rows_add(v[0], simnpo_row, params, loss, e);
}

const struct term term_npo_token_mean = {
    .name = "npo_token_mean",
    .paper = "arXiv 2404.18239",
    .formula = "-(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref) / n_b), L_b / n_b = mean of -log "
               "p over the labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .needs_ref = true,
    .params = npo_params,
    .params_size = sizeof(struct form),
    .loss = token_mean,
};

const struct term term_npo_raw_logits = {
    .name = "npo_raw_logits",
    .paper = "arXiv 2407.06460",
    .formula = "-(2/beta) mean over rows and vocabulary of log sigmoid(beta (z_ref - z))",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .widen = COMPAT_KL_ALL_POSITIONS,
    .params = npo_params,
    .params_size = sizeof(struct form),
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
    .params_size = sizeof(struct form),
    .loss = simnpo,
};
