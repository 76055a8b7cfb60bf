/* Optimisers: Sophia's two forms against figures that PyTorch computed (golden/survey), the others
 * against their formulas, and the labels that a model draws for itself. */
#include "bench.h"

static struct optim_step optim_step_of(const struct bench *b, double lr, double decay, long step)
{
    static float *state[2];
    memcpy(state, b->copy, sizeof state);
    return (struct optim_step){.ops = b->m.ops,
                               .table = &b->m.table,
                               .w = b->m.own,
                               .state = state,
                               .grad = b->g.grads,
                               .grad_scale = 1,
                               .lr = lr,
                               .weight_decay = decay,
                               .step = step};
}

/* The labels that were drawn for estimate k, in place of the retain set's. */
static void label_with(struct bench *b, const struct tensor_file *f, int k)
{
    struct err e;
    int *drawn = tensor_ints(tensor_find(f, "sampled_labels"), &e);
    const struct tensor *t = tensor_find(f, "sampled_labels");
    int n_rows = (int)t->shape[1], length = (int)t->shape[2];
    for (int s = 0; s < n_rows; s++)
        for (int i = 0; i < b->sets[ROLE_RETAIN].seqs[s].n; i++)
            ((int *)(uintptr_t)b->sets[ROLE_RETAIN].seqs[s].labels)[i] =
                drawn[(k * n_rows + s) * length + i];
    free(drawn);
}

static void check_sophia_figures(const char *file, const struct optim *o)
{
    struct bench b;
    struct err e;
    struct tensor_file f;
    bench_open(&b, "FT", 1, "none");
    BUG_ON(tensor_file_open(&f, path_of(file), &e));
    void *p = mem_alloc(1, o->params_size, &e);
    param_defaults(o->params, p);
    if (o->estimate) {
        set(o->params, p, "sophia_gamma", "10");
        set(o->params, p, "sophia_interval", "2");
    }
    for (int i = 0; i < b.m.table.n; i++)
        b.m.table.v[i].decay = true;
    const struct dataset *d = &b.sets[ROLE_RETAIN];
    int *own = mem_alloc((size_t)d->n * 64, sizeof *own, &e);
    for (int s = 0; s < d->n; s++)
        memcpy(own + 64 * s, d->seqs[s].labels, (size_t)d->seqs[s].n * sizeof(int));
    for (int step = 1; step <= 6; step++) {
        if (step < 6 && o->estimate && o->wants_estimate(p, step)) {
            label_with(&b, &f, step / 2);
            gradient_of(&b, step);
            struct optim_step s = optim_step_of(&b, 1e-3, 0.1, step);
            optim_estimate(o, p, &s, d->n_labels);
            for (int k = 0; k < d->n; k++)
                memcpy((int *)(uintptr_t)d->seqs[k].labels, own + 64 * k,
                       (size_t)d->seqs[k].n * sizeof(int));
        }
        gradient_of(&b, step);
        near(b.step.loss[0], scalar(&f, "loss", (size_t)step - 1), 1e-4, 0,
             "%s: loss before step %d", o->name, step);
        if (step == 6)
            break;
        struct optim_step s = optim_step_of(&b, 1e-3, 0.1, step);
        optim_apply(o, p, &s);
    }
    compare(&b, &f, "final", b.m.own, 0, 2e-5, o->name);
    free(own);
    free(p);
    tensor_file_close(&f);
    bench_close(&b);
}

/* Labels drawn from the model have the model's distribution: over many draws the mean gradient of
 * the token mean vanishes (the score has mean zero), and its square is what Sophia estimates. */
