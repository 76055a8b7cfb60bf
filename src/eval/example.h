/* Scores of one example from its teacher-forced pass (struct score): memorisation and membership
 * inference. N is the number of its scored tokens, lp their log-probabilities in nats. A higher
 * attack score means less likely a member.
 */
#ifndef EVAL_EXAMPLE_H
#define EVAL_EXAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/score.h"

/* -sum lp / N; NaN if N = 0. */
double example_loss(const struct score *s);
/* The same example without its last token, as in OpenUnlearning; borrows from s. */
struct score example_drop_last(const struct score *s);

/* Share of tokens that are the model's argmax, given the reference tokens before (arXiv 2205.10770;
 * the memorisation accuracy of arXiv 2210.01504). NaN if N = 0. */
double example_exact(const struct score *s);
/* 1 - k/N for the smallest k from which on every token is the argmax (arXiv 2012.07805); 0 if
 * the last is wrong. `floor`: at least 1/N, since OpenUnlearning's loop ends before N. */
double example_strength(const struct score *s, bool floor);

/* Mean of -lp over the share k of tokens with the smallest lp, at least one of them (arXiv
 * 2310.16789); 0 if N = 0. Both fail only for lack of memory. */
int example_min_k(const struct score *s, double k, double *out, struct err *e);
/* The same for (lp - mean) / deviation, both of log p over the vocabulary (arXiv 2404.02936). Needs
 * scores with the distribution. */
int example_min_k_plus_plus(const struct score *s, double k, double *out, struct err *e);

/* Mean entropy in nats, and mean of 1 / (1 + rank): 1 if every token is the argmax. NaN if N = 0 or
 * the distribution was not computed. */
double example_entropy(const struct score *s);
double example_reciprocal_rank(const struct score *s);

/* Size in bytes of the text compressed by zlib at its default level; the zlib attack divides the
 * loss by it (arXiv 2012.07805). */
int example_zlib_bytes(const char *text, size_t *bytes, struct err *e);

#endif
