/* A method on the rows of survey/batches, all in one micro-batch: what tests of optimisers and
 * wrappers work on. */
#ifndef TEST_BENCH_H
#define TEST_BENCH_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "batches.h"
#include "methods/method.h"
#include "optim/optims.h"
#include "tap.h"

static const char *bench_root; /* test/data */

struct bench {
    struct model m, ref;
    struct engine g;
    struct dataset sets[ROLE_COUNT];
    struct recipe r;
    struct wrapping wrap;
    struct micro mb;
    struct order order;
    struct gradient step;
    float *copy[4];
    double micro;
    int rows[8];
    float u[24];
};

static inline char *path_of(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", bench_root, name);
    return p;
}

static inline void read_role(struct bench *b, const struct tensor_file *f, enum role role)
{
    BUG_ON(!read_batch(&b->sets[role], f, role_name[role], role, false));
    b->g.sets[role] = &b->sets[role];
    b->mb.rows[role] = b->rows;
    b->mb.n[role] = b->sets[role].n;
}

static inline void set(const struct param *table, void *obj, const char *name, const char *text)
{
    struct err e;
    BUG_ON(param_set_text(param_find(table, name), obj, text, &e));
}

static inline void bench_open(struct bench *b, const char *method, double alpha,
                              const char *wrapper)
{
    struct err e;
    struct tensor_file f;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of("models/m_cur"), true, &e) ||
           model_open(&b->ref, path_of("models/m_ref"), false, &e));
    engine_init(&b->g, &b->m);
    b->g.ref = &b->ref;
    b->g.direction = b->u;
    for (int i = 0; i < 24; i++)
        b->u[i] = 0.2041f;
    for (int i = 0; i < 8; i++)
        b->rows[i] = i;
    BUG_ON(tensor_file_open(&f, path_of("survey/batches.safetensors"), &e));
    read_role(b, &f, ROLE_FORGET);
    read_role(b, &f, ROLE_RETAIN);
    read_role(b, &f, ROLE_ALTERNATE);
    tensor_file_close(&f);
    BUG_ON(!(b->r.method = method_by_name(method, &e)));
    param_defaults(method_params, &b->r.p);
    BUG_ON(param_apply_presets(method_params, &b->r.p, b->r.method->presets, &e));
    b->r.p.alpha = alpha;
    BUG_ON(recipe_choose_terms(&b->r, &e));
    if (b->r.part[PART_FORGET].row && recipe_term(&b->r, PART_FORGET)->kind == VIEW_HIDDEN) {
        set(choice_params(&b->r.part[PART_FORGET]), b->r.part[PART_FORGET].params, "layer", "1");
        set(choice_params(&b->r.part[PART_RETAIN]), b->r.part[PART_RETAIN].params, "layer", "1");
    }
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
    BUG_ON(wrapping_choose(&b->wrap, wrapper, &e) || wrapping_bind(&b->wrap, &b->g, &e));
    b->order = (struct order){.micro = &b->mb, .n = 1, .per_epoch = 1};
    BUG_ON(engine_cache_reference(&b->g, &b->ref, &b->order, 0, 1, &e));
    for (int k = 0; k < 4; k++)
        BUG_ON(!(b->copy[k] = mem_alloc(b->m.table.total, sizeof(float), &e)));
    b->step =
        (struct gradient){.engine = &b->g, .order = &b->order, .copy = b->copy, .micro = &b->micro};
}

static inline void bench_close(struct bench *b)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&b->sets[i]);
    for (int k = 0; k < 4; k++)
        free(b->copy[k]);
    arena_fini(&b->step.kept);
    recipe_fini(&b->r);
    wrapping_fini(&b->wrap);
    engine_fini(&b->g);
    model_close(&b->m);
    model_close(&b->ref);
}

/* The gradient of step `step`, as the loop makes it. */
static inline const float *gradient_of(struct bench *b, long step)
{
    struct err e;
    const struct wrapper *w = wrapping_row(&b->wrap);
    gradient_start(&b->step, step, 1, 1);
    b->step.first = 0;
    BUG_ON(w && w->gradient ? w->gradient(b->wrap.chosen.params, &b->step, &e)
                            : gradient_add(&b->step, GOALS_METHOD, &e));
    return b->g.grads;
}

static inline float *copy_of(const float *v, size_t n)
{
    struct err e;
    float *copy = mem_alloc(n, sizeof *copy, &e);
    return memcpy(copy, v, n * sizeof *copy);
}

static inline double scalar(const struct tensor_file *f, const char *name, size_t i)
{
    struct err e;
    float *v = tensor_f32(tensor_find(f, name), &e);
    double x = (double)v[i];
    free(v);
    return x;
}

/* Every tensor PREFIX.weight of the file against `got`; tolerance rel of its largest entry + abs.
 */
static inline void compare(const struct bench *b, const struct tensor_file *f, const char *prefix,
                           const float *got, double rel, double tol, const char *what)
{
    double worst = 0;
    const char *where = "";
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        char name[128];
        struct err e;
        double top = 0, off = 0;
        snprintf(name, sizeof name, "%s.%s", prefix, w->name);
        float *want = tensor_f32(tensor_find(f, name), &e);
        for (size_t k = 0; k < w->count; k++) {
            double d = fabs((double)got[w->offset + k] - (double)want[k]);
            off = d <= off ? off : d;
            top = fmax(top, fabs((double)want[k]));
        }
        off /= rel * top + tol;
        if (!(off <= worst)) {
            worst = off;
            where = w->name;
        }
        free(want);
    }
    near(worst, 0, 0, 1, "%s: %s.*, worst at %s", what, prefix, where);
}

/* With nothing to perturb a wrapper gives the bits of the plain gradient. */
static inline void check_idle(const char *wrapper, const char *option)
{
    struct bench a, b;
    bench_open(&a, "NPO", 1, "none");
    bench_open(&b, "NPO", 1, wrapper);
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, option, "0");
    gradient_of(&a, 3);
    gradient_of(&b, 3);
    ok(!memcmp(a.g.grads, b.g.grads, a.m.table.grads * sizeof(float)),
       "%s: %s 0 changes no bit of the gradient", wrapper, option);
    bench_close(&a);
    bench_close(&b);
}

#endif
