/* The engine: one forward and backward pass of all objectives on one micro-batch.
 *
 * The sequences of all roles that an active objective reads are packed into one batch and run
 * through the decoder once. Logits are computed only for the rows that a term needs. The reference
 * model is run only if a term needs its logits or hidden states; where its log-probabilities are
 * enough they are computed once per example, before training, and cached.
 */
#ifndef TRAIN_ENGINE_H
#define TRAIN_ENGINE_H

#include "base/arena.h"
#include "base/rng.h"
#include "data/order.h"
#include "model/forward.h"
#include "model/score.h"
#include "train/term.h"

#define ENGINE_MAX_OBJECTIVES 8
#define ENGINE_MAX_HELPERS    4

/* The purpose of an objective: the first two are the method's, the others belong to a wrapper. A
 * pass may be restricted to some of the goals. */
enum goal { GOAL_FORGET, GOAL_RETAIN, GOAL_WRAPPER };
#define GOAL_BIT(goal) (1u << (goal))
#define GOALS_METHOD   (GOAL_BIT(GOAL_FORGET) | GOAL_BIT(GOAL_RETAIN))
#define GOALS_ALL      (~0u)

/* weight * term, on the data of role[0] (and of its partner role[1]). */
struct objective {
    const struct term *term;
    const void *params; /* borrowed */
    enum role role[TERM_MAX_VIEWS];
    double weight;
    double factor; /* current factor of the weight: train/weighting.h; engine_add sets 1 */
    bool dual;     /* the weight is a dual variable, and may be 0 for a while; engine_add sets it */
    enum goal goal; /* GOAL_WRAPPER + k: the k-th of a wrapper */
};

/* A helper model (train/term.h). */
struct helper_model {
    const char *name;          /* borrowed; NULL: this slot is free */
    struct model *model;       /* borrowed; NULL: none */
    const struct dataset *set; /* borrowed; its input for each forget example, with the same labels;
                                  NULL: the example itself */
};

/* Reference log-probabilities of the examples of one role. */
struct ref_cache {
    struct scores scores;
    int *at; /* owned [set.n] index into scores, -1: not computed */
};

/* Hidden states that a frozen model gives the examples of an objective: at the rows of a term on
 * logits, or at every token after each layer that a term on hidden states reads (frozen.c). */
struct kept_states {
    int *at;              /* owned [set.n] an example's first row, -1: not kept; NULL: nothing is */
    device float *states; /* owned [layers read][rows,C] */
    size_t rows;
};

/* Tokens processed so far. */
struct engine_tokens {
    double trained[ROLE_COUNT]; /* in passes with a backward */
    double forward;             /* in forward-only passes: of frozen models and of validation */
};

/* A perturbation of what a pass computes: vectors added to tokens of the forget role at one place,
 * and the derivative with respect to them. At PLACE_EMBED they are added to the rows of the
 * embedding as they are stored, before the model scales them. */
struct latent {
    enum place place;
    int layer;                 /* 0-based */
    int n;                     /* vectors */
    const int *of;             /* [forget tokens] borrowed: each token's vector, which several may
                                * share; -1: none. NULL: token i has vector i, and n tokens */
    const device float *delta; /* [n,C] borrowed */
    device float
        *ddelta;   /* [n,C] borrowed, overwritten with d loss / d delta; NULL: not computed */
    enum role too; /* tokens of this role get the vector of the forget token at the same position
                    * of the sequence with the same index; ROLE_FORGET: no second role */
};

struct engine {
    struct model *model; /* borrowed, updated by the caller */
    struct model *ref;   /* borrowed, frozen; NULL if nothing needs its logits */
    struct helper_model helper[ENGINE_MAX_HELPERS]; /* engine_helper finds one */
    const struct dataset *sets[ROLE_COUNT];         /* borrowed; NULL where absent */
    struct objective obj[ENGINE_MAX_OBJECTIVES];
    int n_obj;
    unsigned goals; /* active goals; all at first */
    unsigned compat;
    int pad_id;                  /* of the padded rows under compat switches */
    double l1;                   /* weight of the sum of |w| over the trainable weights */
    const float *direction;      /* borrowed [C]; for terms on hidden states */
    uint32_t noise;              /* seed of terms that draw random numbers */
    double gap;                  /* KGA's gap, for terms that use it */
    const struct latent *latent; /* borrowed; NULL: none */
    bool frozen;                 /* no gradient of weights is computed */
    bool recompute;              /* layers run again in the backward; their inputs alone are kept */
    bool alone;          /* prefixes that sequences of a micro-batch share are computed for each */
    bool measuring;      /* losses of the model in evaluation mode: without dropout */
    device float *grads; /* owned, flat by weight.at; NULL until the first micro-batch */
    size_t grads_room;
    bool *
        unset; /* owned [n_unset] by weight: its part of grads holds nothing yet (struct forward) */
    int n_unset;
    struct ref_cache ref_logp[ROLE_COUNT];
    struct kept_states kept[ENGINE_MAX_OBJECTIVES][1 + TERM_MAX_HELPERS]; /* reference, helpers */
    size_t keep_bytes; /* at most so many in all of them */
    struct engine_tokens tokens;
    struct arena arena;
};

