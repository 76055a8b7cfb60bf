/* A job on the rows of golden/loop: RMU after layer 1, of which some weights move. */

#ifndef TEST_RMU_H
#define TEST_RMU_H

#include "base/json.h"
#include "job.h"
#include "locate/locators.h"
#include "objectives/terms.h"
#include "train/helpers.h"

static const char two_downs[] = "model\\.layers\\.(0|1)\\.mlp\\.down_proj\\.weight";

static inline void set(const struct param *table, void *obj, const char *name, const char *text)
{
    struct err e;
    BUG_ON(param_set_text(param_find(table, name), obj, text, &e));
}

/* The rows that the peer took: its stream of draws lost the direction's numbers after the second
 * micro-batch. */
static inline void draw_order(struct bench *b)
{
    struct err e;
    const int counts[ROLE_COUNT] = {
        [ROLE_FORGET] = b->sets[ROLE_FORGET].n, [ROLE_RETAIN] = b->sets[ROLE_RETAIN].n};
    BUG_ON(order_draw(&b->order, counts, ROLE_FORGET, NULL, 2, 3, 0, WIDTH, &e));
}

static inline void rmu_open(struct bench *b, unsigned compat)
{
    struct err e;
    struct tensor_file f;
    bench_begin(b, "m_cur", "m_cur", "RMU", compat);
    b->g.direction = b->u;
    BUG_ON(tensor_file_open(&f, path_of("loop/", "rows.safetensors"), &e));
    bench_read(b, &f, "", ROLE_FORGET, false);
    bench_read(b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
    BUG_ON(param_apply_presets(method_params, &b->r.p, b->r.method->presets, &e));
    BUG_ON(recipe_choose_terms(&b->r, &e));
    recipe_apply_compat(&b->r, compat ? "ou" : "none");
    set(choice_params(&b->r.part[PART_FORGET]), b->r.part[PART_FORGET].params, "module_regex",
        "model\\.layers\\.1");
    set(choice_params(&b->r.part[PART_RETAIN]), b->r.part[PART_RETAIN].params, "layer", "1");
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
    param_defaults(train_params, &b->o);
    b->o.batch = b->o.accumulate = b->o.warmup_steps = 2;
    b->o.epochs = 3;
    b->o.lr = 1e-3;
    draw_order(b);
    direction_draw(b->u, WIDTH, 0, compat ? &b->order : NULL);
}

/* The weights whose names match. */
static inline int locate(struct bench *b, const char *regex, struct err *e)
{
    const struct locator *l = locator_by_name(regex ? "regex" : "all", e);
    void *params = mem_alloc(1, l->params_size, e);
    if (regex)
        set(l->params, params, "trainable_params_regex", regex);
    int rc = locate_weights(l, params, b->g.compat != 0, &b->m, 0, e);
    free(params);
    return rc ? rc : engine_hold_unreached(&b->g, e);
}

static inline int train(struct bench *b, const char *name, struct train_report *rep, struct err *e)
{
    char out[512];
    void *adam = mem_alloc(1, optim_adamw.params_size, e);
    snprintf(out, sizeof out, "%s/%s", test_dir(), name);
    param_defaults(optim_adamw.params, adam);
    struct trainer t = {.engine = &b->g,
                        .optim = {&optim_adamw, adam},
                        .o = &b->o,
                        .order = &b->order,
                        .out = out,
                        .what = "test"};
    int rc = train_run(&t, rep, e);
    free(adam);
    return rc;
}

/* How many weights have other bits than before training, and how many of those match. */
static inline int moved(const struct bench *b, int *matching)
{
    int n = 0;
    *matching = 0;
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        if (!memcmp(b->m.own + w->offset, b->ref.w[i], w->count * sizeof(float)))
            continue;
        n++;
        *matching += w->slot == W_DOWN && w->layer < 2;
    }
    return n;
}

#endif
