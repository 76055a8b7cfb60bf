/* Weights in their file's type: products against plain loops over their numbers in f32, for every
 * type and instruction set; and models of which the same passes are made with weights as they are
 * stored and as f32.
 */
#include "base/file.h"
#include "base/mem.h"
#include "model/head.h"
#include "model/lora.h"
#include "model/store.h"
#include "ops_util.h"

/* --- operations --- */

static enum dtype stored_type; /* what each_isa's function tests */

/* [rows,cols] of the finite blocks of moderate size in test/data/quants, again and again; and their
 * numbers. */
static void *random_blocks(struct rng *r, enum dtype t, size_t count, float **values)
{
    const struct dtype_info *d = &dtype_info[t];
    const size_t block = (size_t)d->block, bytes = (size_t)d->bytes;
    struct err e;
    char name[64];
    int32_t n;
    snprintf(name, sizeof name, "quants/%s.bin", d->name);
    char *path = test_data(name), *data = file_read(path, NULL, &e);
    uint8_t *w = mem_alloc(count / block, bytes, &e);
    *values = floats(count);
    memcpy(&n, data, sizeof n);
    for (size_t b = 0; b < count / block;) {
        const size_t from = rng_u32(r) % (uint32_t)n;
        const char *source = data + sizeof n + from * bytes;
        float *to = *values + b * block, most = 0;
        dtype_to_f32(t, to, source, block);
        for (size_t i = 0; i < block; i++)
            most = fabsf(to[i]) <= most ? most : fabsf(to[i]);
        memcpy(w + b * bytes, source, bytes);
        b += most < 64 && most > 0.01f && dtype_all_finite(t, source, block);
    }
    free(data);
    free(path);
    return w;
}

/* |got - want| against what rounding leaves of sums of products of this size. */
static double off(double got, double want, double size)
{
    double d = fabs(got - want) / (size + 1e-6);
    return isnan(d) ? INFINITY : d;
}

static double check_product(const struct ops *o, const float *x, const struct stored *w,
                            const float *values, int n, int i, int out, float beta)
{
    float *y = filled((size_t)n * out, beta == 0 ? NAN : 2);
    double worst = 0;
    o->linear_stored(y, x, w, n, i, out, beta);
    for (int t = 0; t < n; t++)
        for (int a = 0; a < out; a++) {
            double s = beta == 0 ? 0 : 2 * (double)beta, size = fabs(s);
            for (int b = 0; b < i; b++) {
                double part = (double)x[t * i + b] * (double)values[a * i + b];
                s += part;
                size += fabs(part);
            }
            worst = fmax(worst, off((double)y[t * out + a], s, size));
        }
    free(y);
    return worst;
}

static double check_back(const struct ops *o, struct rng *r, const struct stored *w,
                         const float *values, int n, int i, int out, float beta)
{
    float *dy = random_floats(r, (size_t)n * out, 1);
    float *dx = filled((size_t)n * i, beta == 0 ? NAN : 3);
    double worst = 0;
    o->linear_stored_dx(dx, dy, w, n, i, out, beta);
    for (int t = 0; t < n; t++)
        for (int b = 0; b < i; b++) {
            double s = beta == 0 ? 0 : 3 * (double)beta, size = fabs(s);
            for (int a = 0; a < out; a++) {
                double part = (double)dy[t * out + a] * (double)values[a * i + b];
                s += part;
                size += fabs(part);
            }
            worst = fmax(worst, off((double)dx[t * i + b], s, size));
        }
    free(dy);
    free(dx);
    return worst;
}

static bool check_rows(const struct ops *o, const struct stored *w, const float *values, int i,
                       int out)
{
    const int ids[] = {out - 1, 0, out / 2, 0};
    float *x = floats((size_t)4 * i), *all = floats((size_t)out * i);
    bool same = true;
    o->embed_stored(x, w, ids, 4, i, 0.5f);
    for (int k = 0; k < 4; k++)
        for (int c = 0; c < i; c++)
            same &= x[k * i + c] == 0.5f * values[ids[k] * i + c];
    o->unpack(all, w, 0, (size_t)out * i);
    same &= !memcmp(all, values, (size_t)out * i * sizeof *all);
    o->unpack(all, w, (size_t)i, (size_t)i);
    same &= !memcmp(all, values + i, (size_t)i * sizeof *all);
    free(x);
    free(all);
    return same;
}

