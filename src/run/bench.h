/* How fast this machine trains, unlearns, scores and generates with a model: rows of random token
 * ids, so that no tokenizer is needed, through the same code as the commands. Works are measured
 * one after the other, each once to warm up and then `repeat` times.
 */
#ifndef RUN_BENCH_H
#define RUN_BENCH_H

#include "base/err.h"
#include "base/param.h"
#include "tensor/timed.h"

struct bench_options {
    const char *model;
    const char *only; /* names of works, joined by commas; NULL: all */
    int64_t rows;     /* of each role in a step, and to score */
    int64_t tokens;   /* of a row, and of a prompt */
    int64_t decoded;  /* tokens to continue a prompt by */
    int64_t repeat, threads;
};

extern const struct param bench_params[];

enum { BENCH_WORKS = 8 };

struct bench_result {
    const char *name, *what; /* literals */
    double tokens;           /* of one run: computed by the model, in all roles */
    double seconds;          /* of one run: the median */
    double spent;            /* of all runs: what `timed` covers */
    double peak;             /* most bytes resident while it ran, 0: unknown */
    struct timed timed;      /* sums over all runs */
    char skipped[512];       /* why it was not run; "": it was */
};

struct bench_report {
    char processor[96], operations[32]; /* "cpu avx512" */
    int threads;
    double parameters;
    double sgemm; /* FLOP/s of a large product in this run */
    double start; /* seconds to open the model for inference */
    int n;
    struct bench_result result[BENCH_WORKS];
};

/* A work that the model cannot do (no such layer) is skipped and says why. */
int bench_measure(const struct bench_options *o, struct bench_report *r, struct err *e);

#endif
