/* LUNAR (arXiv 2502.07218): on the prompts to forget, the states after one layer go where they are
 * when the model refuses: to h_ref + coeff r, r = mean of the last prompt token's state over
 * prompts that the reference refuses, less that over the prompts to forget. On retained prompts
 * they stay. Only the layer's down-projection moves (locate). Means over all prompt tokens, and
 * over the width.
 */
#include "objectives/hidden.h"
#include "objectives/terms.h"

struct redirect {
    struct hidden_place place;
    double coeff;
};

static const struct param redirect_params[] = {
    HIDDEN_PLACE,
    {"coeff", PARAM_REAL, offsetof(struct redirect, coeff), -1e6, 1e6, NULL, "2", NULL,
     "how far in the direction of refusal"},
    {0},
};

static const struct param place_params[] = {HIDDEN_PLACE, {0}};

/* Mean over prompt tokens of |h - h_ref - coeff r|^2 / C. */
static void add_distance(struct view *v, double coeff, double *loss)
{
    double share = 1 / (v->mean_prompts * v->width);
    bool answer = false;
    for (int t = 0; t < v->n_tokens; t++) {
        size_t at = (size_t)t * (size_t)v->width;
        bool first = t == 0 || v->token_seq[t] != v->token_seq[t - 1];
        answer = (!first && answer) || v->scored[t];
        if (answer)
            continue;
        for (int c = 0; c < v->width; c++) {
            size_t i = at + (size_t)c;
            double d = (double)v->hidden[i] - (double)v->ref_hidden[i];
            d -= coeff != 0 ? coeff * (double)v->direction[c] : 0;
            *loss += d * d * share;
            v->dhidden[i] += (float)(2 * d * share);
        }
    }
}

static int redirect(const void *params, struct view *const *v, double *loss, struct err *e)
{
    const struct redirect *p = params;
    if (!v[0]->direction)
        return err_set(e, "no direction of refusal: the batch has no 'control_vec'");
    add_distance(v[0], p->coeff, loss);
    return 0;
}

static int embed_prompt(const void *params, struct view *const *v, double *loss, struct err *e)
{
    (void)params, (void)e;
    add_distance(v[0], 0, loss);
    return 0;
}

const struct term term_redirect = {
    .name = "redirect",
    .paper = "arXiv 2502.07218",
    .formula = "mean over prompt tokens of |h - h^ref - coeff r|^2 / C, r = where refusal is",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = redirect_params,
    .params_size = sizeof(struct redirect),
    .loss = redirect,
    .layer = hidden_layer,
    .redirects = true,
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
    .loss = embed_prompt,
    .layer = hidden_layer,
};
