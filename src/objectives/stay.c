/* Hidden states that stay where the reference has them, after every layer: the retain term of TAR
 * (arXiv 2408.00761), mean over layers and tokens of |h - h_ref|. All tokens count. (Its code
 * counts padding and the embeddings too, and the last states after the final norm.) */
#include <math.h>

#include "objectives/hidden.h"
#include "objectives/terms.h"

static const struct param params[] = {
    {"last_layer", PARAM_INT, offsetof(struct hidden_place, layer), 0, 9999, NULL, "9999", NULL,
     "looks after every layer up to this one, counted from 0; 9999: all"},
    {0},
};

static int stay(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    (void)params_, (void)e;
    struct view *v = views[0];
    double share = 1 / (v->mean_tokens * v->n_layers);
    for (int t = 0; t < v->n_tokens; t++) {
        size_t at = (size_t)t * (size_t)v->width;
        double sum = 0;
        for (int c = 0; c < v->width; c++) {
            double d = (double)v->hidden[at + (size_t)c] - (double)v->ref_hidden[at + (size_t)c];
            sum += d * d;
        }
        double length = sqrt(sum);
        *loss += length * share;
        for (int c = 0; c < v->width && length > 0; c++) {
            double d = (double)v->hidden[at + (size_t)c] - (double)v->ref_hidden[at + (size_t)c];
            v->dhidden[at + (size_t)c] += (float)(d / length * share);
        }
    }
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
