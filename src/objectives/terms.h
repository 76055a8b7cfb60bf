/* The table of terms, and what several of them share: sums and losses of one row of logits, the
 * layer and the distances of hidden states. Each file of this folder defines one term or a few
 * related ones.
 */
#ifndef OBJECTIVES_TERMS_H
#define OBJECTIVES_TERMS_H

#include "train/term.h"

extern const struct term term_nll, term_ascent, term_npo, term_simnpo, term_wga, term_satimp;
extern const struct term term_dpo, term_undial, term_ceu, term_pdu, term_constraint, term_kl;
extern const struct term term_kl_ascent, term_distil, term_me, term_jsd_label, term_jsd, term_kto;
extern const struct term term_flat, term_rmu, term_adaptive_rmu, term_embed_diff;
extern const struct term term_circuit_breaker, term_embed_norm, term_nll_seq, term_ascent_seq;
extern const struct term term_preserve, term_cross_entropy, term_soul_kl, term_soul_kl_ascent;
extern const struct term term_mse, term_whp, term_rkld, term_kga, term_elm, term_likeliest_ref;
extern const struct term term_neg_entropy, term_noise_mmd, term_embed_stay, term_redirect;
extern const struct term term_embed_prompt, term_random_map, term_embed_square;
extern const struct term term_npo_token_mean, term_npo_raw_logits, term_simnpo_raw_logits;
extern const struct term term_unlikelihood;
extern const struct term *const terms[]; /* ends with NULL */

const struct term *term_by_name(const char *name, struct err *e);

/* Terms on logits: sums over one row, and losses of one row (struct logit_row). */

/* KL(softmax(z) || softmax(q)); with dz not NULL also share * d/dz = share * p (log p - log q -
 * KL). */
double row_reverse_kl(const float *z, const float *q, int n, float *dz, double share);
/* log sum_i exp(scale z_i). */
double log_sum_exp(const float *z, int n, double scale);
/* -sum_v q log p, q = softmax of `from`, a constant, with entry k lowered by `by` (INFINITY:
 * excluded). d/dz = p - q. */
double row_soft_target(const struct logit_row *r, const float *from, int k, double by);
/* T^2 KL(softmax(ref / T) || softmax(z / T)), T the temperature. d/dz = T (p_T - q_T). */
double row_kl(const struct logit_row *r, double temperature);

/* The first field of the parameters of a term that compares whole distributions, and its row in the
 * parameter table. */
struct row_choice {
    bool kl_all_positions;
};

#define ROW_CHOICE                                                                                 \
    COMPAT_PARAM(                                                                                  \
        struct row_choice, kl_all_positions,                                                       \
        "mean over every position of the padded batch, not only those that predict a label")

/* `rows` of such a term. */
enum row_set row_choice(const void *params);

/* Terms on hidden states. */

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
