/* What an evaluation needs of a model: the losses of given answers, its own answers, and norms of
 * gradients. A struct scorer is that model, whatever runs it; suites are written and tested against
 * it alone.
 */
#ifndef EVAL_SCORES_H
#define EVAL_SCORES_H

#include "base/err.h"
#include "data/dataset.h"
#include "eval/stops.h"
#include "model/divergence.h"
#include "model/score.h"

/* What a model says to one prompt. All texts are decoded without special tokens and with tidied
 * spaces (textclean.h), valid UTF-8 without NUL, owned. */
struct answer {
    char *input;  /* what stands before the first label: the prompt */
    char *whole;  /* the whole sequence: prompt and true answer */
    char *answer; /* the new tokens, greedily chosen */
};

void answers_free(struct answer *a, int n);

struct scorer {
    void *ctx;
    /* Teacher-forced scores of every sequence, of the whole distribution if that is asked for;
     * scores_fini(out) is due when it succeeded. */
    int (*score)(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                 struct err *e);
    /* Continues the prompt of every sequence as far as its limits[d->n] say, up to an end token.
     * Fills out[d->n], zeroed before; on failure what is filled belongs to the caller all the same.
     */
    int (*generate)(void *ctx, const struct dataset *d, const struct answer_limit *limits,
                    struct answer *out, struct err *e);
    /* Gradient norms (eval/gradnorm.h) in out[d->n]. */
    int (*gradnorm)(void *ctx, const struct dataset *d, double *out, struct err *e);
    /* Extraction likelihood by n-grams (eval/extract.h) of every sequence, in out[d->n]. */
    int (*extract)(void *ctx, const struct dataset *d, int n, double *out, struct err *e);
    /* Text of the ids, without special tokens, owned by the caller; NULL on failure. */
    char *(*decode)(void *ctx, const int *ids, int n, struct err *e);
    const char *eos; /* text of the end token: an answer is cut there; NULL: none */
};

/* A model and the retrained one, asked side by side: fills out[d->n], where the retrained model is
 * the other one of model/divergence.h. */
struct comparer {
    void *ctx;
    int (*compare)(void *ctx, const struct dataset *d, struct divergence *out, struct err *e);
};

#endif
