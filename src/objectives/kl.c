/* Forward KL to the frozen reference (arXiv 2402.15159), at a temperature T:
 *   T^2 KL(softmax(z_ref / T) || softmax(z / T)),
 * its negative (SCRUB's max step, arXiv 2302.09880),
 * and the cross-entropy to it, -sum_v p_ref log p, which differs by a constant (LLMU's third term).
 * The means are over scored rows; under kl_all_positions over every row of the padded batch. */
#include "objectives/terms.h"

struct kl {
    struct row_choice rows;
    double temperature;
};

static const struct param params[] = {
    ROW_CHOICE,
    REAL_PARAM(struct kl, temperature, 0.01, 100, 1, "divides the logits of both models"),
    {0},
};

static const struct param cross_params[] = {ROW_CHOICE, {0}};

static double row(const void *params_, const struct logit_row *r)
{
    return row_kl(r, ((const struct kl *)params_)->temperature);
}

static double row_cross(const void *none, const struct logit_row *r)
{
    (void)none;
    return row_soft_target(r, r->ref, -1, 0);
}

const struct term term_kl = {
    .name = "kl",
    .paper = "arXiv 2402.15159",
    .formula = "T^2 mean over rows of sum_v p_ref (log p_ref - log p), both softmax(z / T)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct kl),
    .logits = {.row = row, .rows = row_choice},
};

const struct term term_kl_ascent = {
    .name = "kl_ascent",
    .paper = "arXiv 2302.09880",
    .formula = "-T^2 mean over rows of sum_v p_ref (log p_ref - log p), both softmax(z / T)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct kl),
    .logits = {.row = row, .sign = -1, .rows = row_choice},
};

const struct term term_cross_entropy = {
    .name = "cross_entropy",
    .paper = "arXiv 2310.10683",
    .formula = "mean over rows of -sum_v p_ref log p",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = cross_params,
    .params_size = sizeof(struct row_choice),
    .logits = {.row = row_cross, .rows = row_choice},
};
