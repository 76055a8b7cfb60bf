/* Circuit breaker, by representation rerouting (arXiv 2406.04313): on the forget data hidden states
 * turn until they are orthogonal to the reference's; on the retain data embed_norm keeps them where
 * it has them. Means over label tokens. At the reference itself both derivatives vanish (the cosine
 * is at its top), so the first step follows rounding noise alone.
 * The paper shifts the weights over T steps from forget to retain; here they stay as given. */
#include <math.h>

#include "objectives/hidden.h"
#include "objectives/terms.h"

static const struct param params[] = {HIDDEN_PLACE, {0}};

/* A label token that is predicted: not the first of its sequence. Their number is mean_rows'. */
static bool counts(const struct view *v, int t)
{
    return v->scored[t] && t > 0 && v->token_seq[t] == v->token_seq[t - 1];
}

/* cos = h.r / |h||r|, d cos / dh = r / |h||r| - cos h / |h|^2. */
static int turn(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    (void)params_, (void)e;
    struct view *v = views[0];
    for (int t = 0; t < v->n_tokens; t++) {
        size_t at = (size_t)t * (size_t)v->width;
        const float *h = v->hidden + at, *r = v->ref_hidden + at;
        double hh = 0, rr = 0, hr = 0;
        for (int c = 0; c < v->width; c++) {
            hh += (double)h[c] * (double)h[c];
            rr += (double)r[c] * (double)r[c];
            hr += (double)h[c] * (double)r[c];
        }
        if (!counts(v, t) || hr <= 0)
            continue;
        double lengths = sqrt(hh) * sqrt(rr), cosine = hr / lengths;
        *loss += cosine / v->mean_rows;
        for (int c = 0; c < v->width; c++)
            v->dhidden[at + (size_t)c] +=
                (float)(((double)r[c] / lengths - cosine * (double)h[c] / hh) / v->mean_rows);
    }
    return 0;
}

static int keep(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    (void)params_, (void)e;
    struct view *v = views[0];
    for (int t = 0; t < v->n_tokens; t++) {
        size_t at = (size_t)t * (size_t)v->width;
        const float *h = v->hidden + at, *r = v->ref_hidden + at;
        double sum = 0;
        for (int c = 0; c < v->width; c++)
            sum += ((double)h[c] - (double)r[c]) * ((double)h[c] - (double)r[c]);
        if (!counts(v, t) || sum == 0)
            continue;
        double length = sqrt(sum);
        *loss += length / v->mean_rows;
        for (int c = 0; c < v->width; c++)
            v->dhidden[at + (size_t)c] +=
                (float)(((double)h[c] - (double)r[c]) / length / v->mean_rows);
    }
    return 0;
}

const struct term term_circuit_breaker = {
    .name = "circuit_breaker",
    .paper = "arXiv 2406.04313",
    .formula = "mean over label tokens of max(0, cos(h, h^ref))",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct hidden_place),
    .loss = turn,
    .layer = hidden_layer,
};

const struct term term_embed_norm = {
    .name = "embed_norm",
    .paper = "arXiv 2406.04313",
    .formula = "mean over label tokens of |h - h^ref|",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct hidden_place),
    .loss = keep,
    .layer = hidden_layer,
};
