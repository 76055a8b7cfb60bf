/* The distribution that tokens are sampled from: temperature, then the top_k likeliest (ties with
 * the last stay), then the fewest likeliest whose probability reaches top_p, at least one; as
 * transformers' logits processors, in that order.
 */
#ifndef ATTACK_EXTRACT_H
#define ATTACK_EXTRACT_H

#include "attack/attack.h"

struct warp {
    double temperature, top_p;
    int64_t top_k; /* 0: all */
};

/* ln p of a token, -INFINITY if it is left out, from a row of logits z [vocab]. Fails only for lack
 * of memory. */
int warp_logp(const struct warp *w, const float *z, int vocab, int token, double *logp,
              struct err *e);
/* Logits below the top_k largest become minus infinity. */
int warp_top_k(int64_t top_k, float *z, int vocab, struct err *e);

/* The log-probability of each example's labels under the warp, [d->n], by teacher forcing. */
int extract_logp(struct attack_run *a, const struct dataset *d, const struct warp *w, double *logp,
                 struct err *e);
/* Means over rows: exact_log_p, exact_p_in_n (that n samples have the exact answer), exact_possible
 * (the share of rows none of whose tokens is left out); row_log_p. */
void extract_put(const double *logp, int rows, int64_t n, json_t *block);

#endif
