/* Influence of training rows on the loss of query rows: which rows an answer comes from, for
 * `unlearn influence`.
 */
#ifndef RUN_INFLUENCE_H
#define RUN_INFLUENCE_H

#include "influence/kfac.h"
#include "run/data.h"

struct influence_options {
    const char *strategy, *damping, *labels, *modules, *factors, *checkpoints;
    double memory; /* GiB */
    int64_t seed;
    bool self, per_module;
    const char *query, *train;
    struct run_options data; /* how rows are read */
};

extern const struct param influence_params[]; /* on struct influence_options */

struct influence {
    struct setup s;
    struct dataset query, train;
    double *score;                     /* owned [query.n, train.n] */
    double *self;                      /* owned [train.n]; NULL: not asked for */
    double *by_map;                    /* owned [n_maps, query.n, train.n]; likewise */
    double *query_square, *row_square; /* owned [query.n], [train.n]; of the strategy cosine */
    char (*map)[112];                  /* owned [n_maps] names */
    int n_maps, blocks, models;        /* blocks of layers; models that scores are summed over */
    bool read_factors;                 /* from the file */
    double seconds, tokens;            /* tokens in passes */
};

/* Opens the model, reads the rows, fits or reads the factors and scores every pair. influence_fini
 * is due in every case. */
int run_influence(struct influence *r, const struct setup_options *so,
                  const struct influence_options *o, const volatile sig_atomic_t *stop,
                  struct err *e);
void influence_fini(struct influence *r);

#endif
