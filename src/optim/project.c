/* The step that forgets without hurting, to first order, what is retained: where the gradient u of
 * the forget term and g_r, that of the NLL of the step's retain rows, point apart (<u, g_r> < 0),
 * the part of u along g_r is taken off (arXiv 2503.09117). The method's retain term is added as it
 * is. */
#include "optim/optims.h"

struct project {
    bool project_tensors;
};

static const struct param params[] = {
    BOOL_PARAM(struct project, project_tensors, false,
               "tensor by tensor, each by its own part of the gradients, not as a whole"),
    {0},
};

/* r [n] becomes what is to be added to u [n]. */
static void correct(const struct ops *o, const device float *u, device float *r, size_t n)
{
    const double dot = o->dot(u, r, n), square = o->dot(r, r, n);
    o->scale(r, dot < 0 && square > 0 ? (float)(-dot / square) : 0, n);
}

static int gradient(const void *params_, struct gradient *g, struct err *e)
{
    const struct project *p = params_;
    const struct engine *en = g->engine;
    const struct weight_table *t = &en->model->table;
    if (gradient_add(g, GOAL_BIT(GOAL_FORGET), e))
        return -1;
    gradient_save(g, g->copy[0]);
    engine_drop_grads(g->engine);
    if (gradient_add(g, GOAL_BIT(GOAL_WRAPPER), e))
        return -1;
    if (!p->project_tensors)
        correct(en->model->ops, g->copy[0], en->grads, t->moving);
    for (int i = 0; p->project_tensors && i < t->n; i++) {
        const struct weight *w = &t->v[i];
        if (w->trainable)
            correct(en->model->ops, g->copy[0] + w->at, en->grads + w->at, w->count);
    }
    gradient_axpy(g, 1, g->copy[0]);
    return gradient_add(g, GOAL_BIT(GOAL_RETAIN), e);
}

const struct wrapper wrapper_project = {
    .name = "project",
    .paper = "arXiv 2503.09117",
    .help = "the forget gradient less its part that raises the retain loss",
    .formula =
        "u - min(0, <u,g_r>) / <g_r,g_r> g_r + alpha grad L_r, u = gamma grad L_f, g_r = grad "
        "of the retain rows' NLL",
    .params = params,
    .params_size = sizeof(struct project),
    .extra = {{"nll", ROLE_RETAIN}},
    .n_copies = 1,
    .gradient = gradient,
};
