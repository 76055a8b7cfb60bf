/* Tamper-resistant safeguards (TAR, arXiv 2408.00761): each step simulates an attacker who
 * fine-tunes the model for K steps, and adds to the gradient at w the gradients of a loss at the
 * attacker's weights (first-order: these are treated as if they did not depend on w): scale sum_i
 * w_i grad [-entropy on held-out forget data](w_i'),  w_i = exp(lambda (i - (K-1))), at every
 * tar_every-th step i of the attack. In addition to the method's terms, embed_stay keeps the hidden
 * states of the retain data.
 *
 * The attacker uses AdamW on forget rows that this step does not read, or, with probability
 * tar_switch, on retain rows for the first M of its steps, M / K ~ Beta(6,3); its learning rate is
 * tar_lr, a half or a twentieth of it. The paper's first phase, random mapping, is a stage of
 * the method (run/procedure.h).
 * Memory: the weights, the accumulated gradient and the attacker's two moments. */
#include <math.h>
#include <string.h>

#include "optim/optims.h"

struct tar {
    int64_t tar_steps, tar_every, tar_batch;
    double tar_lr, tar_scale, tar_lambda, tar_switch;
};

static const struct param params[] = {
    INT_PARAM(struct tar, tar_steps, 0, 100000, 64, "K, steps of the attacker; 0: no attack"),
    INT_PARAM(struct tar, tar_every, 1, 100000, 4,
              "evaluate the tamper-resistance loss every N steps of the attacker"),
    INT_PARAM(struct tar, tar_batch, 1, 65536, 4, "examples in the attacker's batches"),
    REAL_PARAM(struct tar, tar_lr, 0, 10, 4e-5,
               "attacker's learning rate: drawn from X, X / 2 and X / 20"),
    REAL_PARAM(struct tar, tar_scale, 0, 1e6, 4, "weight of the tamper-resistance gradients"),
    REAL_PARAM(struct tar, tar_lambda, 0, 100, 0.0625,
               "decay rate of that weight for earlier steps of the attacker"),
    REAL_PARAM(struct tar, tar_switch, 0, 1, 0.3333333,
               "probability that the attacker starts with retain data"),
    {0},
};

/* The goals of the wrapper's extra terms, in their order. */
enum {
    ATTACK_FORGET = GOAL_BIT(GOAL_WRAPPER),
    ATTACK_RETAIN = GOAL_BIT(GOAL_WRAPPER + 1),
    RESIST = GOAL_BIT(GOAL_WRAPPER + 2),
    STAY = GOAL_BIT(GOAL_WRAPPER + 3)
};

enum { W, GATHERED, M, V, COPIES }; /* the arrays in gradient.copy */

struct attacker {
    struct rng rng;
    double lr;
    long retain_steps;     /* on retain data, before the forget data */
    int *pool[ROLE_COUNT]; /* rows it may draw */
    int n_pool[ROLE_COUNT];
    int *rows; /* [batch] */
};

/* A draw from Beta(6,3): the sixth smallest of eight uniform numbers. */
static double draw_share(struct rng *r)
{
    enum { ALL = 8, RANK = 6 };
    float u[ALL];
    for (int i = 0; i < ALL; i++) {
        float x = rng_float(r);
        int k = i;
        for (; k > 0 && u[k - 1] > x; k--)
            u[k] = u[k - 1];
        u[k] = x;
    }
    return (double)u[RANK - 1];
}

static bool is_read(const struct gradient *g, enum role role, int row)
{
    for (int k = g->first; k < g->first + g->n; k++)
        for (int i = 0; i < g->order->micro[k].n[role]; i++)
            if (g->order->micro[k].rows[role][i] == row)
                return true;
    return false;
}

/* The rows of a role; of the forget role without those of the current step. */
static int fill_pool(struct attacker *a, struct gradient *g, enum role role, struct err *e)
{
    const struct dataset *set = g->engine->sets[role];
    if (!(a->pool[role] = arena_take(&g->kept, (size_t)set->n, sizeof(int), e)))
        return -1;
    for (int i = 0; i < set->n; i++)
        if (role != ROLE_FORGET || !is_read(g, role, i))
            a->pool[role][a->n_pool[role]++] = i;
    return a->n_pool[role]
               ? 0
               : err_about(e, "batch",
                           "wrapper 'tar' needs forget rows outside the step's batch for the "
                           "attacker, and there are none");
}

