/* The search for a perturbation of a pass (struct latent): steps along its derivative, and the ball
 * that it stays in. The inner attack of latent adversarial training and the attacks on continuous
 * inputs run it.
 */
#ifndef TRAIN_PERTURB_H
#define TRAIN_PERTURB_H

#include "train/engine.h"

enum perturb_rule { PERTURB_ADAM, PERTURB_SIGN };

struct perturb_options {
    enum perturb_rule rule; /* Adam with betas 0.9, 0.999 and eps 1e-8; or delta -= lr sign(d) */
    double lr;
    double decay;  /* decoupled weight decay of delta, of Adam */
    double radius; /* each vector is scaled to at most this L2 norm after a step; infinite: not */
};

/* Which tokens of a sequence are perturbed; prompt: those before the first label. */
enum perturb_tokens { PERTURB_ALL, PERTURB_PROMPT, PERTURB_LABELS };
extern const char perturb_token_sets[]; /* "all|prompt|labels" */
bool perturb_takes(enum perturb_tokens set, const struct seq *q, int t);

struct perturb {
    struct latent at;             /* to give to an engine: delta and ddelta are those below */
    device float *delta, *d;      /* [n,C] in the arena */
    device float *first, *second; /* [n,C] Adam's moments */
    const bool *moves;            /* [n] borrowed: vectors that are moved; NULL: all */
    long steps;                   /* made since perturb_reset */
};

/* n vectors of zeros, in `a`; `at` has the place and the layer. */
int perturb_init(struct perturb *p, const struct model *m, const struct latent *at, size_t n,
                 struct arena *a, struct err *e);
/* Zeros, and no memory of earlier steps. */
void perturb_reset(struct perturb *p, const struct model *m);
/* A step against p->d, which it uses up, and into the ball. */
void perturb_step(struct perturb *p, const struct model *m, const struct perturb_options *o);

#endif
