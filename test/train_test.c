/* Methods, optimiser steps and the whole loop against the peer's own code (golden figures of
 * OpenUnlearning on PyTorch), and what must hold without any reference: resume, accumulation,
 * refusal of NaN. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "methods/method.h"
#include "optim/optims.h"
#include "tap.h"
#include "train/loop.h"

enum { OU = COMPAT_KL_ALL_POSITIONS | COMPAT_MICRO_MEAN | COMPAT_PAD_EMBED_FROZEN };

static const char *root; /* test/data */

/* A model, its engine and data, as a job has them. */
struct bench {
    struct model m, ref;
    struct engine g;
    struct dataset sets[ROLE_COUNT];
    struct recipe r;
    struct order order;
};

static char *path_of(const char *dir, const char *name)
{
    static char path[2][512];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, sizeof path[0], "%s/%s%s", root, dir, name);
    return p;
}

static float *read_f32(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    return t ? tensor_f32(t, &e) : NULL;
}

static double scalar(const struct tensor_file *f, const char *name, int i)
{
    float *v = read_f32(f, name);
    double x = v ? (double)v[i] : NAN;
    free(v);
    return x;
}

static void bench_open(struct bench *b, const char *cur, const char *ref, const char *method,
                       const char *retain, double alpha, unsigned compat)
{
    struct err e;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of("models/", cur), true, &e));
    BUG_ON(model_open(&b->ref, path_of("models/", ref), false, &e));
    engine_init(&b->g, &b->m);
    b->g.ref = &b->ref;
    b->g.compat = compat;
    b->r.method = method_by_name(method, &e);
    param_defaults(method_params, &b->r.p);
    b->r.p.alpha = alpha;
    b->r.p.retain_loss_type = retain;
    BUG_ON(recipe_choose_terms(&b->r, &e));
}

static void bench_close(struct bench *b)
{
    order_fini(&b->order);
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&b->sets[i]);
    recipe_fini(&b->r);
    engine_fini(&b->g);
    model_close(&b->m);
    model_close(&b->ref);
}

/* PREFIXrole.{input_ids,labels,attention_mask} as the role's set. */
static void bench_read(struct bench *b, const struct tensor_file *f, const char *prefix,
                       enum role role, bool padded)
{
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int *v[3];
    const struct tensor *t = NULL;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s.%s", prefix, role_name[role], parts[i]);
        BUG_ON(!(t = tensor_find(f, name)) || !(v[i] = tensor_ints(t, &e)));
    }
    dataset_fini(&b->sets[role]);
    BUG_ON(dataset_from_matrix(&b->sets[role], role, v[0], v[1], v[2], (int)t->shape[0],
                               (int)t->shape[1], padded, &e));
    b->g.sets[role] = &b->sets[role];
    for (int i = 0; i < 3; i++)
        free(v[i]);
}

/* One micro-batch of all rows of every set. */
static void whole(const struct bench *b, struct micro *mb)
{
    static int rows[64];
    *mb = (struct micro){0};
    for (int i = 0; i < 64; i++)
        rows[i] = i;
    for (int r = 0; r < ROLE_COUNT; r++)
        if (b->g.sets[r]) {
            mb->rows[r] = rows;
            mb->n[r] = b->g.sets[r]->n;
        }
}

static double worst_of(const float *got, const float *want, size_t n, double *top)
{
    double d = 0;
    *top = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)got[i] - (double)want[i]);
        d = x <= d ? d : x;
        *top = fmax(*top, fabs((double)want[i]));
    }
    return d;
}