static int begin(struct attacker *a, const struct tar *p, struct gradient *g, struct err *e)
{
    static const double rates[] = {1, 0.5, 0.05};
    const struct model *m = g->engine->model;
    *a = (struct attacker){0};
    rng_stream(&a->rng, g->seed, RNG_NOISE, (uint32_t)g->step + 1);
    a->lr = p->tar_lr * rates[rng_below(&a->rng, 3)];
    if ((double)rng_float(&a->rng) < p->tar_switch)
        a->retain_steps = (long)(draw_share(&a->rng) * (double)p->tar_steps);
    weights_save(m, g->copy[W]);
    for (int k = GATHERED; k < COPIES; k++)
        m->ops->fill(g->copy[k], 0, m->table.moving);
    a->rows = arena_take(&g->kept, (size_t)p->tar_batch, sizeof(int), e);
    return !a->rows || fill_pool(a, g, ROLE_FORGET, e) || fill_pool(a, g, ROLE_RETAIN, e);
}

/* Step i of the attacker, from 0. */
static int attack(struct attacker *a, const struct tar *p, struct gradient *g, long i,
                  struct err *e)
{
    struct model *m = g->engine->model;
    enum role role = i < a->retain_steps ? ROLE_RETAIN : ROLE_FORGET;
    struct micro mb = {.rows = {[ROLE_COUNT - 1] = NULL}};
    struct adamw o = {
        .lr = a->lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.01, .step = i + 1};
    double loss;
    for (int64_t k = 0; k < p->tar_batch; k++)
        a->rows[k] = a->pool[role][rng_below(&a->rng, (uint32_t)a->n_pool[role])];
    mb.rows[role] = a->rows;
    mb.n[role] = (int)p->tar_batch;
    engine_drop_grads(g->engine);
    if (gradient_add_rows(g, role == ROLE_RETAIN ? ATTACK_RETAIN : ATTACK_FORGET, &mb, &loss, e))
        return -1;
    for (int k = 0; k < m->table.n; k++) {
        const struct weight *w = &m->table.v[k];
        if (w->trainable)
            m->ops->adamw(m->own + w->offset, g->copy[M] + w->at, g->copy[V] + w->at,
                          g->engine->grads + w->at, w->count, 1, &o);
    }
    return 0;
}

/* Adds the gradient of the tamper-resistance loss at the attacker's weights. */
static int resist(const struct tar *p, struct gradient *g, long i, struct err *e)
{
    const struct model *m = g->engine->model;
    double weight = p->tar_scale * exp(p->tar_lambda * (double)(i - (p->tar_steps - 1)));
    engine_drop_grads(g->engine);
    if (gradient_add(g, RESIST, e))
        return -1;
    m->ops->axpy(g->copy[GATHERED], (float)weight, g->engine->grads, m->table.moving);
    return 0;
}

static int play(struct attacker *a, const struct tar *p, struct gradient *g, struct err *e)
{
    for (long i = 0; i < p->tar_steps; i++)
        if (attack(a, p, g, i, e) || ((i + 1) % p->tar_every == 0 && resist(p, g, i, e)))
            return -1;
    return 0;
}

static int gradient(const void *params_, struct gradient *g, struct err *e)
{
    const struct tar *p = params_;
    struct attacker a;
    if (p->tar_steps == 0)
        return gradient_add(g, GOALS_METHOD, e);
    if (engine_reserve_grads(g->engine, e) || begin(&a, p, g, e))
        return -1;
    int rc = play(&a, p, g, e);
    weights_restore(g->engine->model, g->copy[W]);
    engine_drop_grads(g->engine);
    if (rc || gradient_add(g, GOALS_METHOD | STAY, e))
        return -1;
    gradient_axpy(g, 1, g->copy[GATHERED]);
    return 0;
}

const struct wrapper wrapper_tar = {
    .name = "tar",
    .paper = "arXiv 2408.00761",
    .help = "resistance to fine-tuning attacks (tamper resistance)",
    .formula = "grad L(w) + grad embed_stay + tar_scale sum_i exp(tar_lambda (i - K + 1)) grad "
               "neg_entropy(w after i steps of attack)",
    .params = params,
    .params_size = sizeof(struct tar),
    .extra = {{"nll", ROLE_FORGET},
              {"nll", ROLE_RETAIN},
              {"neg_entropy", ROLE_FORGET},
              {"embed_stay", ROLE_RETAIN}},
    .moves = RESIST | STAY,
    .n_copies = COPIES,
    .gradient = gradient,
};
