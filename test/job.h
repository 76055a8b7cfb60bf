/* A model, its reference, data and a method, as a training job has them, on golden files. */

#ifndef TEST_JOB_H
#define TEST_JOB_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "batches.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "optim/optims.h"
#include "tap.h"
#include "train/loop.h"

enum {
    OU = COMPAT_MICRO_MEAN | COMPAT_PAD_EMBED_FROZEN, /* and the quirks of the chosen terms */
    WIDTH = 24
};

static const char *root; /* test/data */

/* A model, its engine and data, as a job has them. */
struct bench {
    struct model m, ref;
    struct engine g;
    struct dataset sets[ROLE_COUNT];
    struct recipe r;
    struct order order;
    struct train_options o; /* RMU's, as its direction */
    float u[WIDTH];
};

static inline char *path_of(const char *dir, const char *name)
{
    static char path[2][512];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, sizeof path[0], "%s/%s%s", root, dir, name);
    return p;
}

/* The models, and a method whose terms are not chosen yet. */
static inline void bench_begin(struct bench *b, const char *cur, const char *ref,
                               const char *method, unsigned compat)
{
    struct err e;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of("models/", cur), true, &e));
    BUG_ON(model_open(&b->ref, path_of("models/", ref), false, &e));
    engine_init(&b->g, &b->m);
    b->g.ref = &b->ref;
    b->g.compat = compat;
    BUG_ON(!(b->r.method = method_by_name(method, &e)));
    param_defaults(method_params, &b->r.p);
}

static inline void bench_open(struct bench *b, const char *cur, const char *ref, const char *method,
                              const char *retain, double alpha, unsigned compat)
{
    struct err e;
    bench_begin(b, cur, ref, method, compat);
    b->r.p.alpha = alpha;
    b->r.p.retain_loss_type = retain;
    BUG_ON(recipe_choose_terms(&b->r, &e));
    recipe_apply_compat(&b->r, compat ? "ou" : "none");
}

static inline void bench_close(struct bench *b)
{
    order_fini(&b->order);
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&b->sets[i]);
    recipe_fini(&b->r);
    engine_fini(&b->g);
    model_close(&b->m);
    model_close(&b->ref);
}

/* The set of a role in a golden file, its names behind `prefix`. */
static inline void bench_read(struct bench *b, const struct tensor_file *f, const char *prefix,
                              enum role role, bool padded)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, role_name[role]);
    dataset_fini(&b->sets[role]);
    BUG_ON(!read_batch(&b->sets[role], f, name, role, padded));
    b->g.sets[role] = &b->sets[role];
}

/* m_cur on the rows of loop/rows. */
static inline void bench_rows(struct bench *b)
{
    struct err e;
    struct tensor_file f;
    bench_begin(b, "m_cur", "m_ref", "FT", 0);
    BUG_ON(tensor_file_open(&f, path_of("loop/", "rows.safetensors"), &e));
    bench_read(b, &f, "", ROLE_FORGET, false);
    bench_read(b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
}

/* The same, with the mean NLL of each role as an objective of its own, the forget one ascended. */
static inline void bench_nlls(struct bench *b, double forget_weight)
{
    struct err e;
    bench_rows(b);
    const struct objective forget = {
        .term = &term_nll, .role = {ROLE_FORGET}, .weight = forget_weight, .goal = GOAL_FORGET};
    const struct objective retain = {
        .term = &term_nll, .role = {ROLE_RETAIN}, .weight = 1, .goal = GOAL_RETAIN};
    BUG_ON(engine_add(&b->g, &forget, &e) || engine_add(&b->g, &retain, &e));
}

/* One micro-batch of all rows of every set. */
static inline void whole(const struct bench *b, struct micro *mb)
{
    static int rows[64];
    *mb = (struct micro){0};
    for (int i = 0; i < 64; i++)
        rows[i] = i;
    for (int r = 0; r < ROLE_COUNT; r++)
        if (b->g.sets[r]) {
            mb->rows[r] = rows;
            mb->n[r] = b->g.sets[r]->n;
        }
}

static inline double worst_of(const float *got, const float *want, size_t n, double *top)
{
    double d = 0;
    *top = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)got[i] - (double)want[i]);
        d = x <= d ? d : x;
        *top = fmax(*top, fabs((double)want[i]));
    }
    return d;
}

#endif
