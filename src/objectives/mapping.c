/* Random mapping, the first stage of tamper-resistant safeguards (TAR, arXiv 2408.00761): hidden
 * states of forget data turn towards a random vector that is fixed for each token id,
 *   mean over layers and tokens of 1 - cos(h_t, r(token_t)),  r(i) ~ N(0,1)^C from a stream of i,
 * so that nothing but the token's own identity is left in them. All tokens count.
 *
 * That the target is hashed from the token, that the loss is this cosine, and that every layer is
 * looked at are from memory of the paper; its table of vectors, its learning rate and its number of
 * steps were not at hand. */
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "objectives/hidden.h"
#include "objectives/terms.h"

struct mapping {
    struct hidden_place place;
    int64_t seed;
};

static const struct param params[] = {
    {"last_layer", PARAM_INT, offsetof(struct mapping, place.layer), 0, 9999, NULL, "9999", NULL,
     "looks after every layer up to this one, counted from 0; 9999: all"},
    {"map_seed", PARAM_INT, offsetof(struct mapping, seed), 0, 4294967295.0, NULL, "0", NULL,
     "of the vectors that tokens are mapped to"},
    {0},
};

/* r, and its length. */
static double draw(float *r, int n, uint32_t seed, int token)
{
    struct rng g;
    double sum = 0;
    rng_stream(&g, seed, RNG_NOISE, (uint32_t)token);
    for (int c = 0; c < n; c++) {
        r[c] = (float)rng_normal(&g);
        sum += (double)r[c] * (double)r[c];
    }
    return sqrt(sum);
}

/* 1 - cos of one token's state h [C] to r [C]; dh += share * d/dh. A state of length 0 has no
 * direction, and stays. */
static double turn(const float *h, const float *r, double r_length, int n, float *dh, double share)
{
    double hh = 0, hr = 0;
    for (int c = 0; c < n; c++) {
        hh += (double)h[c] * (double)h[c];
        hr += (double)h[c] * (double)r[c];
    }
    if (hh == 0 || r_length == 0)
        return 1;
    double lengths = sqrt(hh) * r_length, cosine = hr / lengths;
    for (int c = 0; c < n; c++)
        dh[c] -= (float)(((double)r[c] / lengths - cosine * (double)h[c] / hh) * share);
    return 1 - cosine;
}

static int map(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct mapping *p = params_;
    struct view *v = views[0];
    double share = 1 / (v->mean_tokens * v->n_layers);
    size_t c = (size_t)v->width, n = (size_t)v->n_tokens;
    double *each = mem_alloc(n, sizeof *each, e);
    float *r = each ? mem_alloc(n * c, sizeof *r, e) : NULL;
    if (!r) {
        free(each);
        return -1;
    }
#pragma omp parallel for schedule(static) if (n * c > 1 << 14)
    for (size_t t = 0; t < n; t++) {
        double length = draw(r + t * c, v->width, (uint32_t)p->seed, v->token[t]);
        each[t] = turn(v->hidden + t * c, r + t * c, length, v->width, v->dhidden + t * c, share);
    }
    for (size_t t = 0; t < n; t++)
        *loss += each[t] * share;
    free(each);
    free(r);
    return 0;
}

const struct term term_random_map = {
    .name = "random_map",
    .paper = "arXiv 2408.00761",
    .formula = "mean over layers and tokens of 1 - cos(h, r(token)), r ~ N(0,1) for each token id",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct mapping),
    .loss = map,
    .layer = hidden_layer,
    .all_layers = true,
};
