/* Optimisers and wrappers: against figures that PyTorch computed (golden/survey: sam_npo,
 * sophia_paper, sophia_soul), against central differences, and what must hold without any
 * reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "methods/method.h"
#include "methods/wrapping.h"
#include "model/decoder.h"
#include "optim/optims.h"
#include "tap.h"
#include "train/direction.h"
#include "train/loop.h"

static const char *root; /* test/data */

/* A method on the rows of survey/batches, all in one micro-batch. */
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

static char *path_of(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    return p;
}

static void read_role(struct bench *b, const struct tensor_file *f, enum role role)
{
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int *v[3];
    const struct tensor *t = NULL;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", role_name[role], parts[i]);
        BUG_ON(!(t = tensor_find(f, name)) || !(v[i] = tensor_ints(t, &e)));
    }
    BUG_ON(dataset_from_matrix(&b->sets[role], role, v[0], v[1], v[2], (int)t->shape[0],
                               (int)t->shape[1], false, &e));
    b->g.sets[role] = &b->sets[role];
    b->mb.rows[role] = b->rows;
    b->mb.n[role] = b->sets[role].n;
    for (int i = 0; i < 3; i++)
        free(v[i]);
}

static void set(const struct param *table, void *obj, const char *name, const char *text)
{
    struct err e;
    BUG_ON(param_set_text(param_find(table, name), obj, text, &e));
}

static void bench_open(struct bench *b, const char *method, double alpha, const char *wrapper)
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
    tensor_file_close(&f);
    BUG_ON(!(b->r.method = method_by_name(method, &e)));
    param_defaults(method_params, &b->r.p);
    BUG_ON(param_apply_presets(method_params, &b->r.p, b->r.method->presets, &e));
    b->r.p.alpha = alpha;
    BUG_ON(recipe_choose_terms(&b->r, &e));
    if (b->r.forget && b->r.forget->layer) {
        set(b->r.forget->params, b->r.forget_params, "layer", "1");
        set(b->r.retain->params, b->r.retain_params, "layer", "1");
    }
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
    BUG_ON(wrapping_choose(&b->wrap, wrapper, &e) || wrapping_bind(&b->wrap, &b->g, &e));
    if (b->wrap.wrapper && b->wrap.wrapper->params)
        param_defaults(b->wrap.wrapper->params, b->wrap.params);
    b->order = (struct order){.micro = &b->mb, .n = 1, .per_epoch = 1};
    BUG_ON(engine_cache_reference(&b->g, &b->ref, &b->order, 0, 1, &e));
    for (int k = 0; k < 4; k++)
        BUG_ON(!(b->copy[k] = mem_alloc(b->m.table.total, sizeof(float), &e)));
    b->step =
        (struct gradient){.engine = &b->g, .order = &b->order, .copy = b->copy, .micro = &b->micro};
}

static void bench_close(struct bench *b)
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
static const float *gradient_of(struct bench *b, long step)
{
    struct err e;
    const struct wrapper *w = b->wrap.wrapper;
    gradient_start(&b->step, step, 1, 1);
    b->step.first = 0;
    BUG_ON(w && w->gradient ? w->gradient(b->wrap.params, &b->step, &e)
                            : gradient_add(&b->step, GOALS_METHOD, &e));
    return b->g.grads;
}

static float *copy_of(const float *v, size_t n)
{
    struct err e;
    float *copy = mem_alloc(n, sizeof *copy, &e);
    return memcpy(copy, v, n * sizeof *copy);
}

static double scalar(const struct tensor_file *f, const char *name, size_t i)
{
    struct err e;
    float *v = tensor_f32(tensor_find(f, name), &e);
    double x = (double)v[i];
    free(v);
    return x;
}

/* Every tensor PREFIX.weight of the file against `got`; tolerance rel of its largest entry + abs.
 */