static void check_stored(const struct ops *o)
{
    const int ns[] = {0, 1, 2, 3, 5, 8, 16, 17, 40}, outs[] = {5, 33, 64}, blocks[] = {1, 2, 3, 5};
    const enum dtype t = stored_type;
    const int block = dtype_info[t].block == 1 ? 37 : dtype_info[t].block;
    double worst = 0;
    bool same = true;
    struct rng r;
    rng_seed(&r, 3);
    for (int k = 0; k < 9; k++) {
        const int n = ns[k], i = block * blocks[k % 4], out = outs[k % 3];
        float *values, *x = random_floats(&r, (size_t)n * i, 1);
        void *bytes = random_blocks(&r, t, (size_t)out * i, &values);
        const struct stored w = {t, bytes, floats(STORED_ROOM)};
        for (int half = 0; half < 3; half++) {
            worst = fmax(worst, check_product(o, x, &w, values, n, i, out, 0.5f * (float)half));
            worst = fmax(worst, check_back(o, &r, &w, values, n, i, out, 0.5f * (float)half));
        }
        same &= check_rows(o, &w, values, i, out);
        free(bytes);
        free(values);
        free(w.room);
        free(x);
    }
    ok(worst < 3e-6, "%s: products with %s off by %.1e", o->name, dtype_info[t].name, worst);
    ok(same, "%s: rows of %s have the same bits", o->name, dtype_info[t].name);
}

/* --- models --- */

enum { SEQS = 5, LEN = 7, TOKENS = SEQS * LEN };

/* Logits of all tokens, or with adapters the gradient of a sum of log-probs; owned. */
static float *numbers(struct model *m, bool back, size_t *n)
{
    struct err e = {.msg = ""};
    int ids[TOKENS], rows[TOKENS], label[TOKENS];
    float logp[TOKENS], lse[TOKENS], g[TOKENS];
    struct seq seqs[SEQS];
    struct batch b;
    struct pass p;
    struct head h;
    struct arena a;
    struct label_rows all = {.n = TOKENS, .token = rows, .label = label};
    const size_t v = (size_t)m->cfg.vocab, wide = (size_t)TOKENS * (size_t)m->cfg.width;
    for (int i = 0; i < TOKENS; i++) {
        ids[i] = (i * 7 + 3) % 40;
        rows[i] = i;
        label[i] = (i * 5 + 1) % 40;
        g[i] = 0.25f * (float)(i % 3) - 0.5f;
    }
    for (int i = 0; i < SEQS; i++)
        seqs[i] = (struct seq){.n = LEN, .ids = ids + (size_t)i * LEN};
    arena_init(&a);
    BUG_ON(batch_pack(&b, seqs, SEQS, m->cfg.vocab, m->cfg.positions, &a, &e) ||
           model_forward(m, &b, &(struct forward){.keep = back}, &p, &a, &e) ||
           head_init(&h, &p, &all, back, &a, &e));
    *n = back ? m->table.moving : (size_t)TOKENS * v;
    float *out = floats(*n);
    if (back) {
        float *dx = arena_zeros(&a, wide, sizeof *dx, &e);
        head_logp(&h, logp, lse, NULL);
        head_logp_back(&h, g, lse, out);
        BUG_ON(head_finish_back(&h, dx, out, &a, &e) || pass_backward(&p, dx, out, &a, &e));
    } else {
        for (int first = 0, held; first < TOKENS; first += held) {
            const float *z = head_logits(&h, first, &held);
            memcpy(out + (size_t)first * v, z, (size_t)held * v * sizeof *out);
        }
    }
    arena_fini(&a);
    return out;
}

static void compare(struct model m[2], bool back, const char *what)
{
    size_t n[2];
    float *x[2] = {numbers(&m[0], back, &n[0]), numbers(&m[1], back, &n[1])};
    double most = 0, worst = 0;
    for (size_t k = 0; k < n[0] && n[0] == n[1]; k++) {
        most = fmax(most, fabs((double)x[0][k]));
        worst = fmax(worst, fabs((double)x[0][k] - (double)x[1][k]));
    }
    ok(n[0] == n[1] && most > 0 && worst < 2e-5 * most, "%s: %s to %.1e of %.1e", what,
       back ? "gradients" : "logits", worst, most);
    free(x[0]);
    free(x[1]);
}

static void compare_weights(struct model m[2], const char *what)
{
    uint64_t hash[2] = {0, 1};
    struct err e;
    int packed = 0;
    bool same = !model_fingerprint(&m[0], &hash[0], &e) && !model_fingerprint(&m[1], &hash[1], &e);
    ok(same && hash[0] == hash[1], "%s: one fingerprint", what);
    for (int i = 0; i < m[1].table.n_model; i++) {
        const size_t n = m[1].table.v[i].count;
        float *x = floats(n);
        model_copy_weight(&m[1], i, x);
        same = same && !memcmp(x, m[0].w[i], n * sizeof *x);
        packed += model_stored(&m[1], i) != NULL;
        free(x);
    }
    ok(same, "%s: the same bits in f32", what);
    ok(packed && store_copied(&m[1], MODEL_STORED) < store_copied(&m[1], MODEL_READ),
       "%s: %d matrices stay as they are", what, packed);
}

