/* Scores of the parts of a model, and the element masks that are selected from them.
 *
 * A locator fills `v`: one score a unit, the largest are kept. NaN and -inf are never kept,
 * whatever the share. Elements stand by weight.at, rows and neurons one after another: the rows of
 * tensor i from first[i] on, neuron j of layer l at l*F + j.
 *
 * Memory: `v`, and one more vector of the trainable weights while a gradient is computed. Selection
 * needs no sort: it finds the last score that is kept by counting the bit patterns of all scores in
 * three passes, over 11, 11 and 10 bits, with 2048 counters.
 */
#ifndef LOCATE_SCORES_H
#define LOCATE_SCORES_H

#include "base/log.h"
#include "model/forward.h"
#include "train/derivatives.h"
#include "train/locator.h"

struct scoring {
    /* Its objectives are the mean NLL of the forget rows (GOAL_FORGET) and of the retain rows
     * (GOAL_RETAIN), where there are any. Borrowed. */
    struct engine *engine;
    unsigned seed;
    int batch;       /* rows of a gradient */
    const int *pair; /* borrowed [forget rows]: a retain row for each; NULL: see scores_pairs */
    const volatile sig_atomic_t *stop; /* set: fail before the next batch; may be NULL */

    /* Filled by the locator. */
    float *v;           /* the host's view of ... */
    device float *held; /* owned */
    size_t *first;      /* owned [table.n], of rows */
    bool *skipped;      /* owned [table.n]: tensors without scores, of which nothing is kept */
    bool rest_free;     /* all of those is kept */
    double least;       /* without a share, scores from here on are kept */
    double tokens;      /* processed, in this time where the passes are sums over batches */
    double seconds;
};

int scoring_init(struct scoring *s, struct engine *en, const struct locator *l, struct err *e);
void scoring_fini(struct scoring *s);
/* Units of tensor i, and the index of its first score in `v`. Not of neurons. */
size_t scoring_units(const struct scoring *s, const struct locator *l, int i, size_t *first);

/* All rows of the trainable tensors. */
size_t scoring_rows(const struct scoring *s);
/* The score of element k of tensor i: that of its row or neuron; NaN: it has none. */
float scoring_value(const struct scoring *s, const struct locator *l, int i, size_t k);

/* --- for locators --- */

/* Numbers of the rows of a role, 0..n-1, or the retain rows paired with the forget rows: row j with
 * row j where there are as many of both, else with one drawn from RNG_SAMPLE of the seed. Owned by
 * the caller. */
int *scores_rows(const struct scoring *s, enum role role, int *n, struct err *e);
int *scores_pairs(const struct scoring *s, int *n, struct err *e);
/* The sum over batches of the gradient of the batch's token mean, flat by weight.at; owned by the
 * caller, who gives the engine back what it does not keep. */
device float *scores_gradient(struct scoring *s, enum role role, bool paired, struct err *e);
/* v is n zeros, or a gradient whose owner is `s` from then on; n is table.grads. */
int scores_alloc(struct scoring *s, size_t n, struct err *e);
void scores_hold(struct scoring *s, device float *gradient);
/* The weights of tensor i, on the host until scores_weight_done. */
static inline const float *scores_weight(const struct scoring *s, int i)
{
    const struct model *m = s->engine->model;
    return m->ops->map_read(m->w[i], m->table.v[i].count);
}
static inline void scores_weight_done(const struct scoring *s, int i)
{
    s->engine->model->ops->unmap(s->engine->model->w[i]);
}
/* Runs all rows of a role through the model, forward only, `batch` at a time, with this tap. */
int scores_forward(struct scoring *s, enum role role, const struct linear_tap *tap, struct err *e);

/* A statistic of every neuron's activations over all tokens of a role, [L,F]: 0 root mean square, 1
 * mean of absolute values, 2 standard deviation, 3 share above 0. */
int scores_activation(struct scoring *s, enum role role, int statistic, double *out, struct err *e);

/* A sequence up to its first scored token, which is its only label; token n - 2 predicts it. */
struct answer_token {
    struct seq seq;
    int *labels; /* owned */
};

/* An error where nothing is scored. answer_token_fini is due in every case. */
int answer_token_init(struct answer_token *a, const struct seq *q, struct err *e);
void answer_token_fini(struct answer_token *a);
/* Integrated gradients [L,F] of the probability of the first scored token; see by_attribution.c. */
int scores_attribution(const struct scoring *s, const struct seq *q, int points, double *out,
                       struct err *e);

/* Causal tracing of one sequence: noise on the prompt tokens from..to-1, restoring at the tokens
 * trace_from..trace_to-1. */
struct tracing {
    int from, to, trace_from, trace_to, samples;
    enum place place;   /* what is restored; of PLACE_EMBED there is one for all layers */
    int window;         /* restored for layer l: layers l - window/2 .. l + window/2 - 1; 1: l */
    const float *noise; /* borrowed [samples, to - from, C] */
};

/* Probabilities of the first scored token. */
struct traced {
    double clean, corrupted;
    double *restored; /* borrowed [trace_to - trace_from, L]; of PLACE_EMBED [.., 1] */
};

int scores_trace(const struct scoring *s, const struct seq *q, const struct tracing *t,
                 struct traced *out, struct err *e);

/* --- selection --- */

struct selection {
    enum scope scope;
    double ratio; /* of each scope's units that is kept, rounded down; 0: from `least` on */
};

/* What was selected, over all scopes; threshold, next and near of the only one of SCOPE_GLOBAL. */
struct selected {
    size_t units, asked, kept; /* kept < asked: the others had no score */
    double threshold, next;    /* the smallest score that is kept, the largest that is not */
    size_t near;               /* scores within 1e-4 of the threshold */
};

/* Marks the elements of the units that are kept in `bits` [mask_words], which are zero. Of equal
 * scores the first are kept, in the order of the table; in SCOPE_ROW the last, as a stable sort
 * that drops the smallest leaves them. */
int scores_select(const struct scoring *s, const struct locator *l, const struct selection *how,
                  uint64_t *bits, struct selected *r, struct err *e);

#endif
