/* Corruptions of token embeddings (ECO, arXiv 2406.07933), and the search for their strength. */
#ifndef GUARD_ECO_H
#define GUARD_ECO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum eco_dims {
    ECO_FIRST,   /* the first n */
    ECO_DRAWN,   /* n that are drawn once, the same at all positions */
    ECO_LARGEST, /* the n largest in magnitude, of each position */
    ECO_HIGHEST, /* the n largest */
    ECO_LOWEST,  /* the n smallest */
    ECO_ORDER    /* none: positions change places */
};

enum eco_change {
    ECO_NOISE,
    ECO_SET_NOISE,
    ECO_ZERO,
    ECO_FLIP,
    ECO_ADD,
    ECO_SUBTRACT,
    ECO_REVERSE,
    ECO_SHUFFLE
};

struct eco_kind {
    const char *name; /* as in the authors' code */
    enum eco_dims dims;
    enum eco_change change;
};

extern const struct eco_kind eco_kinds[]; /* ends with a NULL name */
#define ECO_KINDS                                                                                  \
    "rand_noise_first_n|rand_noise_rand_n|rand_noise_top_k|set_rand_noise_first_n|"                \
    "zero_out_first_n|zero_out_top_k|flip_sign_first_n|flip_sign_top_k|add_value_first_n|"         \
    "sub_value_first_n|sub_value_top_k|add_value_least_k|reverse_order|shuffle"
const struct eco_kind *eco_kind_by_name(const char *name);

/* What one call needs, all borrowed; mask [n]: 1 where a position is corrupted. */
struct eco_call {
    const struct eco_kind *kind;
    int dims;           /* n above, at most the width */
    float strength;     /* what is added or subtracted */
    const float *noise; /* [corrupted positions, dims] of kinds with noise, scaled already */
    const int *drawn;   /* [dims] of ECO_DRAWN */
    const int *order;   /* [n] of ECO_ORDER: which position comes to each */
};

/* Changes x [n,width]. Fails only for lack of memory. set_rand_noise_first_n also zeroes the first
 * n dimensions of other positions, and the kinds that change the order ignore the mask, as the
 * authors' code does. */
int eco_corrupt(const struct eco_call *c, float *x, const uint8_t *mask, int n, int width,
                struct err *e);

/* The zeroth-order step on one strength: g = (f(s + eps) - f(max(s - eps, 1e-8))) / (2 eps);
 * returns max(s - lr g, least). f is asked through `forward` and `backward`, its two values. */
struct eco_search {
    double lr, eps, least;
};
double eco_step(const struct eco_search *o, double s, double forward, double backward);
/* The same on a vector [n] along the direction u [n], which has norm 1. */
void eco_step_vector(const struct eco_search *o, double *s, const double *u, int n, double forward,
                     double backward);

/* The threshold that at most floor(rate n) of the scores [n] of prompts to be kept are above: the
 * (floor(rate n) + 1)-th largest. The scores are sorted. */
double eco_threshold(double *scores, int n, double rate);

#endif
