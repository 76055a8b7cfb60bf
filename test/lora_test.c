/* Adapters against PEFT on PyTorch (tools/make_lora_golden.py): logits, loss, gradients, AdamW
 * steps, its files in and ours out; and what must hold without it: derivatives, dropout, merging.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "model/decoder.h"
#include "model/head.h"
#include "model/lora.h"
#include "model/save.h"
#include "optim/optims.h"
#include "decoders.h"
#include "tap.h"

static char *joined(const char *dir, const char *name)
{
    struct err e;
    char *p = file_join(dir, name, &e);
    BUG_ON(!p);
    return p;
}

static float *read_f32(const struct tensor_file *f, const char *prefix, const char *name)
{
    struct err e;
    char whole[160];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    const struct tensor *t = tensor_find(f, whole);
    return t ? tensor_f32(t, &e) : NULL;
}

static double max_diff(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)a[i] - (double)b[i]);
        d = x <= d ? d : x;
    }
    return d;
}

static double largest(const float *a, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d = fmax(d, fabs((double)a[i]));
    return d;
}

/* What one case of the golden data is. */
struct example {
    const char *name, *model;
    struct lora_options o;
};

static const struct example examples[] = {
    {"all", "m_cur", {3, 5, 0, "all-linear", false}},
    {"some", "m_cur", {4, 4, 0, "q_proj,down_proj,lm_head", true}},
    {"phi3", "phi3", {2, 2, 0, ".*\\.(qkv_proj|gate_up_proj)", false}},
};

struct bench {
    struct model m;
    struct dataset d;
    char *adapter;           /* owned; directory of PEFT's files */
    struct tensor_file want; /* logits, loss, grad., step3. */
    float *grads;            /* owned */
};

static char *model_path(const char *name)
{
    char rest[64];
    snprintf(rest, sizeof rest, "models/%s", name);
    char *root = test_data("."), *path = joined(root, rest);
    free(root);
    if (file_exists(path))
        return path;
    free(path);
    snprintf(rest, sizeof rest, "golden/models/%s", name);
    return test_shared(rest);
}

/* The model, open for reading or writing, the labels, and where the rest is. */
static bool bench_open(struct bench *b, const struct example *x, bool writable)
{
    struct err e = {""};
    char file[64], *path = model_path(x->model), *root = test_data("lora");
    *b = (struct bench){0};
    if (!path) {
        skip("%s: model '%s' is not there", x->name, x->model);
        free(root);
        return false;
    }
    b->adapter = joined(root, x->name);
    snprintf(file, sizeof file, "%s.safetensors", x->name);
    char *figures = joined(root, file);
    bool fine = !tensor_file_open(&b->want, figures, &e) && !model_open(&b->m, path, writable, &e);
    free(figures);
    free(path);
    free(root);
    if (!fine) {
        ok(false, "%s: %s", x->name, e.msg);
        return false;
    }
    const struct tensor *t = tensor_find(&b->want, "ids");
    int *ids = tensor_ints(t, &e), *labels = tensor_ints(tensor_find(&b->want, "labels"), &e);
    BUG_ON(dataset_from_matrix(&b->d, ROLE_RETAIN, ids, labels, NULL, (int)t->shape[0],
                               (int)t->shape[1], false, &e));
    free(ids);
    free(labels);
    return true;
}

static void bench_close(struct bench *b)
{
    model_close(&b->m);
    dataset_fini(&b->d);
    tensor_file_close(&b->want);
    free(b->adapter);
    free(b->grads);
}

/* Gives the model fresh adapters with the numbers of PEFT's. */
static bool attach(struct bench *b, const struct lora_options *o)
{
    struct err e = {""};
    struct tensor_file f;
    char *path = joined(b->adapter, "adapter_model.safetensors");
    bool fine = !lora_attach(&b->m, o, 1, &e) && !tensor_file_open(&f, path, &e);
    free(path);
    if (!ok(fine, "attached %s", e.msg))
        return false;
    const struct weight_table *t = &b->m.table;
    int missing = 0;
    for (int i = t->n_model; i < t->n; i++) {
        float *v = read_f32(&f, "base_model.model.", t->v[i].name);
        missing += !v;
        if (v)
            memcpy(b->m.own + t->v[i].offset, v, t->v[i].count * sizeof *v);
        free(v);
    }
    tensor_file_close(&f);
    ok(t->n > t->n_model && !missing, "%d adapter matrices have PEFT's names", t->n - t->n_model);
    return !missing && !(b->grads = NULL) && (b->grads = mem_alloc(t->grads, sizeof(float), &e));
}