static void compare(const struct bench *b, const struct tensor_file *f, const char *prefix,
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

/* NPO+SAM: the forget gradient at the perturbed weights, the retain gradient at theta. */
static void check_sam_figures(void)
{
    struct bench b;
    struct err e;
    struct tensor_file f;
    bench_open(&b, "NPO", 2.25, "sam");
    BUG_ON(tensor_file_open(&f, path_of("survey/sam_npo.safetensors"), &e));
    float *before = copy_of(b.m.own, b.m.table.total);
    gradient_of(&b, 0);
    compare(&b, &f, "grad", b.g.grads, 1e-4, 0, "sam_npo");
    near(b.step.loss[0], scalar(&f, "loss_forget", 0), 1e-5, 0, "sam_npo: the forget loss");
    near(b.step.loss[1], scalar(&f, "loss_retain", 0), 1e-5, 0, "sam_npo: the retain loss");
    near(b.micro, b.step.loss[0] + 2.25 * b.step.loss[1], 1e-12, 0, "sam_npo: and their sum");
    ok(!memcmp(before, b.m.own, b.m.table.total * sizeof(float)),
       "sam_npo: the weights are where they were");
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOAL_BIT(GOAL_FORGET), &e));
    near(gradient_norm(&b.step), scalar(&f, "norm_g1", 0), 1e-5, 0, "sam_npo: |g1|");
    tensor_file_close(&f);
    free(before);
    bench_close(&b);
}

/* With nothing to perturb a wrapper gives the bits of the plain gradient. */
static void check_idle(const char *wrapper, const char *option)
{
    struct bench a, b;
    bench_open(&a, "NPO", 1, "none");
    bench_open(&b, "NPO", 1, wrapper);
    set(b.wrap.wrapper->params, b.wrap.params, option, "0");
    gradient_of(&a, 3);
    gradient_of(&b, 3);
    ok(!memcmp(a.g.grads, b.g.grads, a.m.table.grads * sizeof(float)),
       "%s: %s 0 changes no bit of the gradient", wrapper, option);
    bench_close(&a);
    bench_close(&b);
}

/* rho |grad L_f| (mu 0), or rho |grad L_f(w + mu v) - grad L_f(w)| with v held fixed, and the
 * method's loss: what gnr and cr minimise. */
static double penalised(struct bench *b, double rho, double mu, const float *v)
{
    struct err e;
    struct gradient *s = &b->step;
    gradient_start(s, 0, 1, 1);
    BUG_ON(gradient_add(s, GOALS_METHOD, &e));
    double loss = gradient_loss(s);
    engine_zero_grads(&b->g);
    BUG_ON(gradient_add(s, GOAL_BIT(GOAL_FORGET), &e));
    if (mu > 0) {
        weights_save(&b->m, b->copy[3]);
        weights_shift(&b->m, mu, v);
        gradient_scale(s, -1);
        BUG_ON(gradient_add(s, GOAL_BIT(GOAL_FORGET), &e));
        weights_restore(&b->m, b->copy[3]);
    }
    return loss + rho * gradient_norm(s);
}

/* Along one direction of all weights the gradient is the slope of the penalised loss. */
static void check_penalty(const char *wrapper, const char *rho_name, double rho, double mu)
{
    struct bench b;
    struct err e;
    char text[32];
    bench_open(&b, "NPO", 1, wrapper);
    snprintf(text, sizeof text, "%g", rho);
    set(b.wrap.wrapper->params, b.wrap.params, rho_name, text);
    set(b.wrap.wrapper->params, b.wrap.params, mu > 0 ? "cr_difference" : "gnr_difference", "1e-3");
    if (mu > 0)
        set(b.wrap.wrapper->params, b.wrap.params, "cr_mu", "0.05");
    size_t n = b.m.table.total;
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOAL_BIT(GOAL_FORGET), &e));
    double norm = gradient_norm(&b.step);
    float *v = copy_of(b.g.grads, n);
    b.m.ops->scale(v, (float)(1 / norm), n);
    float *g = copy_of(gradient_of(&b, 0), n);
    double length = sqrt(b.m.ops->dot(g, g, n)), h = 1e-3;
    float *before = copy_of(b.m.own, n);
    b.m.ops->axpy(b.m.own, (float)(h / length), g, n);
    double up = penalised(&b, rho, mu, v);
    memcpy(b.m.own, before, n * sizeof *before);
    b.m.ops->axpy(b.m.own, (float)(-h / length), g, n);
    double slope = (up - penalised(&b, rho, mu, v)) / (2 * h);
    near(length, slope, 5e-3, 0, "%s: the gradient is the slope of the penalised loss", wrapper);
    memcpy(b.m.own, before, n * sizeof *before);
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
    b.m.ops->axpy(g, -1, b.g.grads, n);
    ok(sqrt(b.m.ops->dot(g, g, n)) > 0.05 * length, "%s: of which the penalty is a part", wrapper);
    free(before);
    free(g);
    free(v);
    bench_close(&b);
}

