/* Scores of one example: from its teacher-forced pass, its gradient, its greedy continuations. */
#ifndef EVAL_EXAMPLE_H
#define EVAL_EXAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/seq.h"
#include "model/model.h"
#include "model/score.h"

/* Scores of one example from its teacher-forced pass (struct score): memorisation and membership
 * inference. N is the number of its scored tokens, lp their log-probabilities in nats. A higher
 * attack score means less likely a member.
 */

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

/* Gradient norm attack on membership: a training sequence has a small gradient.
 *
 * The gradient of a layer's matrix is dW = dy^T x, for n tokens, and
 *     |dW|^2 = sum over tokens s, t of (dy dy^T)[s,t] (x x^T)[s,t]
 * ("ghost clipping", arXiv 2110.05679, section 4), which costs n^2 (in + out) instead of n in out,
 * and no memory for dW. A linear tap accumulates it. For sequences so long that this costs more, dW
 * is computed, one matrix at a time.
 */

/* All weights must require gradients, as in a model just opened. Gradients of embedding, head,
 * norms and biases are computed; of the layers' matrices only the norms. Until gradnorm_fini the
 * model must not be used for anything else. */
struct gradnorm {
    struct model *m;     /* borrowed */
    device float *grads; /* owned, by weight.at */
    double *square;      /* owned [table.n] |dW|^2 of a layer's matrix */
    device float *room;  /* in the arena: token products, or dW */
    struct arena a;
    bool drop_last; /* the last label is ignored, as in OpenUnlearning */
};

int gradnorm_init(struct gradnorm *g, struct model *m, bool drop_last, struct err *e);
/* *out = mean over the weight tensors of the L2 norm of d loss / d tensor, where the loss is the
 * mean over the sequence's labels of -log p; a tied head counts once. NaN without labels. */
int gradnorm_of(struct gradnorm *g, const struct seq *s, double *out, struct err *e);
void gradnorm_fini(struct gradnorm *g);

/* Extraction likelihood (arXiv 2210.01504): how much of a text the model generates from its
 * prefixes.
 */

/* EL_n of ids x[0..len): the mean over the prefixes x[0..t), t = first .. len-n, of
 *     |n-grams of f(x[0..t)) that are in x[t..len)| / |n-grams of x[t..len)|,
 * where f is the greedy continuation to length len. As in the authors' program, repeated n-grams of
 * f count each time. `first`, at least 1, is the length of the shortest prefix: 1 for a text, the
 * prompt's length for an answer. All prefixes are generated in one batch that shares their prefix
 * computation. NaN if there is no such prefix. The paper uses n = 10 and len = 200. */
int extract_likelihood(struct model *m, const int *ids, int len, int first, int n, double *out,
                       struct err *e);

#endif
