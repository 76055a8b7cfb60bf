/* Shared by terms on hidden states: their layer, and distances.
 */
#ifndef OBJECTIVES_HIDDEN_H
#define OBJECTIVES_HIDDEN_H

#include "train/term.h"

/* The first field of a term's parameters. */
struct hidden_place {
    int64_t layer;            /* 0-based */
    const char *module_regex; /* as in OpenUnlearning: "model\.layers\.7"; NULL: use `layer` */
};

/* Its rows in the term's parameter table. */
#define HIDDEN_PLACE                                                                               \
    INT_PARAM(struct hidden_place, layer, 0, 9999, 7,                                              \
              "uses the hidden states after this layer, counted from 0"),                          \
        STRING_PARAM(struct hidden_place, module_regex, NULL, "REGEX",                             \
                     "the layer as OpenUnlearning names it: 'model\\.layers\\.7'")

/* The row of a term that uses every layer up to one. */
#define LAST_LAYER                                                                                 \
    {                                                                                              \
        "last_layer", PARAM_INT, offsetof(struct hidden_place, layer), 0, 9999, NULL, "9999",      \
            NULL, "uses the states after every layer up to this one, counted from 0; 9999: all"    \
    }

/* The layer, or -1 if module_regex does not hold one number. */
int hidden_layer(const void *params);

/* mean_c (h_c - scale target_c)^2 of one state; dh += share * its derivative. */
double hidden_distance(const struct state_view *s, const float *target, double scale, float *dh);
/* `state` of terms: |h - ref|; no derivative where they are equal. */
double hidden_apart(const void *params, const struct state_view *s, float *dh);
/* a . b [n], summed in f64. */
double hidden_dot(const float *a, const float *b, int n);

#endif
