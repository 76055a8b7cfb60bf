#include "objectives/terms.h"

#include <strings.h>

const struct term *const terms[] = {
    &term_nll,
    &term_ascent,
    &term_nll_seq,
    &term_ascent_seq,
    &term_unlikelihood,
    &term_npo,
    &term_npo_token_mean,
    &term_npo_raw_logits,
    &term_simnpo,
    &term_simnpo_raw_logits,
    &term_wga,
    &term_satimp,
    &term_dpo,
    &term_kto,
    &term_flat,
    &term_preserve,
    &term_undial,
    &term_ceu,
    &term_pdu,
    &term_me,
    &term_jsd_label,
    &term_jsd,
    &term_kl,
    &term_distil,
    &term_kl_ascent,
    &term_cross_entropy,
    &term_soul_kl,
    &term_soul_kl_ascent,
    &term_mse,
    &term_whp,
    &term_rkld,
    &term_kga,
    &term_elm,
    &term_likeliest_ref,
    &term_constraint,
    &term_rmu,
    &term_adaptive_rmu,
    &term_embed_diff,
    &term_random_map,
    &term_embed_square,
    &term_circuit_breaker,
    &term_embed_norm,
    &term_neg_entropy,
    &term_noise_mmd,
    &term_embed_stay,
    &term_redirect,
    &term_embed_prompt,
    NULL,
};

const struct term *term_by_name(const char *name, struct err *e)
{
    const char *names[64];
    int n = 0;
    for (; terms[n]; n++) {
        if (!strcasecmp(terms[n]->name, name))
            return terms[n];
        names[n] = terms[n]->name;
    }
    const char *near = param_nearest(name, names, n);
    err_set(e, "unknown term '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    return NULL;
}