static void check_sampled(void)
{
    struct bench b;
    struct err e;
    double labels, single = 0;
    bench_open(&b, "FT", 1, "none");
    size_t n = b.m.table.total;
    gradient_start(&b.step, 0, 1, 1);
    enum { DRAWS = 64 };
    for (int k = 0; k < DRAWS; k++) {
        b.step.step = k;
        BUG_ON(gradient_add_sampled(&b.step, &labels, &e));
        if (!k)
            single = gradient_norm(&b.step);
    }
    near(labels, b.sets[ROLE_RETAIN].n_labels, 0, 0, "sampled: every scored token gets a label");
    double mean = gradient_norm(&b.step) / DRAWS;
    ok(mean < 2 * single / sqrt(DRAWS),
       "sampled: the mean of %d gradients is short: %.3g, one: %.3g", DRAWS, mean, single);
    gradient_start(&b.step, 5, 1, 1);
    b.step.first = 0;
    BUG_ON(gradient_add_sampled(&b.step, &labels, &e));
    float *one = copy_of(b.g.grads, n);
    gradient_start(&b.step, 5, 1, 1);
    b.step.first = 0;
    BUG_ON(gradient_add_sampled(&b.step, &labels, &e));
    ok(!memcmp(one, b.g.grads, n * sizeof *one), "sampled: the step's number decides the labels");
    free(one);
    bench_close(&b);
}

/* The same step, then the decay: each weight is that of a step without decay, times 1 - lr decay.
 */
static void check_decay_last(void)
{
    struct bench b;
    struct err e;
    double worst = 0;
    float *w[2];
    bench_open(&b, "FT", 1, "none");
    size_t n = b.m.table.total;
    void *p = mem_alloc(1, optim_adamw.params_size, &e);
    param_defaults(optim_adamw.params, p);
    compat_apply("adamw_decay_last", optim_adamw.params, p);
    gradient_of(&b, 1);
    float *start = copy_of(b.m.own, n);
    for (int way = 0; way < 2; way++) {
        struct optim_step s = optim_step_of(&b, 1e-2, way ? 0.1 : 0, 1);
        for (int k = 0; k < optim_adamw.n_states; k++)
            memset(s.state[k], 0, n * sizeof(float));
        memcpy(b.m.own, start, n * sizeof(float));
        optim_apply(&optim_adamw, p, &s);
        w[way] = copy_of(b.m.own, n);
    }
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *x = &b.m.table.v[i];
        double keep = x->decay ? 1 - 1e-2 * 0.1 : 1;
        for (size_t k = x->offset; k < x->offset + x->count; k++)
            worst = fmax(worst, fabs((double)w[1][k] - keep * (double)w[0][k]));
    }
    near(worst, 0, 0, 1e-7, "adamw: the decay comes last under its switch");
    free(w[0]);
    free(w[1]);
    free(start);
    free(p);
    bench_close(&b);
}

/* One step of an optimiser without figures, against its formula. */
static void check_formula(const struct optim *o)
{
    struct bench b;
    struct err e;
    bench_open(&b, "FT", 1, "none");
    void *p = mem_alloc(1, o->params_size, &e);
    if (o->params)
        param_defaults(o->params, p);
    float *w = copy_of(b.m.own, b.m.table.total);
    double worst = 0, m[2] = {0};
    for (int step = 1; step <= 2; step++) {
        gradient_of(&b, 0);
        const struct weight *at = &b.m.table.v[2];
        size_t i = at->offset + 7;
        double g = (double)b.g.grads[i] * 0.5, lr = 0.01, x = (double)w[i] * (1 - lr * 0.1);
        double to = 0.9 * m[0] + 0.1 * g;
        x -= lr * (o == &optim_sgd ? g : to > 0 ? 1 : -1);
        m[0] = 0.99 * m[0] + 0.01 * g;
        struct optim_step s = optim_step_of(&b, lr, 0.1, step);
        s.grad_scale = 0.5f;
        optim_apply(o, p, &s);
        worst = fmax(worst, fabs((double)b.m.own[i] - x));
        w[i] = b.m.own[i];
    }
    near(worst, 0, 0, 1e-7, "%s: two steps of its formula", o->name);
    free(w);
    free(p);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    bench_root = dir;
    check_decay_last();
    check_sophia_figures("survey/sophia_paper.safetensors", &optim_sophia);
    check_sophia_figures("survey/sophia_soul.safetensors", &optim_sophia_soul);
    check_sampled();
    check_formula(&optim_sgd);
    check_formula(&optim_lion);
    free(dir);
    return done();
}