static void check_method(const char *file, const char *method, const char *retain, double alpha,
                         bool padded)
{
    struct bench b;
    struct err e;
    struct tensor_file in, want;
    struct micro mb;
    struct norm norm;
    struct micro_result res;
    bench_open(&b, "m_cur", "m_ref", method, retain, alpha, OU);
    BUG_ON(tensor_file_open(&in, path_of("methods/", "batches.safetensors"), &e));
    BUG_ON(tensor_file_open(&want, path_of("methods/", file), &e));
    bench_read(&b, &in, "", ROLE_FORGET, padded);
    bench_read(&b, &in, "", ROLE_RETAIN, padded);
    whole(&b, &mb);
    struct order o = {.micro = &mb, .n = 1, .per_epoch = 1};
    BUG_ON(recipe_bind(&b.r, &b.g, &e) || engine_cache_reference(&b.g, &b.ref, &o, 0, 1, &e));
    engine_count(&b.g, &o, 0, 1, &norm);
    ok(!engine_micro(&b.g, &mb, &norm, &res, &e), "%s: forward and backward", file);
    double loss = 0;
    for (int i = 0; i < b.g.n_obj; i++) {
        double part = res.loss[i];
        const char *name = b.g.obj[i].role[0] == ROLE_FORGET ? "forget_loss" : "retain_loss";
        near(part, scalar(&want, name, 0), 1e-5, 0, "%s: %s", file, name);
        loss += b.g.obj[i].weight * part;
    }
    near(loss, scalar(&want, "loss", 0), 1e-5, 0, "%s: loss", file);
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double top;
        snprintf(name, sizeof name, "grad.%s", w->name);
        float *g = read_f32(&want, name);
        BUG_ON(!g);
        double d = worst_of(b.g.grads + w->offset, g, w->count, &top);
        near(d, 0, 0, 1e-4 * top, "%s: %s", file, name);
        free(g);
    }
    tensor_file_close(&in);
    tensor_file_close(&want);
    bench_close(&b);
}

/* Ten AdamW steps on twenty micro-batches, each with its own tensors. */
static void check_steps(const char *file, const char *method)
{
    struct bench b;
    struct err e;
    struct tensor_file in, want;
    struct train_options o;
    void *adam = mem_alloc(1, optim_adamw.params_size, &e);
    bench_open(&b, "m_cur", "m_ref", method, "NLL", 1, OU);
    BUG_ON(tensor_file_open(&in, path_of("steps/", "batches.safetensors"), &e));
    BUG_ON(tensor_file_open(&want, path_of("steps/", file), &e));
    param_defaults(train_params, &o);
    param_defaults(optim_adamw.params, adam);
    o.lr = 1e-3;
    o.warmup_steps = 2;
    float *state[2] = {mem_alloc(b.m.table.total, sizeof(float), &e),
                       mem_alloc(b.m.table.total, sizeof(float), &e)};
    for (int s = 0; s < 10; s++) {
        engine_zero_grads(&b.g);
        double loss = 0;
        for (int k = 0; k < 2; k++) {
            struct micro mb;
            struct norm norm;
            struct micro_result res;
            char prefix[16];
            snprintf(prefix, sizeof prefix, "%d.", 2 * s + k);
            for (int role = ROLE_FORGET; role <= ROLE_RETAIN; role++)
                bench_read(&b, &in, prefix, (enum role)role, false);
            if (!b.g.n_obj)
                BUG_ON(recipe_bind(&b.r, &b.g, &e));
            whole(&b, &mb);
            struct order order = {.micro = &mb, .n = 1, .per_epoch = 1};
            for (int role = 0; role < ROLE_COUNT; role++) {
                scores_fini(&b.g.ref_logp[role].scores);
                free(b.g.ref_logp[role].at);
                b.g.ref_logp[role].at = NULL;
            }
            BUG_ON(engine_cache_reference(&b.g, &b.ref, &order, 0, 1, &e));
            engine_count(&b.g, &order, 0, 1, &norm);
            norm.micros = 2;
            BUG_ON(engine_micro(&b.g, &mb, &norm, &res, &e));
            double micro = 0;
            for (int i = 0; i < b.g.n_obj; i++)
                micro += 2 * b.g.obj[i].weight * res.loss[i];
            near(micro, scalar(&want, "micro_loss", 2 * s + k), 1e-4, 0,
                 "%s: loss of micro-batch %d", file, 2 * s + k);
            loss += micro / 2;
        }
        double norm = sqrt(b.m.ops->dot(b.g.grads, b.g.grads, b.m.table.total));
        double lr = train_lr(&o, s, 10, 10), scale = 1 / (norm + 1e-6);
        near(norm, scalar(&want, "grad_norm", s), 1e-4, 0, "%s: gradient norm of step %d", file, s);
        near(lr, scalar(&want, "lr", s), 1e-6, 0, "%s: learning rate of step %d", file, s);
        struct optim_step step = {.ops = b.m.ops,
                                  .table = &b.m.table,
                                  .w = b.m.own,
                                  .state = state,
                                  .grad = b.g.grads,
                                  .grad_scale = (float)fmin(1, scale),
                                  .lr = lr,
                                  .weight_decay = 0.01,
                                  .step = s + 1};
        optim_adamw.step(adam, &step);
    }
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double top;
        snprintf(name, sizeof name, "final.%s", w->name);
        float *f = read_f32(&want, name);
        near(worst_of(b.m.own + w->offset, f, w->count, &top), 0, 0, 2e-5, "%s: %s", file, name);
        free(f);
    }
    free(state[0]);
    free(state[1]);
    free(adam);
    tensor_file_close(&in);
    tensor_file_close(&want);
    bench_close(&b);
}

