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

/* Logits below the top_k largest become minus infinity. */
int warp_top_k(int64_t top_k, float *z, int vocab, struct err *e);

/* Of the forget set's exact answers under the warp, by teacher forcing, means over rows:
 * exact_log_p, exact_p_in_n (that n samples have the exact answer), exact_possible (the share of
 * rows none of whose tokens is left out); row_log_p. */
int extract_measure(struct attack_run *a, const struct warp *w, int64_t n, json_t *block,
                    struct err *e);

#endif