/* Random smoothing: the same draw for the same step, another for another, and the noise is rho. */
static void check_noise(void)
{
    struct bench b;
    bench_open(&b, "NPO", 1, "rs");
    size_t n = b.m.table.total;
    float *before = copy_of(b.m.own, n);
    float *one = copy_of(gradient_of(&b, 1), n), *again = copy_of(gradient_of(&b, 1), n);
    ok(!memcmp(one, again, n * sizeof *one), "rs: the step's number decides the draw");
    gradient_of(&b, 2);
    ok(memcmp(one, b.g.grads, n * sizeof *one), "rs: another step, another draw");
    ok(!memcmp(before, b.m.own, n * sizeof *before), "rs: the weights are where they were");
    struct rng r;
    rng_stream(&r, 0, RNG_NOISE, 1);
    weights_noise(&b.m, 1e-2, &r);
    b.m.ops->axpy(before, -1, b.m.own, n);
    near(sqrt(b.m.ops->dot(before, before, n) / (double)model_n_params(&b.m)), 1e-2, 0.02, 0,
         "rs: noise of standard deviation rho");
    free(one);
    free(again);
    free(before);
    bench_close(&b);
}

/* The mean of the weights after steps 2, 4, 6 of a made-up walk. */
static void check_average(void)
{
    struct bench b;
    bench_open(&b, "FT", 1, "wa");
    const struct wrapper *w = b.wrap.wrapper;
    set(w->params, b.wrap.params, "wa_start", "2");
    set(w->params, b.wrap.params, "wa_every", "2");
    size_t k = b.m.table.v[3].offset + 5;
    for (long s = 1; s <= 7; s++) {
        b.m.own[k] = (float)(s * s);
        w->follow(b.wrap.params, &b.m, b.copy, s);
    }
    w->finish(b.wrap.params, &b.m, b.copy, 7);
    near((double)b.m.own[k], (4 + 16 + 36) / 3.0, 1e-6, 0, "wa: the mean of the samples");
    set(w->params, b.wrap.params, "wa_decay", "0.5");
    for (long s = 1; s <= 7; s++) {
        b.m.own[k] = (float)(s * s);
        w->follow(b.wrap.params, &b.m, b.copy, s);
    }
    w->finish(b.wrap.params, &b.m, b.copy, 7);
    near((double)b.m.own[k], 0.25 * 4 + 0.25 * 16 + 0.5 * 36, 1e-6, 0, "wa: exponential");
    b.m.own[k] = -1;
    w->finish(b.wrap.params, &b.m, b.copy, 1);
    ok(b.m.own[k] == -1, "wa: a run that ends before the first sample keeps its last weights");
    bench_close(&b);
}

/* d loss / d delta is the slope of the loss, after each layer, for terms on hidden states and on
 * logits; what is added to one role's tokens does not touch the other role. */
