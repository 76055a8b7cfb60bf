#include "run/state.h"

#include <math.h>

#include "base/mem.h"
#include "base/rng.h"

/* What some terms are to read: examples of each role, and the role that sets the length of an epoch
 * of so many micro-batches. */
struct draw {
    int counts[ROLE_COUNT];
    enum role anchor;
    int per_epoch;
};

/* Whose prompts this role's examples are other answers to, if those are there; else the role. */
static enum role prompts_of(const struct engine *g, const struct pairing *pairs, enum role role)
{
    const struct pairing *p = &pairs[role];
    return p->pool && g->sets[p->of] ? p->of : role;
}

/* The terms of these goals. The length is that of their first one's data: of the prompts, also if
 * only other answers to them are used. */
static int plan(struct draw *w, struct engine *g, const struct pairing *pairs, unsigned goals,
                int64_t batch, struct err *e)
{
    const unsigned before = g->goals;
    const struct objective *first = NULL;
    *w = (struct draw){0};
    g->goals &= goals;
    const unsigned roles = engine_plan(g).roles;
    for (int i = 0; i < ROLE_COUNT; i++)
        w->counts[i] = roles & ROLE_BIT(i) ? g->sets[i]->n : 0;
    for (int i = g->n_obj - 1; i >= 0; i--)
        if (engine_counts(g, &g->obj[i]) && GOAL_BIT(g->obj[i].goal) & GOALS_METHOD)
            first = &g->obj[i];
    g->goals = before;
    if (!first)
        return err_about(e, "term_weights",
                         "terms take turns where there are two, but this method has none with a "
                         "weight for one of the turns");
    w->anchor = prompts_of(g, pairs, first->role[0]);
    if (g->sets[w->anchor])
        w->counts[w->anchor] = g->sets[w->anchor]->n;
    w->per_epoch = (int)((w->counts[w->anchor] + batch - 1) / batch);
    return 0;
}

static int draw(struct order *o, const struct draw *w, const struct pairing *pairs, int epochs,
                const struct train_options *to, int taken, struct err *e)
{
    return order_draw(o, w->counts, w->anchor, pairs, (int)to->batch, epochs, (unsigned)to->seed,
                      taken, e);
}

static int draw_turns(struct order *o, const struct draw *forget, const struct draw *retain,
                      const struct pairing *pairs, const struct train_options *to, struct err *e)
{
    struct order first = {0}, then = {0};
    const int epochs = train_order_epochs(to, o), half = epochs - epochs / 2;
    const int turns = o->turns < half ? o->turns : half;
    int rc = draw(&first, forget, pairs, turns, to, 0, e);
    if (!rc && turns < epochs)
        rc = draw(&then, retain, pairs, epochs - turns, to, 0, e);
    if (!rc)
        rc = order_take_turns(o, &first, &then, epochs, e);
    order_fini(&first);
    order_fini(&then);
    return rc;
}

/* From a file, which may name rows of roles that are given and whose terms have no weight here. */
static int read_order(struct order *o, const char *path, const struct engine *g, const int *counts,
                      struct err *e)
{
    int given[ROLE_COUNT];
    bool used[ROLE_COUNT];
    for (int i = 0; i < ROLE_COUNT; i++) {
        used[i] = counts[i] > 0;
        given[i] = used[i] ? counts[i] : g->sets[i] ? g->sets[i]->n : 0;
    }
    return order_read(o, path, given, used, e);
}

int run_order_make(struct order *o, struct engine *g, const struct train_options *to,
                   const struct pairing *pairs, int turns, struct err *e)
{
    struct draw all, forget, retain;
    if (plan(&all, g, pairs, GOALS_ALL, to->batch, e))
        return -1;
    struct order shape = {.per_epoch = all.per_epoch};
    if (turns && (plan(&forget, g, pairs, ~GOAL_BIT(GOAL_RETAIN), to->batch, e) ||
                  plan(&retain, g, pairs, ~GOAL_BIT(GOAL_FORGET), to->batch, e) ||
                  order_shape_turns(&shape, turns, forget.per_epoch, retain.per_epoch,
                                    (int)to->accumulate, e)))
        return -1;
    *o = shape;
    bool draws = engine_plan(g).direction == STEER_AFTER_DRAWS;
    int rc = to->order ? read_order(o, to->order, g, all.counts, e)
             : turns   ? draw_turns(o, &forget, &retain, pairs, to, e)
                       : draw(o, &all, pairs, train_order_epochs(to, &shape), to,
                            draws ? g->model->cfg.width : 0, e);
    /* The lengths are the data's, however many micro-batches a file holds. */
    o->per_epoch = shape.per_epoch;
    o->per_turn = shape.per_turn;
    o->turns = shape.turns;
    return rc;
}

/* Step number `step`: the examples that enter, dealt out to its micro-batches. */
static int enter(struct micro *m, int parts, enum role role, int examples, double q, unsigned seed,
                 long step, struct err *e)
{
    struct rng r;
    int n = 0;
    for (int k = 0; k < parts; k++)
        if (!(m[k].rows[role] = mem_alloc((size_t)examples / (size_t)parts + 1, sizeof(int), e)))
            return -1;
    rng_stream(&r, seed, RNG_SAMPLE, (uint32_t)step);
    for (int i = 0; i < examples; i++)
        if ((double)rng_u32(&r) < q * 4294967296.0) {
            struct micro *to = &m[n++ % parts];
            to->rows[role][to->n[role]++] = i;
        }
    return 0;
}

int run_order_by_chance(struct order *o, enum role role, int examples,
                        const struct train_options *to, struct err *e)
{
    const int parts = train_accumulate(to, o);
    const long steps = train_total_steps(to, o);
    const double q = fmin(1, (double)to->batch * parts / examples);
    struct order drawn = {.per_epoch = o->per_epoch};
    if (steps > INT32_MAX / parts)
        return err_set(e, "%ld steps are too many", steps);
    drawn.n = (int)steps * parts;
    if (!(drawn.micro = mem_alloc((size_t)drawn.n, sizeof *drawn.micro, e)))
        return -1;
    for (long s = 0; s < steps; s++)
        if (enter(drawn.micro + s * parts, parts, role, examples, q, (unsigned)to->seed, s, e)) {
            order_fini(&drawn);
            return -1;
        }
    order_fini(o);
    *o = drawn;
    return 0;
}
