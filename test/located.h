/* The tiny model m_cur, its rows and a locator, for tests of scores and masks. */
#ifndef TEST_LOCATED_H
#define TEST_LOCATED_H

#include "job.h"
#include "locate/locators.h"
#include "locate/mask_file.h"
#include "run/locate.h"

static struct tensor_file golden;

/* A locator with one parameter set, or none. */
static inline struct choice choose(const char *name, const char *param, const char *value)
{
    struct err e;
    struct choice c;
    const struct locator *l = locator_by_name(name, &e);
    BUG_ON(!l || choice_init(&c, l, NULL, &e));
    if (param)
        BUG_ON(param_set_text(param_find(l->params, param), c.params, value, &e));
    return c;
}

static inline int find(struct located *to, struct bench *b, const struct choice *c, double ratio,
                       const char *scope, const int *pair, struct err *e)
{
    const struct mask_options o = {.ratio = ratio, .scope = scope, .score_batch = 1};
    return run_locate(to, &b->m, c, &o, b->g.sets, pair, 0, NULL, e);
}

/* Bit of an element in the reference's order. */
static inline bool is_set(const struct tensor *bits, size_t k)
{
    return ((const uint8_t *)bits->data)[k / 8] >> k % 8 & 1;
}

static inline size_t place(const char *weight)
{
    char key[128];
    snprintf(key, sizeof key, "offset.%s", weight);
    return (size_t)read_value(&golden, key, 0);
}

static inline bool kept(const struct located *l, size_t offset)
{
    return l->bits[offset / 64] >> offset % 64 & 1;
}

#endif