#define ROLE_BIT(role) (1u << (role))

/* What the active objectives need, together. */
struct engine_plan {
    int layers;              /* the deepest layer needed; those above it are not run */
    unsigned kinds;          /* bits of enum view_kind */
    unsigned roles;          /* bits of the roles that are read, */
    unsigned logp, ref_logp; /* those whose (reference) label log-probabilities are needed, */
    unsigned padded; /* and those padded to equal length, since a term averages over padding */
    bool ref_model;  /* the reference's logits or hidden states are needed: `ref` must be set */
    enum steer direction;             /* to steer to: the last in the enum of those asked for, */
    const struct objective *directed; /* by this one first; NULL: none */
};

/* Denominators of the means over one optimiser step of `micros` micro-batches: of each role, and
 * the scored rows that each objective's term does not skip. */
struct norm {
    struct means role[ROLE_COUNT];
    double kept[ENGINE_MAX_OBJECTIVES];
    int micros;
};

/* Result of one micro-batch: each objective's unweighted loss (its share of the step's mean, see
 * struct norm), and the number of tokens. */
struct micro_result {
    double loss[ENGINE_MAX_OBJECTIVES];
    long tokens;
};

void engine_init(struct engine *g, struct model *m);
void engine_fini(struct engine *g);
/* Adds an objective. Fails if the role's data are missing, or if the model has no such layer. */
int engine_add(struct engine *g, const struct objective *o, struct err *e);
/* Active: its weight is not 0 and its goal is among the engine's. */
bool engine_counts(const struct engine *g, const struct objective *o);
/* Depends on weights, factors and goals: compute it again after one of them has changed. */
struct engine_plan engine_plan(const struct engine *g);
/* The current factor of its loss. */
double objective_weight(const struct objective *o);
/* After all objectives are added: weights that no gradient reaches become not trainable (AdamW
 * would still decay them). An error if no trainable weight is left. */
int engine_hold_unreached(const struct engine *g, struct err *e);
/* Some active objective uses the helper model of this name (term_uses_helper). */
bool engine_uses_helper(const struct engine *g, const char *name);
/* The slot of the helper of this name, taken if it has none yet; to fill in. */
struct helper_model *engine_helper(struct engine *g, const char *name);
/* An error if a helper model that some term uses is missing. */
int engine_check_helpers(struct engine *g, struct err *e);
/* Adds the gradient of l1 * sum |w| over the trainable weights, and returns that penalty (l1-sparse
 * unlearning, arXiv 2304.04934). Once a step, as it is not a mean over data. */
double engine_add_penalty(struct engine *g);
/* Computes and caches what the examples in the order need of frozen models: the reference
 * log-probabilities, with `m` (the model before its first step, or a separate reference), and of
 * those that come more than once hidden states of the reference and of helpers, as far as
 * keep_bytes reach; the others are run in every micro-batch. */
int engine_cache_reference(struct engine *g, struct model *m, const struct order *o, int first,
                           int n, struct err *e);
/* Counts over the micro-batches first..first+n of the order. */
void engine_count(const struct engine *g, const struct order *o, int first, int n,
                  struct norm *norm);
/* Forward and backward: adds to g->grads. */
int engine_micro(struct engine *g, const struct micro *mb, const struct norm *norm,
                 struct micro_result *r, struct err *e);
/* For the curvature (Gauss-Newton-Bartlett): adds to g->grads the gradient of -1/n_labels sum log
 * p(y) over the scored rows of all roles in use, with labels y sampled from the model. */
int engine_sampled(struct engine *g, const struct micro *mb, double n_labels, struct rng *r,
                   long *tokens, struct err *e);
/* How many layers the objective's term needs. */
int objective_layers(const struct engine *g, const struct objective *o);
/* Allocates the gradient buffer if needed, with nothing in it (engine_drop_grads). engine_micro
 * calls it. */
int engine_reserve_grads(struct engine *g, struct err *e);
void engine_zero_grads(struct engine *g);
/* The same, later: the next pass overwrites what it reaches of grads and clears the rest. Before
 * that only engine_settle_grads, which clears at once, makes them readable. */
void engine_drop_grads(struct engine *g);
void engine_settle_grads(struct engine *g);
/* Bytes of hidden states that are kept; for the ledger. */
size_t frozen_bytes_kept(const struct engine *g);

#endif