/* The loop on the rows of golden/loop; out: a fresh directory under the scratch one. */
static int run_loop(struct bench *b, const struct train_options *o, const char *name,
                    struct train_report *rep, const volatile sig_atomic_t *stop, struct err *e)
{
    static char out[512];
    void *adam = mem_alloc(1, optim_adamw.params_size, e);
    int counts[ROLE_COUNT] = {
        [ROLE_FORGET] = b->sets[ROLE_FORGET].n, [ROLE_RETAIN] = b->sets[ROLE_RETAIN].n};
    snprintf(out, sizeof out, "%s/%s", test_dir(), name);
    param_defaults(optim_adamw.params, adam);
    order_fini(&b->order);
    int per_epoch = (int)((counts[ROLE_FORGET] + o->batch - 1) / o->batch);
    BUG_ON(order_draw(&b->order, counts, ROLE_FORGET, NULL, (int)o->batch,
                      train_order_epochs(o, per_epoch), (unsigned)o->seed, e));
    struct trainer t = {.engine = &b->g,
                        .optim = &optim_adamw,
                        .optim_params = adam,
                        .o = o,
                        .order = &b->order,
                        .out = out,
                        .what = "test",
                        .stop = stop};
    int rc = train_run(&t, rep, e);
    free(adam);
    return rc;
}

static void open_loop(struct bench *b, unsigned compat)
{
    struct err e;
    struct tensor_file f;
    bench_open(b, "m_cur", "m_cur", "GradDiff", "NLL", 1, compat);
    BUG_ON(tensor_file_open(&f, path_of("loop/", "rows.safetensors"), &e));
    bench_read(b, &f, "", ROLE_FORGET, false);
    bench_read(b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
    BUG_ON(recipe_bind(&b->r, &b->g, &e));
}

static struct train_options loop_options(void)
{
    struct train_options o;
    param_defaults(train_params, &o);
    o.batch = 2;
    o.accumulate = 2;
    o.epochs = 3;
    o.lr = 1e-3;
    o.warmup_steps = 2;
    return o;
}

static void check_loop(void)
{
    struct bench b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    struct tensor_file want;
    open_loop(&b, OU);
    json_t *log = json_read_file(path_of("loop/", "GradDiff.json"), &e);
    ok(!run_loop(&b, &o, "loop", &rep, NULL, &e), "loop: runs");
    char path[600];
    snprintf(path, sizeof path, "%s/loop/train.jsonl", test_dir());
    FILE *f = fopen(path, "r");
    const json_t *micro = json_object_get(log, "micro"), *steps = json_object_get(log, "steps");
    ok(rep.steps == (long)json_array_size(steps), "loop: %ld steps as the peer's", rep.steps);
    char line[4096];
    for (size_t s = 0; f && fgets(line, sizeof line, f); s++) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *mine = json_object_get(row, "micro"), *step = json_array_get(steps, s);
        for (size_t k = 0; k < 2; k++)
            near(json_real_value(json_array_get(mine, k)),
                 json_number_value(json_object_get(json_array_get(micro, 2 * s + k), "loss")), 1e-4,
                 0, "loop: loss of micro-batch %zu", 2 * s + k);
        near(json_real_value(json_object_get(row, "grad_norm")),
             json_number_value(json_object_get(step, "grad_norm")), 1e-4, 0,
             "loop: gradient norm of step %zu", s);
        near(json_real_value(json_object_get(row, "lr")),
             json_number_value(json_object_get(step, "lr")), 1e-6, 1e-12,
             "loop: learning rate of step %zu", s);
        json_decref(row);
    }
    if (f)
        fclose(f);
    BUG_ON(tensor_file_open(&want, path_of("loop/", "GradDiff_final.safetensors"), &e));
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double top;
        snprintf(name, sizeof name, "final.%s", w->name);
        float *v = read_f32(&want, name);
        /* Where a gradient cancels to rounding noise, Adam's m/sqrt(v) is noise of order one: such
         * an entry may move by a step of its own (here: row 69, column 9 of the embedding, |g| 2e-8
         * of the clipped norm). */
        size_t off = 0;
        for (size_t k = 0; k < w->count; k++)
            off += !(fabs((double)b.m.own[w->offset + k] - (double)v[k]) <= 2e-5);
        ok(off <= w->count / 1000, "loop: %s: %zu of %zu entries off by more than 2e-5", name, off,
           w->count);
        near(worst_of(b.m.own + w->offset, v, w->count, &top), 0, 0, 3e-4, "loop: %s", name);
        free(v);
    }
    tensor_file_close(&want);
    json_decref(log);
    bench_close(&b);
}

