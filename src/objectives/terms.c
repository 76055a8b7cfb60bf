#include "objectives/terms.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    return table_find(terms, "term", name, e);
}

double log_sum_exp(const float *z, int n, double scale)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, scale * (double)z[i]);
    for (int i = 0; i < n; i++)
        sum += exp(scale * (double)z[i] - top);
    return top + log(sum);
}

static double lowered(const float *z, int i, int k, double by)
{
    return i == k ? (double)z[i] - by : (double)z[i];
}

double row_soft_target(const struct logit_row *r, const float *from, int k, double by)
{
    double lse = log_sum_exp(r->z, r->n, 1), top = -INFINITY, sum = 0, loss = 0;
    for (int i = 0; i < r->n; i++)
        top = fmax(top, lowered(from, i, k, by));
    for (int i = 0; i < r->n; i++)
        sum += exp(lowered(from, i, k, by) - top);
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, q = exp(lowered(from, i, k, by) - top) / sum;
        loss -= q * lp;
        r->dz[i] = (float)((exp(lp) - q) * r->share);
    }
    return loss * r->share;
}

double row_reverse_kl(const float *z, const float *q, int n, float *dz, double share)
{
    double lse = log_sum_exp(z, n, 1), q_lse = log_sum_exp(q, n, 1), sum = 0;
    for (int i = 0; i < n; i++) {
        double lp = (double)z[i] - lse;
        sum += exp(lp) * (lp - ((double)q[i] - q_lse));
    }
    for (int i = 0; dz && i < n; i++) {
        double lp = (double)z[i] - lse;
        dz[i] = (float)(share * exp(lp) * (lp - ((double)q[i] - q_lse) - sum));
    }
    return sum;
}

double row_kl(const struct logit_row *r, double temperature)
{
    double scale = 1 / temperature, sum = 0;
    double lse = log_sum_exp(r->z, r->n, scale), ref_lse = log_sum_exp(r->ref, r->n, scale);
    for (int i = 0; i < r->n; i++) {
        double lp = scale * (double)r->z[i] - lse, lq = scale * (double)r->ref[i] - ref_lse;
        double q = exp(lq);
        sum += q * (lq - lp);
        r->dz[i] = (float)(temperature * (exp(lp) - q) * r->share);
    }
    return temperature * temperature * sum * r->share;
}

enum row_set row_choice(const void *params)
{
    return ((const struct row_choice *)params)->kl_all_positions ? ROWS_ALL : ROWS_SCORED;
}

static const char digits[] = "0123456789";

int hidden_layer(const void *params)
{
    const struct hidden_place *p = params;
    if (!p->module_regex)
        return (int)p->layer;
    const char *number = p->module_regex + strcspn(p->module_regex, digits);
    char *end;
    long layer = strtol(number, &end, 10);
    return end == number || layer > INT_MAX || strpbrk(end, digits) ? -1 : (int)layer;
}

double hidden_distance(const struct state_view *s, const float *target, double scale, float *dh)
{
    double sum = 0, share = s->share / s->width;
    for (int c = 0; c < s->width; c++) {
        double d = (double)s->h[c] - scale * (double)target[c];
        sum += d * d;
        dh[c] += (float)(2 * d * share);
    }
    return sum / s->width;
}

double hidden_apart(const void *params, const struct state_view *s, float *dh)
{
    (void)params;
    double sum = 0;
    for (int c = 0; c < s->width; c++)
        sum += ((double)s->h[c] - (double)s->ref[c]) * ((double)s->h[c] - (double)s->ref[c]);
    double length = sqrt(sum);
    for (int c = 0; c < s->width && sum > 0; c++)
        dh[c] += (float)(((double)s->h[c] - (double)s->ref[c]) / length * s->share);
    return length;
}

double hidden_dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int c = 0; c < n; c++)
        sum += (double)a[c] * (double)b[c];
    return sum;
}
