/* The engine: one forward and backward of all objectives on one micro-batch.
 *
 * All roles that some objective with a weight looks at are packed into one batch and go through the
 * decoder once. Logits are made only for the rows a term asks for. The reference model is run only
 * where a term sees its logits or hidden states; where log-probabilities are enough they are
 * computed once per example, before training, and kept.
 */
#ifndef TRAIN_ENGINE_H
#define TRAIN_ENGINE_H

#include "base/arena.h"
#include "base/rng.h"
#include "data/order.h"
#include "model/model.h"
#include "model/score.h"
#include "train/term.h"

#define ENGINE_MAX_OBJECTIVES 8

/* What an objective is for: a method is made of the first two; the others are what a wrapper looks
 * at beside it. A pass may serve some of the goals only. */
enum goal { GOAL_FORGET, GOAL_RETAIN, GOAL_WRAPPER };
#define GOAL_BIT(goal) (1u << (goal))
#define GOALS_METHOD   (GOAL_BIT(GOAL_FORGET) | GOAL_BIT(GOAL_RETAIN))
#define GOALS_ALL      (~0u)

/* weight * term, looking at role[0] (and its partner role[1]). */
struct objective {
    const struct term *term;
    const void *params; /* borrowed */
    enum role role[TERM_MAX_VIEWS];
    double weight;
    double factor;  /* of the weight, for now: train/weighting.h; engine_add makes it 1 */
    bool dual;      /* the weight moves, and may come back from 0; engine_add sets it */
    enum goal goal; /* GOAL_WRAPPER + k: the k-th of a wrapper */
};

/* A frozen model that terms look at beside the reference. */
struct helper_model {
    struct model *model;       /* borrowed; NULL: not there */
    const struct dataset *set; /* borrowed; what it reads in the place of each forget example, with
                                  the same labels; NULL: the example itself */
};

/* Reference log-probabilities of the examples of one role. */
struct ref_cache {
    struct scores scores;
    int *at; /* owned [set.n] index into scores, -1: not computed */
};

/* Tokens that its passes have read so far. */
struct engine_tokens {
    double trained[ROLE_COUNT]; /* in passes with a backward */
    double forward;             /* in passes without: of frozen models, or to look only */
};

/* A perturbation: vectors that are added to the hidden states of the forget role's tokens after one
 * layer, and the derivative there. */
struct latent {
    int layer;          /* 0-based */
    int n;              /* vectors, one a token */
    const float *delta; /* [n,C] borrowed */
    float *ddelta;      /* [n,C] borrowed, overwritten with d loss / d delta; NULL: not wanted */
    enum role too;      /* tokens of this role get that of the forget token at the same place of the
                         * sequence of the same number; ROLE_FORGET: of no other role */
};

struct engine {
    struct model *model; /* borrowed, trained by others */
    struct model *ref;   /* borrowed, frozen; NULL if nothing needs its logits */
    struct helper_model helper[HELPER_COUNT];
    const struct dataset *sets[ROLE_COUNT]; /* borrowed; NULL where absent */
    struct objective obj[ENGINE_MAX_OBJECTIVES];
    int n_obj;
    unsigned goals; /* which count for now; all at first */
    unsigned compat;
    int pad_id;                  /* for padded rows under compat */
    double l1;                   /* weight of the sum of |w| over the weights that move */
    const float *direction;      /* borrowed [C]; for terms on hidden states */
    uint32_t noise;              /* for terms that draw */
    double gap;                  /* for terms that want it */
    const struct latent *latent; /* borrowed; NULL: none */
    bool frozen;                 /* no gradient of weights is wanted */
    bool measuring;              /* losses are wanted as of the finished model: without dropout */
    float *grads;                /* owned, flat by weight.at; NULL until the first micro-batch */
    size_t grads_room;
    struct ref_cache ref_logp[ROLE_COUNT];
    struct engine_tokens tokens;
    struct arena arena;
};

#define ROLE_BIT(role) (1u << (role))

/* What the objectives that count for now need, all together. */
struct engine_plan {
    int layers;              /* of the deepest; those above are not run */
    unsigned kinds;          /* bits of enum view_kind */
    unsigned roles;          /* bits of roles that they see, */
    unsigned logp, ref_logp; /* whose label log-probabilities, or the reference's, they see, */
    unsigned padded;         /* and whose batch is padded, as they average over padding */
    unsigned helpers;        /* bits of helpers, in every micro-batch or for the gap */
    bool ref_model;          /* the reference's logits or hidden states: `ref` must be set */
    bool steered;            /* the random steering direction */
    const struct objective *redirected; /* the first that needs the direction of refusal, or NULL */
};

/* What means divide by: scored rows and sequences per role over one optimiser step of `micros`
 * micro-batches, and the scored rows that each objective's term does not skip. */
struct norm {
    double rows[ROLE_COUNT], seqs[ROLE_COUNT], kept[ENGINE_MAX_OBJECTIVES];
    double tokens[ROLE_COUNT], prompts[ROLE_COUNT]; /* all tokens, and those before a first label */
    int micros;
};

/* What one micro-batch gave: each objective's unweighted loss (its share, see struct norm), and
 * tokens read. */
struct micro_result {
    double loss[ENGINE_MAX_OBJECTIVES];
    long tokens;
};

void engine_init(struct engine *g, struct model *m);
void engine_fini(struct engine *g);
/* Adds an objective; the role's data must be there, else an error that names the option, and so
 * must the layer it looks at. */
int engine_add(struct engine *g, const struct objective *o, struct err *e);
/* It has a weight for now, and its goal counts. */
bool engine_counts(const struct engine *g, const struct objective *o);
/* Follows weights, factors and goals: ask again when one of them has changed. */
struct engine_plan engine_plan(const struct engine *g);
/* What its loss is multiplied by for now. */
double objective_weight(const struct objective *o);
/* Once the objectives are in place: weights that no gradient reaches do not move (AdamW would still
 * decay them). An error if none is left that does. */
int engine_hold_unreached(const struct engine *g, struct err *e);
/* Every helper that some term looks at is there, else an error that names the option. */
int engine_check_helpers(const struct engine *g, struct err *e);
/* Adds the gradient of l1 * sum |w| over the weights that move, and returns it (l1-sparse
 * unlearning, arXiv 2304.04934): once a step, since it is no mean over data. */
double engine_add_penalty(struct engine *g);
/* Computes the reference log-probabilities that the order will ask for, with `m` (the model before
 * its first step, or a separate reference). */
int engine_cache_reference(struct engine *g, struct model *m, const struct order *o, int first,
                           int n, struct err *e);
/* The counts for the micro-batches o[first..first+n). */
void engine_count(const struct engine *g, const struct order *o, int first, int n,
                  struct norm *norm);
/* Forward and backward: adds to g->grads. */
int engine_micro(struct engine *g, const struct micro *mb, const struct norm *norm,
                 struct micro_result *r, struct err *e);
/* For the curvature (Gauss-Newton-Bartlett): adds to g->grads the gradient of -1/n_labels sum log
 * p(y) over the scored rows of all roles in use, with labels y drawn from the model's own
 * distribution. */
int engine_sampled(struct engine *g, const struct micro *mb, double n_labels, struct rng *r,
                   long *tokens, struct err *e);
/* How many layers the objective's term needs. */
int objective_layers(const struct engine *g, const struct objective *o);
/* How many labels the objective leaves out at the start of each sequence. */
int objective_skip(const struct objective *o);
/* Room for the gradients of the weights that want one. engine_micro calls it. */
int engine_reserve_grads(struct engine *g, struct err *e);
void engine_zero_grads(struct engine *g);

#endif
