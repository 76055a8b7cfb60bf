/* Scores of elements that need no data: the weights themselves, chance, the MLPs. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "locate/locators.h"
#include "locate/scores.h"

/* A score of each element of the tensors that are not skipped. */
typedef float weight_score(float w, struct rng *r);

static int score_each(struct scoring *s, weight_score *fun, struct err *e)
{
    const struct weight_table *t = &s->engine->model->table;
    struct rng r;
    rng_stream(&r, s->seed, RNG_SAMPLE, 1);
    if (scores_alloc(s, t->grads, e))
        return -1;
    for (int i = 0; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        const float *x = scores_weight(s, i);
        for (size_t k = 0; w->trainable && !s->skipped[i] && k < w->count; k++)
            s->v[w->at + k] = fun(x[k], &r);
        scores_weight_done(s, i);
    }
    return 0;
}

static float magnitude(float w, struct rng *r)
{
    (void)r;
    return fabsf(w);
}

static float chance(float w, struct rng *r)
{
    (void)w;
    return rng_float(r);
}

static float one(float w, struct rng *r)
{
    (void)w, (void)r;
    return 1;
}

static int score_weight(const void *p, struct scoring *s, struct err *e)
{
    (void)p;
    return score_each(s, magnitude, e);
}

static int score_random(const void *p, struct scoring *s, struct err *e)
{
    (void)p;
    return score_each(s, chance, e);
}

/* WAGLE's code takes the names with "fc" or "final_layer_norm", which are OPT's: a llama has none.
 * Here the MLPs of any family are taken, and such norms. */
static int score_ffn(const void *p, struct scoring *s, struct err *e)
{
    const struct weight_table *t = &s->engine->model->table;
    bool any = false;
    (void)p;
    for (int i = 0; i < t->n; i++) {
        const enum slot slot = t->v[i].slot;
        s->skipped[i] = !(slot >= W_GATE && slot <= W_EXPERT_DOWN_B) &&
                        !strstr(t->v[i].name, "final_layer_norm");
        any |= !s->skipped[i] && t->v[i].trainable;
    }
    s->least = 1;
    return any ? score_each(s, one, e) : err_set(e, "no trainable weight belongs to an MLP");
}

const struct locator locator_weight = {
    .name = "weight",
    .help = "largest weights",
    .paper = "arXiv 2410.17509",
    .formula = "|theta|",
    .verified = "WAGLE's code, masks index for index",
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .score = score_weight,
};

const struct locator locator_random = {
    .name = "random",
    .help = "drawn at random, for comparison",
    .formula = "uniform in [0,1), by the seed",
    .verified = "its share and its seed",
    .unit = UNIT_ELEMENT,
    .ratio = 0.5,
    .score = score_random,
};

const struct locator locator_ffn = {
    .name = "ffn",
    .help = "the MLPs (OPT: and their norms)",
    .paper = "arXiv 2410.17509",
    .formula = "1 in the MLPs, nothing elsewhere",
    .verified = "the names of the authors' code, on OPT",
    .unit = UNIT_ELEMENT,
    .score = score_ffn,
};
