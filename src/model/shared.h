/* A packed forward pass over sequences that begin alike: a token that several have in common, with
 * all before it in common too, is computed once. A sequence's own tokens are those behind what it
 * shares with the one before it; their keys are its whole path.
 */
#ifndef MODEL_SHARED_H
#define MODEL_SHARED_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/model.h"

struct shared {
    struct batch batch; /* own tokens only: N of them */
    int n_paths;        /* tokens of all paths */
    int *start;         /* [S+1] where each path begins */
    int *token;         /* [n_paths] the token of the batch at each place */
};

/* Tokens that a and b have in common at their beginning: equal ids and masks. */
int shared_prefix(const struct seq *a, const struct seq *b);

/* seqs[i] shares its first common[i] tokens with seqs[i-1]; common[0] = 0. All arrays live in `a`.
 */
int shared_pack(struct shared *s, const struct seq *seqs, const int *common, int n,
                const struct model_config *c, struct arena *a, struct err *e);
/* The last layer's output *x [N,C], in `a`. */
int shared_forward(struct model *m, const struct shared *s, float **x, struct arena *a,
                   struct err *e);

#endif
