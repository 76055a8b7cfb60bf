/* Forward and backward passes over rows of data, with the derivative of the logits given by the
 * caller: what curvature and Kronecker factors are computed from. Without dropout.
 */
#ifndef INFLUENCE_PASSES_H
#define INFLUENCE_PASSES_H

#include "base/rng.h"
#include "model/head.h"

/* Zeroed before its first use; row_pass_fini is due in every case. */
struct row_pass {
    struct arena arena; /* reset by each forward */
    struct batch batch;
    struct label_rows rows; /* the scored rows of logits, R of them */
    struct pass pass;
    struct head head;
    device float *dx; /* [N,C] d loss / d pass.x; NULL: without `keep` */
};

/* Packs n sequences and runs them; keep: activations, for row_pass_back. `tap` sees the layers'
 * products; NULL: none. */
int row_pass_forward(struct row_pass *p, struct model *m, const struct seq *seqs, int n, bool keep,
                     const struct linear_tap *tap, struct err *e);
/* Draws every label from the model's softmax, for the true Fisher instead of the empirical one. */
void row_pass_draw(struct row_pass *p, struct rng *r);
/* The backward of the sum over scored tokens of the NLL; *loss gets that sum. grads: flat by
 * weight.at, added to; NULL: none. */
int row_pass_back_nll(struct row_pass *p, device float *grads, double *loss, struct err *e);
/* The backward once head_back has taken the derivative of all logits. */
int row_pass_back(struct row_pass *p, device float *grads, struct err *e);
void row_pass_fini(struct row_pass *p);

#endif
