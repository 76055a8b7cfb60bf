/* Distance of hidden states from the reference's, after every layer: the retain terms of TAR
 * (arXiv 2408.00761), of its main stage, mean over layers and tokens of |h - h_ref|, and of its
 * first one, of |h - h_ref|^2 / C. The means are over all tokens. (TAR's code includes padding and
 * the embeddings, and the last states after the final norm; the mean over the width is ours.) */
#include "objectives/terms.h"

static const struct param params[] = {
    LAST_LAYER,
    {0},
};

static double square(const void *params_, const struct state_view *s, float *dh)
{
    (void)params_;
    return hidden_distance(s, s->ref, 1, dh);
}

const struct term term_embed_stay = {
    .name = "embed_stay",
    .paper = "arXiv 2408.00761",
    .formula = "mean over layers and tokens of |h - h^ref|",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct hidden_place),
    .hidden = {.state = hidden_apart,
               .mean = MEAN_ALL_TOKENS,
               .layer = hidden_layer,
               .all_layers = true},
};

const struct term term_embed_square = {
    .name = "embed_square",
    .paper = "arXiv 2408.00761",
    .formula = "mean over layers and tokens of |h - h^ref|^2 / C",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct hidden_place),
    .hidden = {.state = square, .mean = MEAN_ALL_TOKENS, .layer = hidden_layer, .all_layers = true},
};
