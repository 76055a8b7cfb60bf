/* What an evaluation needs of a model: the losses of given answers, and its own answers. A struct
 * scorer is that model, whatever runs it; suites are written and tested against it alone.
 */
#ifndef EVAL_SCORES_H
#define EVAL_SCORES_H

#include "base/err.h"
#include "data/dataset.h"

/* Teacher-forced result of one sequence with n labels, in nats. */
struct seq_score {
    double nll;  /* sum over the labels of -log p(label) */
    int n;       /* labels */
    float *logp; /* [n] log p of each label in order; points into the pool */
};

struct scores {
    struct seq_score *v; /* [n] owned, one per sequence of the data set */
    int n;
    float *pool; /* owned */
};

/* Room for the sequences of d; n and logp of each are set, the numbers are zero. */
int scores_init(struct scores *s, const struct dataset *d, struct err *e);
void scores_fini(struct scores *s);
/* nll / n: the length-normalised loss; NaN where nothing is scored. */
double scores_mean_loss(const struct seq_score *s);

/* One greedy answer. All texts are decoded without special tokens and with tidied spaces
 * (textclean.h), valid UTF-8 without NUL, owned. */
struct generation {
    char *input;  /* what stands before the first label: the prompt */
    char *whole;  /* the whole sequence: prompt and true answer */
    char *answer; /* the new tokens */
};

void generations_free(struct generation *g, int n);

struct scorer {
    void *ctx;
    /* Fills the numbers of `out`, made by scores_init for the same data set. */
    int (*score)(void *ctx, const struct dataset *d, struct scores *out, struct err *e);
    /* Continues the prompt of every sequence by at most max_new tokens, up to an end token. Fills
     * out[d->n], zeroed before; on failure what is filled belongs to the caller all the same. */
    int (*generate)(void *ctx, const struct dataset *d, int max_new, struct generation *out,
                    struct err *e);
    const char *eos; /* text of the end token: an answer is cut there; NULL: none */
};

#endif
