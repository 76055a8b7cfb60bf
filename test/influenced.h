/* The tiny model m_cur with the NLL of its forget and retain rows as objectives, and the reference
 * figures of test/data/influence.safetensors. */
#ifndef TEST_INFLUENCED_H
#define TEST_INFLUENCED_H

#include "influence/curvature.h"
#include "job.h"
#include "locate/locators.h"
#include "objectives/terms.h"
#include "tensor/matrix.h"

static struct tensor_file golden;
static int influence_rows[64];

static inline size_t offset_of(const char *weight)
{
    char key[128];
    struct err e;
    snprintf(key, sizeof key, "offset.%s", weight);
    int *offset = tensor_ints(tensor_find(&golden, key), &e);
    const size_t at = (size_t)*offset;
    free(offset);
    return at;
}

static inline void choose_weights(struct bench *b, const char *regex)
{
    struct err e;
    struct choice c;
    BUG_ON(choice_init(&c, &locator_regex,
                       (struct param_preset[]){{"trainable_params_regex", regex}, {0}}, &e) ||
           locate_weights(c.row, c.params, 0, &b->m, 0, &e));
    choice_fini(&c);
}

static inline struct data_rows role_rows(const struct bench *b, enum role role, int batch)
{
    return (struct data_rows){role, influence_rows, b->sets[role].n, batch};
}

static inline struct curved curved_of(struct bench *b, enum curvature kind)
{
    return (struct curved){.engine = &b->g,
                           .goals = GOAL_BIT(GOAL_RETAIN),
                           .rows = role_rows(b, ROLE_RETAIN, 5),
                           .kind = kind};
}

static inline float *vector(const struct bench *b)
{
    struct err e;
    float *v = mem_alloc(b->m.table.total, sizeof *v, &e);
    BUG_ON(!v);
    return v;
}

static inline float *gradient_of_role(struct bench *b, enum role role, enum goal goal)
{
    struct err e;
    double loss;
    float *g = vector(b);
    const struct data_rows rows = role_rows(b, role, 16);
    BUG_ON(derivative_gradient(&b->g, GOAL_BIT(goal), &rows, g, &loss, &e));
    return g;
}

enum { SAMPLES = 512 };

/* Where the j-th sampled entry of the reference's flat vector stands in one by weight.at. */
static inline size_t sampled_at(const struct bench *b, int j)
{
    const size_t flat = (size_t)j * 18984 / SAMPLES;
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        const size_t first = offset_of(w->name);
        if (flat >= first && flat < first + w->count)
            return w->at + flat - first;
    }
    BUG_ON(true);
    return 0;
}

/* The relative L2 distance of the sampled entries, of got - base. */
static inline void near_sample(const struct bench *b, const char *name, const float *got,
                               const float *base, double bound)
{
    float *want = read_f32(&golden, name);
    double diff = 0, sum = 0;
    for (int j = 0; j < SAMPLES; j++) {
        const size_t at = sampled_at(b, j);
        const double from = base ? (double)base[at] : 0, d = (double)got[at] - (double)want[j],
                     w = (double)want[j] - from;
        diff += d * d;
        sum += w * w;
    }
    near(sqrt(diff / sum), 0, 0, bound, "%s: relative L2 distance", name);
    free(want);
}

static inline void begin_influence(const char *dir)
{
    struct err e;
    for (int i = 0; i < 64; i++)
        influence_rows[i] = i;
    root = dir;
    BUG_ON(tensor_file_open(&golden, path_of("", "influence.safetensors"), &e));
}

#endif