/* Forward, and backward into b->grads if there is room: the mean loss over labels. logits: owned
 * by the caller, all rows; may be NULL. */
static double pass(struct bench *b, float **logits)
{
    struct err e;
    struct model *m = &b->m;
    struct batch batch;
    struct pass p;
    struct head h;
    struct label_rows rows;
    struct arena a;
    double loss = 0;
    arena_init(&a);
    BUG_ON(batch_pack(&batch, b->d.seqs, b->d.n, m->cfg.vocab, m->cfg.positions, &a, &e) ||
           batch_label_rows(&rows, &batch, b->d.seqs, &a, &e) ||
           decoder_forward(m, &batch, m->cfg.layers, true, &p, &a, &e));
    if (logits) {
        struct label_rows all = {.n = batch.n_tokens};
        all.token = arena_take(&a, (size_t)all.n, sizeof(int), &e);
        for (int i = 0; i < all.n; i++)
            all.token[i] = i;
        BUG_ON(head_init(&h, m, p.x, &all, false, &a, &e));
        int n;
        float *z = head_logits(&h, 0, &n);
        *logits = mem_alloc((size_t)n * (size_t)m->cfg.vocab, sizeof(float), &e);
        memcpy(*logits, z, (size_t)n * (size_t)m->cfg.vocab * sizeof(float));
    }
    BUG_ON(head_init(&h, m, p.x, &rows, true, &a, &e));
    size_t n = (size_t)rows.n, nc = (size_t)batch.n_tokens * (size_t)m->cfg.width;
    float *logp = arena_take(&a, n, sizeof(float), &e), *lse = arena_take(&a, n, sizeof(float), &e),
          *g = arena_take(&a, n, sizeof(float), &e), *dx = arena_take(&a, nc, sizeof(float), &e);
    memset(dx, 0, nc * sizeof(float));
    head_logp(&h, logp, lse, NULL);
    for (int r = 0; r < rows.n; r++) {
        loss -= (double)logp[r] / rows.n;
        g[r] = -1.0f / (float)rows.n;
    }
    if (b->grads) {
        memset(b->grads, 0, m->table.grads * sizeof(float));
        head_logp_back(&h, g, lse, b->grads);
        BUG_ON(head_finish_back(&h, dx, b->grads, &a, &e) ||
               decoder_backward(m, &p, dx, NULL, b->grads, &a, &e));
    }
    arena_fini(&a);
    return loss;
}

static void check_logits(struct bench *b, const char *what)
{
    float *got, *want = read_f32(&b->want, "logits", "");
    double loss = pass(b, &got);
    size_t n = 0;
    for (int s = 0; s < b->d.n; s++)
        n += (size_t)b->d.seqs[s].n;
    n *= (size_t)b->m.cfg.vocab;
    near(max_diff(got, want, n), 0, 0, 1e-5 * (1 + largest(want, n)), "%s: logits", what);
    free(got);
    free(want);
    want = read_f32(&b->want, "loss", "");
    near(loss, (double)want[0], 1e-5, 0, "%s: loss", what);
    free(want);
}

/* Every trainable array against the golden ones of that prefix. */
static void check_arrays(const struct bench *b, const char *prefix, const float *flat, bool grads,
                         double rtol)
{
    const struct weight_table *t = &b->m.table;
    int bad = 0;
    double worst = 0;
    for (int i = t->n_model; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        float *want = read_f32(&b->want, prefix, w->name);
        double d = want ? max_diff(flat + (grads ? w->at : w->offset), want, w->count) /
                              largest(want, w->count)
                        : NAN;
        bad += !(d <= rtol);
        worst = d <= worst ? worst : d;
        free(want);
    }
    ok(!bad, "%s of %d matrices within %g of the largest entry: %.2g", prefix, t->n - t->n_model,
       rtol, worst);
}

