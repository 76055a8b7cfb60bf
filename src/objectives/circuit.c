/* Circuit breaker, by representation rerouting (arXiv 2406.04313): hidden states of the forget
 * data are made orthogonal to the reference's; on the retain data embed_norm keeps them close to
 * it. Means over label tokens. At the reference both derivatives vanish (the cosine is at its
 * maximum), so that the first step is determined by rounding errors.
 * The paper moves the weights over T steps from forget to retain (the weighting "breaker"). */
#include <math.h>

#include "objectives/terms.h"

static const struct param params[] = {HIDDEN_PLACE, {0}};

/* cos = h.r / |h||r|, d cos / dh = r / |h||r| - cos h / |h|^2. */
static double turn(const void *none, const struct state_view *s, float *dh)
{
    (void)none;
    double hh = hidden_dot(s->h, s->h, s->width), rr = hidden_dot(s->ref, s->ref, s->width);
    double hr = hidden_dot(s->h, s->ref, s->width);
    if (hr <= 0)
        return 0;
    double lengths = sqrt(hh) * sqrt(rr), cosine = hr / lengths;
    for (int c = 0; c < s->width; c++)
        dh[c] += (float)(((double)s->ref[c] / lengths - cosine * (double)s->h[c] / hh) * s->share);
    return cosine;
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
    .hidden = {.state = turn, .layer = hidden_layer},
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
    .hidden = {.state = hidden_apart, .layer = hidden_layer},
};