static void compare_saved(struct model m[2], const char *what)
{
    const struct save_options o = {.dtype = DT_F32, .shard_bytes = SAVE_SHARD_BYTES};
    char path[600];
    size_t size[2] = {0, 1};
    char *bytes[2];
    struct err e = {.msg = ""};
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s/again%d", test_dir(), k);
        if (model_save(&m[k], path, &o, &e))
            note("%s", e.msg);
        char *file = file_join(path, "model.safetensors", &e);
        bytes[k] = file_read(file, &size[k], &e);
        free(file);
    }
    ok(size[0] == size[1] && bytes[0] && !memcmp(bytes[0], bytes[1], size[0]),
       "%s: merged adapters, saved, are the same file", what);
    free(bytes[0]);
    free(bytes[1]);
}

/* A model of test/data, written in a type and opened in two ways. */
static void check_model(const char *name, enum dtype t, bool gguf)
{
    const struct lora_options o = {3, 5, 0, "all-linear", false};
    const struct save_options as = {.dtype = t, .shard_bytes = SAVE_SHARD_BYTES};
    const struct gguf_pairs none = {0};
    struct err e = {.msg = ""};
    struct model from, m[2];
    char path[600], place[64], what[64];
    snprintf(place, sizeof place, "models/%s", name);
    snprintf(what, sizeof what, "%s, %s%s", name, dtype_info[t].name, gguf ? " in a GGUF" : "");
    snprintf(path, sizeof path, "%s/%s%d%s", test_dir(), name, t, gguf ? ".gguf" : "");
    char *root = test_data(place);
    BUG_ON(model_open_header(&from, root, &e));
    int rc = gguf ? model_save_gguf(&from, path, &none, &as, &e) : model_save(&from, path, &as, &e);
    model_close(&from);
    free(root);
    if (!ok(!rc && !model_open(&m[0], path, MODEL_READ, &e) &&
                !model_open(&m[1], path, MODEL_STORED, &e),
            "%s: opened twice", what)) {
        note("%s", e.msg);
        return;
    }
    compare(m, false, what);
    compare_weights(m, what);
    for (int k = 0; k < 2; k++) {
        BUG_ON(model_untie(&m[k], &e) || lora_attach(&m[k], &o, 4, &e));
        for (size_t i = 0; i < m[k].lora->floats; i++)
            m[k].own[i] += 0.01f * (float)((i * 37) % 11) - 0.05f;
    }
    compare(m, true, what);
    compare_saved(m, what);
    model_close(&m[0]);
    model_close(&m[1]);
}

/* NaN in a weight, or as the scale of a block, is refused where the weight stays as it is. */
static void check_finite(void)
{
    for (int t = 0; t < DT_COUNT; t++) {
        if (!dtype_stays((enum dtype)t))
            continue;
        const size_t block = (size_t)dtype_info[t].block, n = 2 * block;
        struct rng r;
        rng_seed(&r, 9);
        float *values, *x = floats(n);
        uint8_t *w = random_blocks(&r, (enum dtype)t, n, &values);
        int wrong = !dtype_all_finite((enum dtype)t, w, n);
        for (size_t k = 0; k + 1 < 2 * (size_t)dtype_info[t].bytes; k++) {
            uint8_t was[2] = {w[k], w[k + 1]};
            bool finite = true;
            w[k] = 0x81;
            w[k + 1] = 0x7f;
            dtype_to_f32((enum dtype)t, x, w, n);
            for (size_t i = 0; i < n; i++)
                finite = finite && isfinite(x[i]);
            wrong += finite != dtype_all_finite((enum dtype)t, w, n);
            memcpy(w + k, was, 2);
        }
        ok(!wrong, "%s: NaN anywhere is found (%d wrong)", dtype_info[t].name, wrong);
        free(w);
        free(values);
        free(x);
    }
}

int main(void)
{
    for (int t = 0; t < DT_COUNT; t++)
        if (dtype_stays((enum dtype)t)) {
            stored_type = (enum dtype)t;
            each_isa(check_stored);
        }
    check_finite();
    check_model("llama", DT_Q8_0, true);
    check_model("llama3_tied", DT_BF16, false);
    check_model("gpt_neox", DT_F16, true);
    check_model("gpt_neox", DT_BF16, false);
    check_model("gpt2", DT_F16, true);
    check_model("gpt2", DT_BF16, false);
    check_model("gemma2", DT_F16, true);
    check_model("opt", DT_BF16, false);
    check_model("phi3", DT_BF16, false);
    check_model("qwen3_moe", DT_F16, true);
    return done();
}
