/* Which choice a model takes: the log-probability of each choice behind its context, in nats, as
 * lm-evaluation-harness 0.4.8 computes it. The context's tokens are those of the context alone, the
 * choice's are what follows them in the tokens of both together, a space between; no BOS is put in
 * front.
 */
#ifndef EVAL_CHOICE_SCORE_H
#define EVAL_CHOICE_SCORE_H

#include "eval/choice_task.h"
#include "eval/backend.h"
#include "text/tokenizer.h"

struct choice_score {
    int n;           /* choices */
    double *logp;    /* [n] owned: sum over the tokens of each */
    int best;        /* the most likely one, the first of equals */
    int best_letter; /* the same by log-probability per character */
    /* 1 where that is the right one, else 0. Where several are right, the share of the probability
     * that they have. */
    double acc, acc_norm;
};

/* Fills out[q->n], zeroed before; choice_scores_free is due also on failure. positions: what the
 * model reads at most; the last token of a choice is not read, and longer sequences lose their
 * beginning. */
int choice_score(struct choice_score *out, const struct questions *q, const struct tokenizer *tok,
                 const struct backend *model, int positions, struct err *e);
void choice_scores_free(struct choice_score *s, int n);
/* What of logp[n] makes the figures of `s`, from the question alone. */
void choice_judge(struct choice_score *s, const struct question *q);

#endif
