/* Merging models and adapters (merge/merge.h) by the names that users give, with the choice of
 * lambda on held-out rows, into a directory.
 *
 * The choice opens the start for writing, moves it to every lambda of a list in turn, and keeps
 * the one with the lowest token accuracy on the forget rows among those that keep a share of the
 * start's accuracy on the retain rows (arXiv 2212.04089: 95 % of the control task's).
 */
#ifndef RUN_MERGE_H
#define RUN_MERGE_H

#include "base/outdir.h"
#include "merge/merge.h"
#include "run/data.h"

struct merge_options {
    const char *base, *start; /* models by name; start may be NULL: the base */
    double lambda;
    const char *lambdas; /* a list to choose from instead; NULL: none */
    double keep;
    struct setup_options setup; /* of the rows' text */
    struct run_options data;    /* forget and retain rows, their keys */
    const char *masks;          /* files, of what DARE keeps, separated by commas; NULL: none */
    const char *vector;         /* a file for the merged vector; NULL: none */
    int64_t rank;               /* of an adapter */
    bool into_adapter;
    const char *dtype; /* f32|bf16|f16, of a model */
    int64_t seed;
};

/* One lambda that was tried. */
struct merge_try {
    double lambda, forget, retain; /* token accuracies; retain NaN: no rows */
};

struct merge_result {
    struct merging g; /* with its figures; merge_result_fini closes it */
    char **paths;     /* owned [n_paths]: of the names */
    int n_paths;
    struct low_rank_facts low_rank;
    struct merge_try *tries; /* owned [n_tries]; the first is lambda 0, the start */
    int n_tries;
};

/* Writes the result into `d`, open, atomically. merge_result_fini is due in every case. */
int run_merge(struct merge_result *r, const struct merge_options *o, const struct choice *rule,
              const struct merge_names *sources, int n, struct outdir *d,
              const volatile sig_atomic_t *stop, struct err *e);
void merge_result_fini(struct merge_result *r);

#endif
