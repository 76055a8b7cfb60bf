/* Representation misdirection (RMU, arXiv 2403.03218): hidden states of the forget data are
 * steered to a random direction u with a fixed length, and adaptive RMU (arXiv 2408.06223), where
 * the length follows the reference's hidden state, so that deep layers can be steered too. On the
 * retain data embed_diff keeps them close to the reference's. All are means over sequences of means
 * over label tokens and over the width. */
#include <math.h>

#include "objectives/terms.h"

/* The first field of the parameters of all three. */
struct rmu_place {
    struct hidden_place place;
    bool rmu_bxb;
};

/* Of those that steer: at the same place, and the draws of the direction. */
struct rmu_steering {
    struct rmu_place place;
    bool rmu_draw;
};

struct rmu {
    struct rmu_steering steering;
    double steering_coeff;
};

struct adaptive_rmu {
    struct rmu_steering steering;
    double beta;
};

#define RMU_PLACE                                                                                  \
    HIDDEN_PLACE,                                                                                  \
        COMPAT_PARAM(struct rmu_place, rmu_bxb,                                                    \
                     "each sequence's sum is divided by every sequence's length in turn")

#define RMU_STEERING                                                                               \
    RMU_PLACE, COMPAT_PARAM(struct rmu_steering, rmu_draw,                                         \
                            "the direction is drawn after the first two batches' rows")

static const struct param rmu_params[] = {
    RMU_STEERING,
    REAL_PARAM(struct rmu, steering_coeff, 0, 1e6, 2,
               "length of the vector that hidden states of forget data are steered to"),
    {0},
};

static const struct param adaptive_params[] = {
    RMU_STEERING,
    REAL_PARAM(struct adaptive_rmu, beta, 0, 1e6, 5,
               "length of that vector, as a multiple of the reference's hidden state"),
    {0},
};

static const struct param place_params[] = {RMU_PLACE, {0}};

static bool crossed(const void *params)
{
    return ((const struct rmu_place *)params)->rmu_bxb;
}

static enum steer rmu_direction(const void *params)
{
    return ((const struct rmu_steering *)params)->rmu_draw ? STEER_AFTER_DRAWS : STEER_RANDOM;
}

static double rmu(const void *params, const struct state_view *s, float *dh)
{
    return hidden_distance(s, s->direction, ((const struct rmu *)params)->steering_coeff, dh);
}

static double adaptive_rmu(const void *params, const struct state_view *s, float *dh)
{
    double length = sqrt(hidden_dot(s->ref, s->ref, s->width));
    return hidden_distance(s, s->direction, ((const struct adaptive_rmu *)params)->beta * length,
                           dh);
}

static double embed_diff(const void *params, const struct state_view *s, float *dh)
{
    (void)params;
    return hidden_distance(s, s->ref, 1, dh);
}

const struct term term_rmu = {
    .name = "rmu",
    .paper = "arXiv 2403.03218",
    .formula = "mean_b (1/n_b) sum_t |h_t - steering_coeff u|^2 / C over the label tokens of b",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .params = rmu_params,
    .params_size = sizeof(struct rmu),
    .hidden = {.state = rmu,
               .mean = MEAN_OF_SEQS,
               .crossed = crossed,
               .layer = hidden_layer,
               .direction = rmu_direction},
};

const struct term term_adaptive_rmu = {
    .name = "adaptive_rmu",
    .paper = "arXiv 2408.06223",
    .formula = "mean_b (1/n_b) sum_t |h_t - beta |h_t^ref| u|^2 / C over the label tokens of b",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = adaptive_params,
    .params_size = sizeof(struct adaptive_rmu),
    .hidden = {.state = adaptive_rmu,
               .mean = MEAN_OF_SEQS,
               .crossed = crossed,
               .layer = hidden_layer,
               .direction = rmu_direction},
};

const struct term term_embed_diff = {
    .name = "embed_diff",
    .paper = "arXiv 2403.03218",
    .formula = "mean_b (1/n_b) sum_t |h_t - h_t^ref|^2 / C over the label tokens of b",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = place_params,
    .params_size = sizeof(struct rmu_place),
    .hidden = {.state = embed_diff,
               .mean = MEAN_OF_SEQS,
               .crossed = crossed,
               .layer = hidden_layer},
};
