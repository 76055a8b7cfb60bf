/* Shadow models: models trained like the target on random halves of a pool of rows, then unlearned
 * of that half like the model under attack (U-LiRA, arXiv 2403.01218). Models come in pairs that
 * share the pool between them, so that every row is in the data of exactly half of them.
 *
 * DIR/K/ has the rows of model K, and scores.json once it was trained and scored: the two models
 * are then removed, unless they are to be kept. An interrupted attack resumes there.
 */
#ifndef ATTACK_SHADOW_H
#define ATTACK_SHADOW_H

#include "attack/attack.h"

struct shadow_params {
    int64_t shadows;
    const char *base, *train_options, *unlearn_options, *shadow_dir;
    bool keep_shadows;
    double offline_a, gamma;
};

/* The rows that shadow models are trained on or not, and others that none is. */
struct shadow_pool {
    const json_t **row; /* owned [n], borrowed rows */
    struct seq *seqs;   /* owned [n + n_population] */
    int n, members;     /* the first so many are forget rows, the others holdout rows */
    int n_population;
};

int shadow_pool_open(struct shadow_pool *p, const struct attack_run *a, struct err *e);
void shadow_pool_fini(struct shadow_pool *p);

/* Probabilities exp(-mean loss) of the rows under shadow model k. */
struct shadow {
    unsigned char *in; /* owned [n]: it was trained on this row */
    double *trained;   /* owned [n + n_population] */
    double *unlearned; /* owned [n]: after unlearning; the same as trained if nothing unlearns */
};

/* All of them, out[shadows], zeroed: those that are not in the directory yet are trained. */
int shadow_make(struct shadow *out, struct attack_run *a, const struct shadow_params *p,
                const struct shadow_pool *pool, struct err *e);
void shadow_fini(struct shadow *s);

/* exp(-mean loss) of sequences under a model, p [n]. */
int shadow_score(double *p, struct attack_run *a, struct model *m, const struct seq *seqs, int n,
                 struct err *e);

#endif
