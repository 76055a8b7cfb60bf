/* Multiple-choice scoring: the log-probability of each choice given its context, in nats, as
 * lm-evaluation-harness 0.4.8 computes it. The context's tokens are those of the context alone, the
 * choice's are the rest of the tokens of context, space and choice; no BOS is added.
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
    /* 1 if that is the correct one, else 0. If several are correct, their share of the probability.
     */
    double acc, acc_norm;
};

/* Fills out[q->n], zeroed before; choice_scores_free is due also on failure. positions: the
 * model's maximum length; the last token of a choice is not an input, and longer sequences are
 * truncated on the left. */
int choice_score(struct choice_score *out, const struct questions *q, const struct tokenizer *tok,
                 const struct backend *model, int positions, struct err *e);
void choice_scores_free(struct choice_score *s, int n);
/* Fills the results of `s` from its logp[n] and the question. */
void choice_judge(struct choice_score *s, const struct question *q);

#endif