/* Stopped after some steps and resumed, the weights are those of never having stopped, bit for bit.
 */
static void check_resume(void)
{
    struct bench a, b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    volatile sig_atomic_t stop = 1;
    open_loop(&a, 0);
    BUG_ON(run_loop(&a, &o, "through", &rep, NULL, &e));
    open_loop(&b, 0);
    ok(!run_loop(&b, &o, "stopped", &rep, &stop, &e) && rep.interrupted && rep.steps == 1,
       "interrupt: finishes its step and saves");
    bench_close(&b);
    open_loop(&b, 0);
    o.resume = true;
    ok(!run_loop(&b, &o, "stopped", &rep, NULL, &e) && rep.steps == 5,
       "resume: runs the other steps");
    ok(!memcmp(a.m.own, b.m.own, a.m.table.total * sizeof(float)),
       "resume: the same bits as not stopping");
    o.resume = true;
    ok(run_loop(&b, &o, "nothing", &rep, NULL, &e) && strstr(e.msg, "cannot resume"),
       "resume without a checkpoint is refused: %s", e.msg);
    bench_close(&a);
    bench_close(&b);
}

/* Without micro_mean a step does not depend on how it is cut: 2 x 2 rows give what 1 x 4 rows give.
 */
static void check_accumulation(void)
{
    struct bench b;
    struct err e;
    float *grads[2];
    for (int way = 0; way < 2; way++) {
        static int rows[2][2][2] = {{{3, 1}, {0, 5}}, {{4, 2}, {7, 7}}};
        static int all[2][4] = {{3, 1, 4, 2}, {0, 5, 7, 7}};
        struct micro mb[2] = {{{0}, {0}}, {{0}, {0}}};
        open_loop(&b, 0);
        for (int r = 0; r < 2; r++)
            for (int k = 0; k < 2; k++) {
                mb[k].rows[r] = way ? all[r] : rows[k][r];
                mb[k].n[r] = way ? 4 : 2;
            }
        struct order o = {.micro = mb, .n = way ? 1 : 2, .per_epoch = 1};
        struct norm norm;
        struct micro_result res;
        engine_count(&b.g, &o, 0, o.n, &norm);
        for (int k = 0; k < o.n; k++)
            BUG_ON(engine_micro(&b.g, &mb[k], &norm, &res, &e));
        grads[way] = mem_alloc(b.m.table.total, sizeof(float), &e);
        memcpy(grads[way], b.g.grads, b.m.table.total * sizeof(float));
        if (way) {
            double top, d = worst_of(grads[0], grads[1], b.m.table.total, &top);
            near(d, 0, 0, 2e-6 * top, "accumulation: 2 x 2 rows give the gradient of 1 x 4");
        }
        bench_close(&b);
    }
    free(grads[0]);
    free(grads[1]);
}

static void check_divergence(void)
{
    struct bench b;
    struct err e;
    struct train_options o = loop_options();
    struct train_report rep;
    struct stat st;
    char path[600];
    open_loop(&b, 0);
    b.m.own[b.m.table.v[weight_index(&b.m.table, W_DOWN, 1)].offset] = NAN;
    ok(run_loop(&b, &o, "nan", &rep, NULL, &e) && strstr(e.msg, "diverged"), "NaN: %s", e.msg);
    snprintf(path, sizeof path, "%s/nan/checkpoint.safetensors", test_dir());
    ok(!stat(path, &st), "NaN: the last good state is kept");
    bench_close(&b);
}

/* A term on hidden states, for the test alone: mean over scored tokens of |h - 2 u|^2 / 2 and, on
 * retain, of |h - h_ref|^2 / 2 after layer `at`. */
static int at;

static int layer_at(const void *params)
{
    (void)params;
    return at;
}

static int distance(const void *params, struct view *const *views, double *loss, struct err *e)
{
    struct view *v = views[0];
    (void)params, (void)e;
    for (int t = 0; t < v->n_tokens; t++)
        for (int c = 0; v->scored[t] && c < v->width; c++) {
            size_t i = (size_t)t * (size_t)v->width + (size_t)c;
            double want = v->ref_hidden ? (double)v->ref_hidden[i] : 2 * (double)v->direction[c];
            double d = (double)v->hidden[i] - want;
            *loss += d * d / 2 / v->mean_rows;
            v->dhidden[i] += (float)(d / v->mean_rows);
        }
    return 0;
}