static void check_latent(const char *method, int layer)
{
    struct bench b;
    struct err e;
    double loss[2], retain[2];
    float delta[64 * 24] = {0}, d[64 * 24], v[64 * 24];
    bench_open(&b, method, 1, "none");
    struct latent at = {.layer = layer, .delta = delta, .ddelta = d};
    for (int s = 0; s < b.sets[ROLE_FORGET].n; s++)
        at.n += b.sets[ROLE_FORGET].seqs[s].n;
    int n = at.n * 24;
    BUG_ON(n > 64 * 24);
    for (int i = 0; i < n; i++)
        delta[i] = 0.3f * sinf((float)i);
    gradient_start(&b.step, 0, 1, 1);
    b.step.latent = &at;
    BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
    double length = sqrt(b.m.ops->dot(d, d, (size_t)n)), h = 1e-2 / length;
    memcpy(v, d, sizeof v);
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < n; i++)
            delta[i] = 0.3f * sinf((float)i) + (way ? -1 : 1) * (float)h * v[i];
        gradient_start(&b.step, 0, 1, 1);
        b.step.latent = &at;
        BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
        loss[way] = gradient_loss(&b.step);
        retain[way] = b.step.loss[1];
    }
    near(length, (loss[0] - loss[1]) / (2 * h * length), 2e-3, 0,
         "%s: d/d delta after layer %d is the slope", method, layer);
    near(retain[0], retain[1], 1e-6, 0, "%s: and nothing else moved", method);
    bench_close(&b);
}

/* The inner attack stays within eps, moves only the tokens it may, and lowers the forget loss. */
static void check_lat(const char *tokens)
{
    struct bench b;
    struct err e;
    bench_open(&b, "NPO", 1, "lat");
    const struct wrapper *w = b.wrap.wrapper;
    set(w->params, b.wrap.params, "lat_layer", "1");
    set(w->params, b.wrap.params, "lat_eps", "0.5");
    set(w->params, b.wrap.params, "lat_tokens", tokens);
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
    double plain = b.step.loss[0];
    gradient_of(&b, 0);
    const struct latent *at = b.step.latent;
    double longest = 0;
    bool right = true;
    for (int s = 0, i = 0; s < b.sets[ROLE_FORGET].n; s++) {
        const struct seq *q = &b.sets[ROLE_FORGET].seqs[s];
        bool label = false;
        for (int t = 0; t < q->n; t++, i++) {
            double length = sqrt(b.m.ops->dot(at->delta + 24 * i, at->delta + 24 * i, 24));
            longest = fmax(longest, length);
            label |= q->labels[t] != LABEL_NONE;
            bool may = !strcmp(tokens, "all") ||
                       (!strcmp(tokens, "prompt") ? !label : q->labels[t] != LABEL_NONE);
            /* The last token predicts nothing: its own delta has no derivative. */
            right &= may ? length > 0 || t + 1 == q->n : length == 0;
        }
    }
    near(longest, 0.5, 1e-5, 0, "lat: the longest perturbation of %s has length eps", tokens);
    ok(right, "lat: %s tokens are perturbed, and no others", tokens);
    ok(b.step.loss[0] > plain + 0.01,
       "lat: the attack brings back what NPO forgets: %.4g, plain %.4g", b.step.loss[0], plain);
    b.step.again = true;
    float *first = copy_of(b.g.grads, b.m.table.total);
    engine_zero_grads(&b.g);
    BUG_ON(w->gradient(b.wrap.params, &b.step, &e));
    ok(!memcmp(first, b.g.grads, b.m.table.total * sizeof *first),
       "lat: the next steps on the batch meet the same attack");
    free(first);
    bench_close(&b);
}

/* An attacker who cannot move (rate 0) leaves the sum of its parts at w; one who can leaves w as it
 * was, and another gradient. */