static void test_peft(const struct example *x)
{
    struct bench b;
    struct err e;
    if (!bench_open(&b, x, false))
        return;
    if (attach(&b, &x->o)) {
        int moving = 0;
        for (int i = 0; i < b.m.table.n_model; i++)
            moving += b.m.table.v[i].trainable || b.m.table.v[i].wants_grad;
        ok(!moving && b.m.table.grads == b.m.lora->floats && b.m.table.moving == b.m.table.grads,
           "%s: gradients and states are of the adapters alone", x->name);
        check_logits(&b, x->name);
        check_arrays(&b, "grad.", b.grads, true, 1e-4);
        void *adam = mem_alloc(1, optim_adamw.params_size, &e);
        float *state[2];
        for (int k = 0; k < 2; k++)
            state[k] = mem_alloc(b.m.table.moving, sizeof(float), &e);
        float *losses = read_f32(&b.want, "losses", "");
        param_defaults(optim_adamw.params, adam);
        for (int s = 0; s < 3; s++) {
            near(pass(&b, NULL), (double)losses[s], 1e-5, 0, "%s: loss of step %d", x->name, s + 1);
            struct optim_step step = {b.m.ops, &b.m.table, b.m.own, state, b.grads,
                                      1,       1e-2,       0.1,     s + 1};
            optim_adamw.step(adam, &step);
        }
        check_arrays(&b, "step3.", b.m.own, false, 2e-4);
        free(losses);
        free(adam);
        free(state[0]);
        free(state[1]);
    }
    bench_close(&b);
}

/* PEFT's files merged into the weights, borrowed or not, and what we write. */
static void test_files(const struct example *x)
{
    struct err e = {""};
    struct bench b;
    for (int writable = 0; writable < 2; writable++) {
        if (!bench_open(&b, x, writable))
            return;
        if (ok(!lora_merge_dir(&b.m, b.adapter, &e), "%s: merged %s", x->name, e.msg))
            check_logits(&b, writable ? "merged in place" : "merged into copies");
        bench_close(&b);
    }
    char *dir = joined(test_dir(), x->name), *whole = joined(dir, "merged");
    if (!bench_open(&b, x, false))
        return;
    if (attach(&b, &x->o)) {
        ok(!lora_save(&b.m, dir, &e) &&
               !model_save(&b.m, whole,
                           &(struct save_options){.dtype = DT_F32, .shard_bytes = SAVE_SHARD_BYTES},
                           &e),
           "%s: adapter and merged model saved %s", x->name, e.msg);
        model_close(&b.m);
        free(b.grads);
        b.grads = NULL;
        ok(!model_open(&b.m, whole, false, &e), "%s: opened again %s", x->name, e.msg);
        check_logits(&b, "merged on saving");
    }
    bench_close(&b);
    if (bench_open(&b, x, false) && ok(!lora_merge_dir(&b.m, dir, &e), "ours is read %s", e.msg))
        check_logits(&b, "an adapter of ours");
    bench_close(&b);
    free(dir);
    free(whole);
}

/* Along a random direction of all A, and of all B, the loss changes as the gradient says. */
static void check_derivative(struct bench *b, const char *what)
{
    struct rng r;
    struct err e;
    const struct weight_table *t = &b->m.table;
    const float eps = 1e-3f;
    /* ReLU has corners, which a difference goes across. */
    double room = b->m.cfg.act == ACT_RELU ? 2e-2 : 5e-3;
    rng_seed(&r, 5);
    for (int part = 0; part < 2; part++) {
        double want = 0, square = 0, side[2];
        float *dir = mem_alloc(b->m.lora->floats, sizeof *dir, &e);
        pass(b, NULL);
        for (int i = t->n_model + part; i < t->n; i += 2)
            for (size_t k = 0; k < t->v[i].count; k++) {
                dir[t->v[i].offset + k] = (float)rng_normal(&r);
                double g = (double)b->grads[t->v[i].at + k];
                want += (double)dir[t->v[i].offset + k] * g;
                square += g * g;
            }
        for (int s = 0; s < 2; s++) {
            b->m.ops->axpy(b->m.own, s ? -eps : eps, dir, b->m.lora->floats);
            side[s] = pass(b, NULL);
            b->m.ops->axpy(b->m.own, s ? eps : -eps, dir, b->m.lora->floats);
        }
        near((side[0] - side[1]) / (2 * (double)eps), want, 0, room * sqrt(square),
             "%s: d loss along a direction of all %c", what, "AB"[part]);
        free(dir);
    }
}

