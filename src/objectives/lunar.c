/* LUNAR (arXiv 2502.07218): the hidden states of the prompts to forget, after one layer, are moved
 * to those of a refusal: to h_ref + coeff r, r = mean of the last prompt token's state over prompts
 * that the reference refuses, minus that over the prompts to forget. On retain prompts they are
 * kept. Only the layer's down-projection is trainable (locate). Means over all prompt tokens, and
 * over the width.
 */
#include "objectives/terms.h"

struct redirect {
    struct hidden_place place;
    double coeff;
};

static const struct param redirect_params[] = {
    HIDDEN_PLACE,
    REAL_PARAM(struct redirect, coeff, -1e6, 1e6, 2, "multiple of the refusal direction"),
    {0},
};

static const struct param place_params[] = {HIDDEN_PLACE, {0}};

static double redirect(const void *params, const struct state_view *s, float *dh)
{
    const struct redirect *p = params;
    double sum = 0, share = s->share / s->width;
    for (int c = 0; c < s->width; c++) {
        double d = (double)s->h[c] - (double)s->ref[c] - p->coeff * (double)s->direction[c];
        sum += d * d;
        dh[c] += (float)(2 * d * share);
    }
    return sum / s->width;
}

static enum steer to_refusal(const void *params)
{
    (void)params;
    return STEER_REFUSAL;
}

static double stay(const void *params, const struct state_view *s, float *dh)
{
    (void)params;
    return hidden_distance(s, s->ref, 1, dh);
}

const struct term term_redirect = {
    .name = "redirect",
    .paper = "arXiv 2502.07218",
    .formula = "mean over prompt tokens of |h - h^ref - coeff r|^2 / C, r = the refusal direction",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = redirect_params,
    .params_size = sizeof(struct redirect),
    .hidden = {.state = redirect,
               .mean = MEAN_PROMPTS,
               .layer = hidden_layer,
               .direction = to_refusal},
};

const struct term term_embed_prompt = {
    .name = "embed_prompt",
    .paper = "arXiv 2502.07218",
    .formula = "mean over prompt tokens of |h - h^ref|^2 / C",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = place_params,
    .params_size = sizeof(struct hidden_place),
    .hidden = {.state = stay, .mean = MEAN_PROMPTS, .layer = hidden_layer},
};
