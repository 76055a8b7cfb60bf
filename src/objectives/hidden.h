/* What the terms on hidden states share: after which layer they look, and the mean over label
 * tokens. The token itself must be a label, as RMU's code has it, not the one it predicts.
 */
#ifndef OBJECTIVES_HIDDEN_H
#define OBJECTIVES_HIDDEN_H

#include "train/term.h"

/* The first field of a term's parameters. */
struct hidden_place {
    int64_t layer;            /* 0-based */
    const char *module_regex; /* the peer's way to say it: "model\.layers\.7"; NULL: layer */
};

/* Their rows in its table. */
#define HIDDEN_PLACE                                                                               \
    {"layer", PARAM_INT, offsetof(struct hidden_place, layer),                                     \
     0,       9999,      NULL,                                                                     \
     "7",     NULL,      "looks at the hidden states after this layer, counted from 0"},           \
    {                                                                                              \
        "module_regex", PARAM_STRING, offsetof(struct hidden_place, module_regex), 0, 0, NULL,     \
            NULL, "REGEX", "the layer as the peer names it: 'model\\.layers\\.7'"                  \
    }

/* The layer, or -1 if module_regex does not hold one number. */
int hidden_layer(const void *params);

/* Where hidden states should be: token t at scale[t] * row, row = base + t * stride. */
struct hidden_target {
    const float *base;
    size_t stride;       /* 0: one row for all; C: a row a token */
    const double *scale; /* [N]; NULL: 1 */
};

/* Adds mean_b (1/n_b) sum over the label tokens t of b of mean_c (h_tc - target_tc)^2, n_b their
 * number; a sequence without labels adds nothing. Under COMPAT_RMU_BXB the mean over the B x B
 * matrix S_i / n_j of this micro-batch, which is what dividing [B] by [B,1] gives. */
int hidden_add_distance(struct view *v, const struct hidden_target *to, double *loss,
                        struct err *e);

#endif
