/* Arithmetic on the weights of models: task vectors and what is made from several of them.
 *
 * A source is a model of the same shape, whose task vector tau = theta_k - theta_base is its
 * difference from the base, or a PEFT adapter, whose task vector is s B A. A rule makes one vector
 * of all sources' (merge/rules.c); the result is
 *
 *     theta = theta_start + c tau,    c = sign of the rule * lambda
 *
 * as a model, or, of the layers' matrices alone, as a PEFT adapter on the start (low_rank.c).
 * Everything is done weight by weight, in f64, and rounded once. Memory, for any number of sources:
 * the largest weight twice in f32 (what is written, what is read), its sum in f64, and for rules
 * that elect signs another sum and a byte an element; a start that is not the base is a third copy.
 */
#ifndef MERGE_MERGE_H
#define MERGE_MERGE_H

#include <math.h>
#include <signal.h>

#include "base/table.h"
#include "model/adapter.h"
#include "model/store.h"

struct merge_source {
    const char *name; /* borrowed: a model's or an adapter's path */
    double weight;
    bool is_adapter;
    struct model m; /* open by its header */
    struct adapter_file adapter;
    double *product;  /* owned [n]: of this vector with those of sources 0..n-1, so far */
    size_t zeros;     /* elements of tau that are exactly 0 */
    bool half;        /* some of its weights are stored in 16 bits or fewer */
    double threshold; /* of the rule: magnitudes below are dropped */
    uint64_t *kept;   /* owned: what DARE keeps, bits by weight.offset; NULL: it draws */
};

struct merging;

struct merge_rule {
    ROW_FIELDS;
    const char *help, *paper, *verified;
    double sign; /* of lambda: -1 where the vector is subtracted */
    bool alone;  /* there are no sources */
    bool stacks; /* of adapters, into an adapter: factors are stacked, and exact */
    /* What needs a pass over all weights before the first is written; NULL: nothing. */
    int (*prepare)(struct merging *g, struct err *e);
    /* g->sum += the merged vector of weight g->i. */
    int (*combine)(struct merging *g, struct err *e);
};

extern const struct merge_rule *const merge_rules[];

struct merging {
    const struct choice *rule; /* borrowed: a merge_rule and its parameters */
    double lambda;
    uint32_t seed;                     /* of what is drawn */
    const volatile sig_atomic_t *stop; /* may be NULL */
    struct model base;                 /* open by its header */
    struct model start;                /* likewise, if it is another */
    bool has_start;
    struct merge_source *v; /* owned [n] */
    int n;

    /* Of the weight that is being merged. */
    int i;
    const struct weight *w;
    const float *theta; /* [count] of the base */
    const float *x;     /* [count] what merging_read has read ... */
    const float *minus; /* ... less this: theta; of an adapter NULL */
    double *sum;        /* [count], at first zeros */
    double *divisor;    /* [count] of rules that elect; NULL: none has been needed */
    uint8_t *elected;   /* likewise */

    /* Of all weights so far. */
    size_t count, moved; /* elements; those of the merged vector that are not 0 */
    double squares;      /* of the merged vector */

    size_t most;                    /* elements of the largest weight */
    device float *held, *own_theta; /* owned: of x, and of the base's numbers */
};

/* Opens all by their headers. Refuses models of another shape, naming the tensor, another
 * tokenizer, and weights that the rule cannot take. `start`: NULL: the base. merging_close is due
 * in every case. */
struct merge_names {
    const char *name;
    double weight;
    bool is_adapter;
};
int merging_open(struct merging *g, const char *base, const char *start,
                 const struct merge_names *sources, int n, struct err *e);
void merging_close(struct merging *g);
/* What DARE keeps of source k, from a file of masks (locate/mask_file.h). */
int merging_mask(struct merging *g, int k, const char *path, struct err *e);

/* The model whose numbers merging_weight changes. */
static inline const struct model *merging_start(const struct merging *g)
{
    return g->has_start ? &g->start : &g->base;
}

/* The pass that some rules need first; measures the sources, too. */
int merging_prepare(struct merging *g, struct err *e);
/* w [count]: weight i of the start -> of the result (save_options.change, with ctx = g). */
int merging_weight(void *ctx, int i, float *w, struct err *e);
/* g->sum = c tau of weight i; `theta` are its numbers in the base. */
int merging_vector(struct merging *g, int i, const float *theta, struct err *e);
/* The numbers of weight i in the base, until the next call. */
const float *merging_base(struct merging *g, int i, struct err *e);

/* Cosine between the task vectors of two sources; NaN: one is 0. */
double merging_cosine(const struct merging *g, int a, int b);
static inline double merging_length(const struct merging *g, int a)
{
    return sqrt(g->v[a].product[a]);
}

/* --- for rules --- */

/* Reads source k's numbers of the weight at hand; its vector is then merging_tau. */
int merging_read(struct merging *g, int k, struct err *e);
static inline double merging_tau(const struct merging *g, size_t j)
{
    return g->minus ? (double)g->x[j] - (double)g->minus[j] : (double)g->x[j];
}

/* Calls `see` for each weight of the base. */
int merging_each(struct merging *g, int (*see)(struct merging *g, void *ctx, struct err *e),
                 void *ctx, struct err *e);

/* --- as an adapter (low_rank.c) --- */

struct low_rank_facts {
    double squares, left; /* of c tau of the matrices: all, and what the adapter leaves out */
    double others;        /* squares of c tau of other weights, which no adapter holds */
    int pairs;
};

/* c tau of the layers' matrices in rank `rank`, by truncated singular value decomposition, as
 * PEFT's files in `dir`; where the rule stacks adapters, exactly in the sum of their ranks, and
 * `rank` is not used. */
int merging_save_adapter(struct merging *g, int rank, const char *dir, struct low_rank_facts *f,
                         struct err *e);

#endif
