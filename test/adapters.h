/* Adapters beside a small model, for tests: PEFT's of test/data/lora, and passes through them. */
#ifndef TEST_ADAPTERS_H
#define TEST_ADAPTERS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/store.h"
#include "model/lora.h"
#include "logits.h"
#include "tap.h"

static inline char *joined(const char *dir, const char *name)
{
    struct err e;
    char *p = file_join(dir, name, &e);
    BUG_ON(!p);
    return p;
}

static inline float *read_f32(const struct tensor_file *f, const char *prefix, const char *name)
{
    struct err e;
    char whole[160];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    const struct tensor *t = tensor_find(f, whole);
    return t ? tensor_f32(t, &e) : NULL;
}

static inline double max_diff(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)a[i] - (double)b[i]);
        d = x <= d ? d : x;
    }
    return d;
}

static inline double largest(const float *a, size_t n)
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
    {"gpt_neox", "gpt_neox", {2, 6, 0, "all-linear", false}},
    {"qwen3_moe", "qwen3_moe", {2, 3, 0, "q_proj,o_proj,gate_proj,up_proj,down_proj", false}},
    {"gpt2", "gpt2", {2, 2, 0, "c_attn,c_proj", false}},
};

struct bench {
    struct model m;
    struct dataset d;
    char *adapter;           /* owned; directory of PEFT's files */
    struct tensor_file want; /* logits, loss, grad., step3. */
    float *grads;            /* owned */
};

static inline char *model_path(const char *name)
{
    char *root = test_data("models"), *path = joined(root, name);
    free(root);
    return path;
}

/* The model, open for reading or writing, the labels, and where the rest is. */
static inline bool bench_open(struct bench *b, const struct example *x, bool writable)
{
    struct err e = {.msg = ""};
    char file[64], *path = model_path(x->model), *root = test_data("lora");
    *b = (struct bench){0};
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

static inline void bench_close(struct bench *b)
{
    model_close(&b->m);
    dataset_fini(&b->d);
    tensor_file_close(&b->want);
    free(b->adapter);
    free(b->grads);
}

/* Row i of the table is a B whose rows stand in another order in PEFT's file. */
static inline bool in_other_order(const struct bench *b, int i)
{
    return (i - b->m.table.n_model) % 2 && lora_reorders(&b->m, &b->m.table.v[i]);
}

/* Gives the model fresh adapters with the numbers of PEFT's. */
static inline bool attach(struct bench *b, const struct lora_options *o)
{
    struct err e = {.msg = ""};
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
        if (v && in_other_order(b, i))
            layout_load(LAYOUT_HEAD_QKV, &b->m.cfg, &t->v[i], b->m.own + t->v[i].offset, v);
        else if (v)
            memcpy(b->m.own + t->v[i].offset, v, t->v[i].count * sizeof *v);
        free(v);
    }
    tensor_file_close(&f);
    ok(t->n > t->n_model && !missing, "%d adapter matrices have PEFT's names", t->n - t->n_model);
    return !missing && !(b->grads = NULL) && (b->grads = mem_alloc(t->grads, sizeof(float), &e));
}

/* Forward, and backward into b->grads if there is room: the mean loss over labels. logits: owned
 * by the caller, all rows; may be NULL. */
static inline double pass(struct bench *b, float **logits)
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
           model_forward(m, &batch, &(struct forward){.keep = true, .training = true}, &p, &a, &e));
    if (logits) {
        struct label_rows all = {.n = batch.n_tokens};
        all.token = arena_take(&a, (size_t)all.n, sizeof(int), &e);
        for (int i = 0; i < all.n; i++)
            all.token[i] = i;
        BUG_ON(head_init(&h, &p, &all, false, &a, &e));
        size_t count = (size_t)all.n * (size_t)m->cfg.vocab;
        *logits = mem_alloc(count, sizeof(float), &e);
        memcpy(*logits, all_logits(&h, &a), count * sizeof(float));
    }
    BUG_ON(head_init(&h, &p, &rows, true, &a, &e));
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
               pass_backward(&p, dx, b->grads, &a, &e));
    }
    arena_fini(&a);
    return loss;
}

#endif
