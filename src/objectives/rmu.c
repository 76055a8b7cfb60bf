/* Representation misdirection (RMU, arXiv 2403.03218): hidden states of the forget data go to a
 * random direction u of fixed length, and adaptive RMU (arXiv 2408.06223), where the length follows
 * the reference's hidden state, so that deep layers can be steered too. On the retain data
 * embed_diff keeps them where the reference has them. All are means over sequences of means over
 * label tokens and over the width. */
#include <math.h>

#include "base/mem.h"
#include "objectives/hidden.h"
#include "objectives/terms.h"

struct steer {
    struct hidden_place place;
    double coefficient;
};

static const struct param rmu_params[] = {
    HIDDEN_PLACE,
    {"steering_coeff", PARAM_REAL, offsetof(struct steer, coefficient), 0, 1e6, NULL, "2", NULL,
     "length of the vector that forget data is steered to"},
    {0},
};

static const struct param adaptive_params[] = {
    HIDDEN_PLACE,
    {"beta", PARAM_REAL, offsetof(struct steer, coefficient), 0, 1e6, NULL, "5", NULL,
     "length of that vector, in lengths of the reference's hidden state"},
    {0},
};

static const struct param place_params[] = {HIDDEN_PLACE, {0}};

/* Length of the reference's hidden state of token t. */
static double ref_length(const struct view *v, int t)
{
    const float *h = v->ref_hidden + (size_t)t * (size_t)v->width;
    double sum = 0;
    for (int c = 0; c < v->width; c++)
        sum += (double)h[c] * (double)h[c];
    return sqrt(sum);
}

/* Both steer: to coefficient * u, or to coefficient * length of the reference * u. */
static int steer(const struct steer *p, struct view *v, bool adaptive, double *loss, struct err *e)
{
    if (!v->direction)
        return err_set(e, "no direction to steer to: the batch has no 'control_vec'");
    double *scale = mem_alloc((size_t)v->n_tokens, sizeof *scale, e);
    if (!scale)
        return -1;
    for (int t = 0; t < v->n_tokens; t++)
        scale[t] = p->coefficient * (adaptive ? ref_length(v, t) : 1);
    struct hidden_target to = {.base = v->direction, .scale = scale};
    int rc = hidden_add_distance(v, &to, loss, e);
    free(scale);
    return rc;
}

static int rmu(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return steer(params, v[0], false, loss, e);
}

static int adaptive_rmu(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return steer(params, v[0], true, loss, e);
}

static int embed_diff(const void *params, struct view *const *v, double *loss, struct err *e)
{
    (void)params;
    struct hidden_target to = {.base = v[0]->ref_hidden, .stride = (size_t)v[0]->width};
    return hidden_add_distance(v[0], &to, loss, e);
}

const struct term term_rmu = {
    .name = "rmu",
    .paper = "arXiv 2403.03218",
    .formula = "mean_b (1/n_b) sum_t |h_t - steering_coeff u|^2 / C over the label tokens of b",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .params = rmu_params,
    .params_size = sizeof(struct steer),
    .loss = rmu,
    .layer = hidden_layer,
    .steers = true,
};

const struct term term_adaptive_rmu = {
    .name = "adaptive_rmu",
    .paper = "arXiv 2408.06223",
    .formula = "mean_b (1/n_b) sum_t |h_t - beta |h_t^ref| u|^2 / C over the label tokens of b",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = adaptive_params,
    .params_size = sizeof(struct steer),
    .loss = adaptive_rmu,
    .layer = hidden_layer,
    .steers = true,
};

const struct term term_embed_diff = {
    .name = "embed_diff",
    .paper = "arXiv 2403.03218",
    .formula = "mean_b (1/n_b) sum_t |h_t - h_t^ref|^2 / C over the label tokens of b",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = place_params,
    .params_size = sizeof(struct hidden_place),
    .loss = embed_diff,
    .layer = hidden_layer,
};