static double hidden_loss(struct bench *b, const struct micro *mb)
{
    struct err e;
    struct norm norm;
    struct micro_result res;
    struct micro one = *mb;
    struct order o = {.micro = &one, .n = 1, .per_epoch = 1};
    engine_count(&b->g, &o, 0, 1, &norm);
    engine_zero_grads(&b->g);
    BUG_ON(engine_micro(&b->g, mb, &norm, &res, &e));
    return b->g.obj[0].weight * res.loss[0] + b->g.obj[1].weight * res.loss[1];
}

/* The gradient through a hidden view is that of the loss, and nothing above the layer gets any. */
static void check_hidden(int layer)
{
    static const struct term to_direction = {
        .name = "d", .kind = VIEW_HIDDEN, .n_views = 1, .loss = distance, .layer = layer_at};
    static const struct term to_ref = {.name = "r",
                                       .kind = VIEW_HIDDEN,
                                       .n_views = 1,
                                       .needs_ref = true,
                                       .loss = distance,
                                       .layer = layer_at};
    static const struct {
        enum slot slot;
        int layer;
    } places[] = {{W_EMBED, -1}, {W_Q, 0}, {W_DOWN, 1}, {W_NORM_MLP, 0}};
    struct bench b;
    struct err e;
    struct tensor_file f;
    struct micro mb;
    float u[24];
    bench_open(&b, "m_cur", "m_ref", "FT", "NLL", 1, 0);
    BUG_ON(tensor_file_open(&f, path_of("methods/", "batches.safetensors"), &e));
    bench_read(&b, &f, "", ROLE_FORGET, false);
    bench_read(&b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
    for (int i = 0; i < 24; i++)
        u[i] = (float)(i + 1) / 70;
    b.g.direction = u;
    at = layer;
    BUG_ON(engine_add(
        &b.g, &(struct objective){.term = &to_direction, .role = {ROLE_FORGET}, .weight = 1.5},
        &e));
    BUG_ON(engine_add(
        &b.g, &(struct objective){.term = &to_ref, .role = {ROLE_RETAIN}, .weight = 0.5}, &e));
    whole(&b, &mb);
    hidden_loss(&b, &mb);
    float *grads = mem_alloc(b.m.table.total, sizeof(float), &e);
    memcpy(grads, b.g.grads, b.m.table.total * sizeof(float));
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        const struct weight *w =
            &b.m.table.v[weight_index(&b.m.table, places[p].slot, places[p].layer)];
        double top = 0;
        size_t k = 0;
        for (size_t i = 0; i < w->count; i++) /* the largest entry: the least noise */
            if (fabs((double)grads[w->offset + i]) > top)
                top = fabs((double)grads[w->offset + (k = i)]);
        if (places[p].layer > layer) {
            ok(top == 0, "hidden after layer %d: %s gets no gradient", layer, w->name);
            continue;
        }
        float *x = b.m.own + w->offset + k, old = *x, h = 2e-3f;
        *x = old + h;
        double up = hidden_loss(&b, &mb), width = (double)*x;
        *x = old - h;
        double slope = (up - hidden_loss(&b, &mb)) / (width - (double)*x);
        *x = old;
        near((double)grads[w->offset + k], slope, 2e-3, 0, "hidden after layer %d: d/d %s[%zu]",
             layer, w->name, k);
    }
    int head = weight_index(&b.m.table, b.m.cfg.tied_head ? W_EMBED : W_HEAD, -1);
    ok(grads[b.m.table.v[head].offset] == 0, "hidden after layer %d: the head gets no gradient",
       layer);
    free(grads);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_method("GradAscent.safetensors", "GradAscent", "NLL", 1, false);
    check_method("GradDiff_NLL.safetensors", "GradDiff", "NLL", 1, false);
    check_method("GradDiff_KL.safetensors", "GradDiff", "KL", 1, true);
    check_method("NPO.safetensors", "NPO", "NLL", 1, false);
    check_method("NPO_KL.safetensors", "NPO", "KL", 0.5, true);
    check_steps("NLL.safetensors", "FT");
    check_steps("GradDiff.safetensors", "GradDiff");
    check_steps("NPO.safetensors", "NPO");
    check_loop();
    check_resume();
    check_accumulation();
    check_hidden(0);
    check_hidden(1);
    check_hidden(2);
    check_divergence();
    free(dir);
    return done();
}
