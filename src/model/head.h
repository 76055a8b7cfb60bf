/* The output head: from hidden rows to logits, for the rows that are asked for and no others, in
 * blocks of rows so that a block of logits [block, V] is all there ever is. A softmax is never
 * stored.
 */
#ifndef MODEL_HEAD_H
#define MODEL_HEAD_H

#include "base/arena.h"
#include "model/forward.h"

struct head {
    const struct pass *p;          /* borrowed: the hidden rows and the model */
    const struct label_rows *rows; /* borrowed; R rows */
    device float *x, *norm;        /* [R,C] gathered inputs, [R,C] after the final norm */
    struct norm_stats stats;       /* of x */
    device float *dnorm;           /* [R,C] gradient gathered by head_back, or NULL */
    device float *z;               /* [block,V] logits of rows first..first+held-1 */
    device float *capped;          /* a copy of z, for the backward of a soft cap; or NULL */
    int block, first, held;
};

/* Gathers and normalises the rows of p->x [N,C]; backward: dnorm is there too. */
int head_init(struct head *h, const struct pass *p, const struct label_rows *rows, bool backward,
              struct arena *a, struct err *e);
/* The rows of a block, of R rows; at most R, or a few where R is less. */
int head_block(const struct model_config *c, int n_rows);
/* Bytes that head_init takes for R rows, and head_finish_back with it; for planning. */
size_t head_bytes(const struct model_config *c, int n_rows, bool backward);
/* The logits of the block that starts at row `first` (a multiple of h->block): h->z, *n rows.
 * Computed only if they are not held already, so a set that fits one block is computed once for
 * forward and backward. The caller may overwrite h->z, and then says so by head_drop. */
device float *head_logits(struct head *h, int first, int *n);
void head_drop(struct head *h);
/* In what follows grads may be NULL: none are wanted. Takes d loss / d logits of the block that
 * starts at `first`, whose logits head_logits gave last (dz [n,V], overwritten): adds to the head's
 * gradient in grads (skipped if it is frozen) and to dnorm. */
void head_back(struct head *h, int first, int n, device float *dz, device float *grads);
/* Through the norm and back to the tokens: adds to dhidden [N,C] and the norm's gradient. */
int head_finish_back(struct head *h, device float *dhidden, device float *grads, struct arena *a,
                     struct err *e);

/* On the host: log-probabilities of the rows' labels; lse and best (argmax) may be NULL. All [R].
 */
void head_logp(struct head *h, float *logp, float *lse, int *best);
/* A label from softmax(z), z [V] on the host: where the cumulated probability passes u in [0,1). */
int head_draw(const float *z, int vocab, double u);
/* From g [R] = d loss / d logp, with the lse that head_logp gave. */
void head_logp_back(struct head *h, const float *g, const float *lse, device float *grads);

#endif