static void check_tar(void)
{
    struct bench b;
    struct err e;
    bench_open(&b, "NPO", 1, "tar");
    const struct wrapper *w = b.wrap.wrapper;
    size_t n = b.m.table.total;
    ok(w->gradient(b.wrap.params, (gradient_start(&b.step, 0, 1, 1), &b.step), &e) &&
           strstr(e.msg, "give a smaller --batch"),
       "tar: no forget rows left for the attacker: %s", e.msg);
    b.mb.n[ROLE_FORGET] = 1;
    b.m.own[5] += 0.01f; /* hidden states that are not the reference's */
    set(w->params, b.wrap.params, "tar_steps", "6");
    set(w->params, b.wrap.params, "tar_every", "2");
    set(w->params, b.wrap.params, "tar_lr", "0");
    float *before = copy_of(b.m.own, n), *still = copy_of(gradient_of(&b, 0), n);
    double scale = 4 * (exp(-0.0625 * 4) + exp(-0.0625 * 2) + 1);
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOAL_BIT(GOAL_WRAPPER + 2), &e));
    double share = scale * gradient_norm(&b.step);
    gradient_scale(&b.step, scale);
    BUG_ON(gradient_add(&b.step, GOALS_METHOD | GOAL_BIT(GOAL_WRAPPER + 3), &e));
    double all = gradient_norm(&b.step);
    gradient_axpy(&b.step, -1, still);
    near(gradient_norm(&b.step), 0, 0, 1e-5 * all, "tar: the gradients at w, and on the way");
    ok(share > 0.01 * all, "tar: of which the way is a part: %.3g of %.3g", share, all);
    set(w->params, b.wrap.params, "tar_lr", "0.01");
    gradient_of(&b, 0);
    ok(!memcmp(before, b.m.own, n * sizeof *before), "tar: the weights are where they were");
    float *moved = copy_of(b.g.grads, n);
    gradient_of(&b, 0);
    ok(!memcmp(moved, b.g.grads, n * sizeof *moved), "tar: the step's number decides the attack");
    gradient_axpy(&b.step, -1, still);
    ok(gradient_norm(&b.step) > 0.01 * all, "tar: the attack counts");
    free(before);
    free(still);
    free(moved);
    bench_close(&b);
}

/* The mean state of last prompt tokens, from one pass over whole examples. */
static void mean_state(struct bench *b, enum role role, int layer, double sign, double *mean)
{
    struct arena a;
    struct batch batch;
    struct pass p;
    struct err e;
    const struct dataset *d = &b->sets[role];
    arena_init(&a);
    BUG_ON(batch_pack(&batch, d->seqs, d->n, b->m.cfg.vocab, b->m.cfg.positions, &a, &e) ||
           decoder_forward(&b->m, &batch, b->m.cfg.layers, true, &p, &a, &e));
    for (int s = 0; s < d->n; s++) {
        int t = 0;
        while (d->seqs[s].labels[t + 1] == LABEL_NONE)
            t++;
        for (int i = 0; i < 24; i++)
            mean[i] += sign / d->n * (double)p.acts[layer + 1].x[(batch.start[s] + t) * 24 + i];
    }
    arena_fini(&a);
}

static void check_refusal(void)
{
    struct bench b;
    struct err e;
    float v[24];
    double want[24] = {0}, worst = 0, top = 0;
    bench_open(&b, "NPO", 1, "none");
    mean_state(&b, ROLE_RETAIN, 1, 1, want);
    mean_state(&b, ROLE_FORGET, 1, -1, want);
    ok(!direction_to_refusal(v, &b.m, &b.sets[ROLE_RETAIN], &b.sets[ROLE_FORGET], 1, &e),
       "the direction of refusal");
    for (int i = 0; i < 24; i++) {
        worst = fmax(worst, fabs((double)v[i] - want[i]));
        top = fmax(top, fabs(want[i]));
    }
    near(worst, 0, 0, 1e-5 * top, "is the difference of two means");
    bench_close(&b);
}

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
            o->estimate(p, &s, d->n_labels);
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
        o->step(p, &s);
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
        o->step(p, &s);
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
    root = dir;
    check_sam_figures();
    check_idle("sam", "sam_rho");
    check_idle("rs", "rs_rho");
    check_idle("gnr", "gnr_rho");
    check_idle("cr", "cr_rho");
    check_penalty("gnr", "gnr_rho", 0.1, 0);
    check_penalty("cr", "cr_rho", 1, 0.05);
    check_idle("lat", "lat_eps");
    check_idle("lat", "lat_steps");
    for (int layer = 0; layer < 3; layer++)
        check_latent("NPO", layer);
    check_latent("RMU", 1);
    check_lat("all");
    check_lat("prompt");
    check_lat("labels");
    check_idle("tar", "tar_steps");
    check_tar();
    check_noise();
    check_refusal();
    check_average();
    check_sophia_figures("survey/sophia_paper.safetensors", &optim_sophia);
    check_sophia_figures("survey/sophia_soul.safetensors", &optim_sophia_soul);
    check_sampled();
    check_formula(&optim_sgd);
    check_formula(&optim_lion);
    free(dir);
    return done();
}
