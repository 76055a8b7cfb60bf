/* Ensembles: a model with others stands for the mean of the next-token probabilities of itself and
 * them, token by token (SISA's shards, run/sharding.h). Generation, over sessions, and scoring take
 * one as they take a model; what needs gradients or one set of weights refuses it.
 */
#ifndef MODEL_ENSEMBLE_H
#define MODEL_ENSEMBLE_H

#include "model/model.h"

enum { ENSEMBLE_RULE_MOST = 4 }; /* members besides the first that a rule joins */

/* What the members' logits make together, if not the mean of their probabilities: changes z
 * [vocab], the first member's; others[k] [vocab] are those of the rest. */
struct logits_rule {
    void (*join)(void *ctx, float *z, const float *const *others, int vocab);
    void *ctx; /* borrowed */
};

/* Gives a model open for reading n others, which it then owns (the array, too). They must share its
 * vocabulary; on failure they are closed. */
int ensemble_add(struct model *m, struct model *others, int n, struct err *e);
/* An error if it has others, or a guard (model/guarded.h). `what` does not take it: "gradients". */
int ensemble_refuse(const struct model *m, const char *what, struct err *e);
/* Joins member k of n: after the last one, out [rows,V] = log mean_k softmax(z_k), where z [rows,V]
 * are the member's logits. Of the first member out may be z. */
void ensemble_join(const struct ops *o, device float *out, const device float *z, int k, int n,
                   int rows, int vocab);

/* The same by a rule, of rows [rows,vocab] of n members: z[0] becomes the result. */
void ensemble_apply(const struct ops *o, const struct logits_rule *rule, device float *const *z,
                    int n, int rows, int vocab);

#endif
