/* Hidden states that stay where the reference has them, after every layer: the retain terms of TAR
 * (arXiv 2408.00761), of its main stage, mean over layers and tokens of |h - h_ref|, and of its
 * first one, of |h - h_ref|^2 / C. All tokens count. (Its code counts padding and the embeddings
 * too, and the last states after the final norm; the square's mean over the width is ours.) */
#include <math.h>

#include "objectives/hidden.h"
#include "objectives/terms.h"

static const struct param params[] = {
    {"last_layer", PARAM_INT, offsetof(struct hidden_place, layer), 0, 9999, NULL, "9999", NULL,
     "looks after every layer up to this one, counted from 0; 9999: all"},
    {0},
};

/* One token's |d|, or |d|^2 / C, d = h - r; dh += share * d/dh. */
static double distance(const float *h, const float *r, int n, bool square, float *dh, double share)
{
    double sum = 0;
    for (int c = 0; c < n; c++)
        sum += ((double)h[c] - (double)r[c]) * ((double)h[c] - (double)r[c]);
    double length = sqrt(sum), slope = square ? 2.0 / n : length > 0 ? 1 / length : 0;
    for (int c = 0; c < n; c++)
        dh[c] += (float)(((double)h[c] - (double)r[c]) * slope * share);
    return square ? sum / n : length;
}

static void add(struct view *v, bool square, double *loss)
{
    double share = 1 / (v->mean_tokens * v->n_layers);
    for (int t = 0; t < v->n_tokens; t++) {
        size_t at = (size_t)t * (size_t)v->width;
        *loss +=
            distance(v->hidden + at, v->ref_hidden + at, v->width, square, v->dhidden + at, share) *
            share;
    }
}

static int stay(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    (void)params_, (void)e;
    add(views[0], false, loss);
    return 0;
}

static int stay_square(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    (void)params_, (void)e;
    add(views[0], true, loss);
    return 0;
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
    .loss = stay,
    .layer = hidden_layer,
    .all_layers = true,
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
    .loss = stay_square,
    .layer = hidden_layer,
    .all_layers = true,
};
