/* Teacher-forced scoring: log-probabilities of the labels of many sequences, without a backward. */
#ifndef MODEL_SCORE_H
#define MODEL_SCORE_H

#include "base/err.h"
#include "base/log.h"
#include "base/seq.h"
#include "model/model.h"

struct score {
    int n;       /* labels of this sequence */
    float *logp; /* [n] natural log; borrowed from the scores' pool */
    int *best;   /* [n] argmax token at each label position */
    double nll;  /* -sum of logp, f64 */
};

struct scores {
    struct score *v; /* owned [n] */
    int n;
    float *logp; /* owned pools */
    int *best;
};

/* Sequences are packed into batches of at most `tokens` tokens (0: a good default), longest
 * together. `bar` may be NULL; else it is stepped by sequences done, starting from what it shows.
 */
int model_score(struct scores *out, struct model *m, const struct seq *seqs, int n, int tokens,
                struct progress *bar, struct err *e);
void scores_fini(struct scores *s);

#endif