/* With dropout too: what the backward drops is what the forward dropped. */
static void test_derivative(double dropout)
{
    struct bench b;
    struct lora_options o = examples[0].o;
    o.dropout = dropout;
    if (!bench_open(&b, &examples[0], false))
        return;
    if (attach(&b, &o)) {
        lora_draw(b.m.lora, 3);
        check_derivative(&b, dropout > 0 ? "dropout" : "no dropout");
    }
    bench_close(&b);
}

/* The small decoder with adapters of random numbers beside weights that are frozen. */
static bool family_open(struct bench *b, const struct kind *k)
{
    struct lora_options o = {2, 3, 0, "all-linear", false};
    struct rng r;
    struct err e;
    int ids[2 * 9];
    *b = (struct bench){0};
    if (!build(&b->m, k))
        return false;
    b->m.copies = b->m.own;
    b->m.own = NULL;
    b->m.path = mem_strdup(k->family, &e);
    if (lora_attach(&b->m, &o, 1, &e))
        return note("%s", e.msg), false;
    rng_seed(&r, 9);
    for (size_t i = 0; i < b->m.lora->floats; i++)
        b->m.own[i] = 0.3f * (float)rng_normal(&r);
    for (int i = 0; i < 18; i++)
        ids[i] = (int)rng_below(&r, VOCAB);
    b->grads = mem_alloc(b->m.table.grads, sizeof *b->grads, &e);
    return b->grads && !dataset_from_matrix(&b->d, ROLE_RETAIN, ids, ids, NULL, 2, 9, false, &e);
}

/* Derivatives in every family, fused weights among them; and the adapter written and merged into
 * the same weights is the one merged in memory. */
static void test_family(const struct kind *k)
{
    struct bench b;
    struct model plain;
    struct err e = {""};
    char what[64];
    snprintf(what, sizeof what, "%s%s", k->family, k->what);
    char *dir = joined(test_dir(), what);
    if (!ok(family_open(&b, k) && build(&plain, k), "%s with adapters", what))
        return;
    check_derivative(&b, what);
    ok(!lora_save(&b.m, dir, &e) && !lora_merge_dir(&plain, dir, &e), "%s: written and read %s",
       what, e.msg);
    float *room = mem_alloc(lora_room(&b.m), sizeof *room, &e);
    double worst = 0, moved = 0;
    for (int i = 0; i < plain.table.n; i++) {
        const float *merged = lora_merged(&b.m, i, room);
        worst = fmax(worst, max_diff(plain.w[i], merged, plain.table.v[i].count));
        moved = fmax(moved, max_diff(plain.w[i], b.m.w[i], plain.table.v[i].count));
    }
    ok(worst < 1e-6 && moved > 0.1, "%s: merged by way of the file: %.1e off", what, worst);
    free(room);
    free(dir);
    model_close(&plain);
    bench_close(&b);
}

