/* What the kinds of `unlearn stats` share: options, numbers of a JSON file, and results next to
 * them. */
#ifndef CLI_STATS_H
#define CLI_STATS_H

#include <jansson.h>

#include "base/err.h"

struct stats_options {
    double threshold, alpha, gamma, offline_a;
};

/* Numbers of a JSON array, whose rows may be arrays again; null is NaN. */
struct numbers {
    double *v; /* owned: free(v) */
    int n, rows;
};

/* `least` or more of them. */
int stats_numbers(struct numbers *to, const json_t *obj, const char *key, int least, struct err *e);
/* The same number of values for each of `rows` rows; *n of them, unless *n is 0, which then becomes
 * their number. */
int stats_matrix(struct numbers *to, const json_t *obj, const char *key, int rows, int *n,
                 struct err *e);

json_t *stats_array(const double *v, int n);

/* Each completes the object (or array) in place. */
int stats_leak(json_t *j, const struct stats_options *o, struct err *e);
int stats_bound(json_t *j, const struct stats_options *o, struct err *e);
int stats_curve(json_t *j, const struct stats_options *o, struct err *e);
int stats_robustness(json_t *j, const struct stats_options *o, struct err *e);
int stats_lira(json_t *j, const struct stats_options *o, struct err *e);
int stats_rmia(json_t *j, const struct stats_options *o, struct err *e);
int stats_exposure(json_t *j, const struct stats_options *o, struct err *e);
int stats_aggregates(json_t *j, const struct stats_options *o, struct err *e);

#endif
