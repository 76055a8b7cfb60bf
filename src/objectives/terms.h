/* The table of terms. Each file of this folder defines one term or a few related ones. */
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

#endif