/* Over many draws the input keeps its mean, and so does an output that is linear in it. */
static void test_dropout(void)
{
    struct bench b;
    struct lora_options o = examples[0].o;
    o.dropout = 0.25;
    if (!bench_open(&b, &examples[0], false) || !attach(&b, &o))
        return;
    enum { N = 700, DRAWS = 40 }; /* more rows than a block */
    struct err e;
    int i = weight_index(&b.m.table, W_DOWN, 1);
    const struct weight *w = &b.m.table.v[i];
    int in = (int)w->shape[1], out = (int)w->shape[0];
    float *x = mem_alloc((size_t)(N * in), sizeof *x, &e);
    float *y[3];
    for (int k = 0; k < 3; k++)
        y[k] = mem_alloc((size_t)(N * out), sizeof(float), &e);
    for (int k = 0; k < N * in; k++)
        x[k] = 1;
    size_t bytes = (size_t)(N * out) * sizeof(float);
    lora_begin(b.m.lora, false);
    lora_forward(&b.m, i, 0, out, y[0], x, N);
    lora_begin(b.m.lora, true);
    double sum = 0, want = 0;
    int same = 0;
    for (int d = 0; d < DRAWS; d++) {
        for (int twice = 1; twice < 3; twice++) {
            memset(y[twice], 0, bytes);
            lora_draw(b.m.lora, d + (twice == 2 && d == 1));
            lora_forward(&b.m, i, 0, out, y[twice], x, N);
        }
        same += !memcmp(y[1], y[2], bytes);
        for (int k = 0; k < N * out; k++) {
            sum += (double)y[1][k] * (k % out == 2);
            want += (double)y[0][k] * (k % out == 2);
        }
    }
    ok(same == DRAWS - 1, "the same number draws the same, another another: %d", same);
    ok(memcmp(y[1], y[1] + 512 * out, (size_t)out * sizeof(float)) != 0, "blocks draw their own");
    near(sum / (N * DRAWS), want / (N * DRAWS), 0.02, 0, "the mean of an output stays");
    free(x);
    for (int k = 0; k < 3; k++)
        free(y[k]);
    bench_close(&b);
}

static void test_start(void)
{
    struct bench b, plain;
    struct lora_options o = {8, 16, 0.5, "all-linear", false};
    struct err e = {""};
    struct model view;
    if (!bench_open(&b, &examples[0], false) || !bench_open(&plain, &examples[0], false))
        return;
    const float *before = b.m.w[weight_index(&b.m.table, W_Q, 0)];
    ok(!lora_attach(&b.m, &o, 7, &e) && !b.m.copies &&
           before == b.m.w[weight_index(&b.m.table, W_Q, 0)],
       "the model's weights stay in its file %s", e.msg);
    ok(pass(&b, NULL) == pass(&plain, NULL), "fresh adapters change nothing");
    double square = 0, top = 0, count = 0;
    for (int i = b.m.table.n_model; i < b.m.table.n; i += 2) {
        const struct weight *a = &b.m.table.v[i];
        for (size_t k = 0; k < a->count; k++, count++) {
            double u = (double)b.m.own[a->offset + k] * sqrt((double)a->shape[1]);
            square += u * u;
            top = fmax(top, fabs(u));
        }
    }
    ok(top < 1 && top > 0.99, "A lies within 1/sqrt(in) of 0");
    near(square / count, 1.0 / 3, 0.05, 0, "... evenly");
    for (size_t k = 0; k < b.m.lora->floats; k++)
        b.m.own[k] += 0.1f;
    lora_base(&b.m, &view);
    double with = pass(&b, NULL);
    struct model whole = b.m;
    b.m = view;
    ok(pass(&b, NULL) == pass(&plain, NULL), "a view shows the model without its adapters");
    view = b.m;
    b.m = whole;
    model_close(&view);
    ok(pass(&b, NULL) == with && with != pass(&plain, NULL), "and leaves them");
    bench_close(&b);
    bench_close(&plain);
}

static void test_targets(void)
{
    static const struct {
        const char *targets;
        int n; /* layers that get an adapter; 0: refused */
    } rows[] = {
        {"all-linear", 21},
        {"q_proj", 3},
        {"self_attn.q_proj,up_proj", 6},
        {"proj", 0},
        {"lm_head", 1},
        {"embed_tokens", 0},
        {"norm", 0},
        {"model\\.layers\\.[02]\\..*", 14},
        {"layers.*", 0},
        {"(", 0},
        {"", 0},
        {",", 0},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct bench b;
        struct err e = {""};
        struct lora_options o = {1, 1, 0, rows[k].targets, false};
        if (!bench_open(&b, &examples[0], false))
            return;
        int n = lora_attach(&b.m, &o, 1, &e) ? 0 : (b.m.table.n - b.m.table.n_model) / 2;
        ok(n == rows[k].n && (n || *e.msg), "'%s': %d layers %s", rows[k].targets, n, e.msg);
        bench_close(&b);
    }
}

