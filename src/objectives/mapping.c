/* Random mapping, the first stage of tamper-resistant safeguards (TAR, arXiv 2408.00761): hidden
 * states of forget data are aligned with a random vector that is fixed for each token id,
 *   mean over layers and tokens of 1 - cos(h_t, r(token_t)),  r(i) ~ N(0,1)^C from a stream of i,
 * so that they encode only the token's identity. The mean is over all tokens.
 *
 * That the target is hashed from the token, that the loss is this cosine, and that every layer is
 * used are from memory of the paper; its table of vectors, learning rate and number of steps were
 * not available. */
#include <math.h>

#include "base/rng.h"
#include "objectives/terms.h"

struct mapping {
    struct hidden_place place;
    int64_t map_seed;
};

static const struct param params[] = {
    LAST_LAYER,
    INT_PARAM(struct mapping, map_seed, 0, 4294967295.0, 0,
              "seed of the vectors that tokens are mapped to"),
    {0},
};

/* A state of length 0 has no direction and gets no derivative. r is drawn twice, for h . r and |r|,
 * and for the derivative, instead of being stored. */
static double map(const void *params_, const struct state_view *s, float *dh)
{
    const struct mapping *p = params_;
    double hh = hidden_dot(s->h, s->h, s->width), hr = 0, rr = 0;
    struct rng g;
    rng_stream(&g, (uint32_t)p->map_seed, RNG_NOISE, (uint32_t)s->token);
    for (int c = 0; c < s->width; c++) {
        double r = (double)(float)rng_normal(&g);
        hr += (double)s->h[c] * r;
        rr += r * r;
    }
    if (hh == 0 || rr == 0)
        return 1;
    double lengths = sqrt(hh) * sqrt(rr), cosine = hr / lengths;
    rng_stream(&g, (uint32_t)p->map_seed, RNG_NOISE, (uint32_t)s->token);
    for (int c = 0; c < s->width; c++) {
        double r = (double)(float)rng_normal(&g);
        dh[c] -= (float)((r / lengths - cosine * (double)s->h[c] / hh) * s->share);
    }
    return 1 - cosine;
}

const struct term term_random_map = {
    .name = "random_map",
    .paper = "arXiv 2408.00761",
    .formula = "mean over layers and tokens of 1 - cos(h, r(token)), r ~ N(0,1) for each token id",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct mapping),
    .hidden = {.state = map, .mean = MEAN_ALL_TOKENS, .layer = hidden_layer, .all_layers = true},
};
