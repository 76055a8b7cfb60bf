/* A sweep: one method with many settings, each a trial (doc/sweep.md). It is described as a request
 * is (run/request.h), with the member "sweep":
 *
 *   {"over": {option: [values] | {"log": [least, most]} | {"range": [least, most]}},
 *    "by": "grid" | "random" | "halving", "trials": n, "eta": 3,
 *    "best": expression, "pareto": [expression, expression], "reference": [x, y]}
 *
 * Several processes work on one OUT: a trial is claimed by a lock on its directory's file, which
 * the system frees however the process ends; a finished one has OUT/trials/N/trial.json. What trial
 * N is follows from the description alone, of halving also from the trials of the rung before.
 */
#ifndef RUN_SWEEP_H
#define RUN_SWEEP_H

#include "run/request.h"

enum sweep_by { SWEEP_GRID, SWEEP_RANDOM, SWEEP_HALVING };

enum { SWEEP_AXES = 12, SWEEP_TRIALS = 10000 };

/* One option and its values. */
struct sweep_axis {
    const char *name;   /* borrowed */
    const json_t *list; /* borrowed; NULL: a range */
    double least, most;
    bool log;
};

struct sweep {
    struct request request;
    struct sweep_axis axes[SWEEP_AXES];
    int n_axes, trials; /* of halving: of its first rung */
    enum sweep_by by;
    double eta;
    struct expression best, pareto[2];
    double reference[2];
    bool has_pareto;
};

/* sweep_fini is due in every case. */
int sweep_read(struct sweep *s, const json_t *json, struct err *e);
void sweep_fini(struct sweep *s);

/* The options of trial n, from 0, that it sets: a new object; of halving without its epochs. */
json_t *sweep_options(const struct sweep *s, int n);
/* Trials of rung r of halving, 0: there is no such rung; their epochs are those of the request
 * divided by eta^(rungs - 1 - r). */
int sweep_rung(const struct sweep *s, int r);

/* Refuses what cannot work, before any work. */
int sweep_check(struct sweep *s, const struct request_hooks *h, struct err *e);
/* Runs trials until all are done; *results, a new reference: {"trials": [{"n", "options", "best",
 * "values", ...}], "best": n, "front": [n], "hypervolume"}, also in OUT/sweep.json. */
int sweep_run(struct sweep *s, const struct request_hooks *h, const char *out,
              const volatile sig_atomic_t *stop, json_t **results, struct err *e);

/* Trials compared by two figures, of which more is better. */
struct pareto_point {
    double x, y; /* NaN: not known, never in the front */
    bool front;  /* no other one is at least as good in both and better in one */
};

/* Sets `front` of all points; *volume gets the area between the front and the reference (x0, y0),
 * of points that are above it in both. */
int pareto_front(struct pareto_point *p, int n, double x0, double y0, double *volume,
                 struct err *e);

#endif