/* Replaces `from` in a copy of PEFT's adapter_config.json. */
static int merge_changed(const char *from, const char *to, const char *tensors, struct err *e)
{
    struct bench b;
    size_t n;
    if (!bench_open(&b, &examples[0], false))
        return -1;
    char *dir = joined(test_dir(), "bad"), *source = joined(b.adapter, "adapter_config.json"),
         *target = joined(dir, "adapter_config.json"),
         *model = joined(dir, "adapter_model.safetensors"), *text = file_read(source, &n, e);
    char *at = strstr(text, from), out[2048];
    BUG_ON(!at || n > 1500 || file_make_dir(dir, e));
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    FILE *f = fopen(target, "w");
    fputs(out, f);
    fclose(f);
    char *weights = joined(b.adapter, "../all/adapter_model.safetensors"),
         *bytes = file_read(tensors ? tensors : weights, &n, e);
    f = fopen(model, "w");
    fwrite(bytes, 1, n, f);
    fclose(f);
    int rc = lora_merge_dir(&b.m, dir, e);
    free(dir);
    free(source);
    free(target);
    free(model);
    free(text);
    free(weights);
    free(bytes);
    bench_close(&b);
    return rc;
}

static void test_refusals(void)
{
    static const char *const rows[][3] = {
        {"\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\"", "'IA3'"},
        {"\"bias\": \"none\"", "\"bias\": \"all\"", "'all'"},
        {"\"use_dora\": false", "\"use_dora\": true", "'use_dora'"},
        {"\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 2}", "'rank_pattern'"},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"x\"]", "'modules_to_save'"},
        {"\"r\": 3", "\"r\": 4", "rank 4"},
        {"\"r\": 3", "\"r\": 0", "'r'"},
    };
    struct err e = {""};
    ok(!merge_changed("m_cur", "m_cur", NULL, &e), "the copy itself is fine %s", e.msg);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ok(merge_changed(rows[i][0], rows[i][1], NULL, &e) && strstr(e.msg, rows[i][2]), "%s",
           e.msg);
    char *root = test_data("lora"), *other = joined(root, "gpt_neox/adapter_model.safetensors");
    ok(merge_changed("\"r\": 3", "\"r\": 2", other, &e) && strstr(e.msg, "no matrix"), "%s", e.msg);
    free(root);
    free(other);
}

/* Everything that allocates, once through. */
static int use(const char *dir, const char *peft, const char *model, struct err *e)
{
    struct model m, again = {0};
    struct lora_options o = {2, 2, 0.1, "q_proj", false};
    if (model_open(&m, model, false, e))
        return -1;
    int rc = lora_attach(&m, &o, 1, e) || lora_save(&m, dir, e) ||
             model_open(&again, model, false, e) || lora_merge_dir(&again, peft, e);
    model_close(&m);
    model_close(&again);
    return rc ? -1 : 0;
}

static void test_memory(void)
{
    struct err e = {""};
    char *dir = joined(test_dir(), "walk"), *root = test_data("."),
         *peft = joined(root, "lora/some"), *model = joined(root, "models/m_cur");
    mem_fail_at(-1);
    int rc = use(dir, peft, model, &e);
    long n = mem_fail_at(-1), told = 0;
    for (long i = 0; i < n; i++) {
        e.msg[0] = 0;
        mem_fail_at(i);
        told += use(dir, peft, model, &e) && e.msg[0];
    }
    mem_fail_at(-1);
    ok(!rc && n > 20 && told == n, "%ld of %ld failing allocations are told", told, n);
    free(dir);
    free(root);
    free(peft);
    free(model);
}

int main(void)
{
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        test_peft(&examples[i]);
        test_files(&examples[i]);
    }
    test_derivative(0);
    test_derivative(0.3);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        test_family(&kinds[i]);
    test_dropout();
    test_start();
    test_targets();
    test_refusals();
    test_memory();
    return done();
}
