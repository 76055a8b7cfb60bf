/* Files of tensors, read as other programs wrote them and written as others read them. */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tap.h"
#include "tensor/file.h"
#include "tensor/gguf.h"

static bool open_file(struct tensor_file *f, char *path)
{
    struct err e;
    if (!path)
        return false;
    bool good = ok(!tensor_file_open(f, path, &e), "%s opens", strrchr(path, '/') + 1);
    if (!good)
        note("%s", e.msg);
    free(path);
    return good;
}

/* Value `i` of a tensor; NaN, which fails every comparison, if it is not there. */
static double value(const struct tensor_file *f, const char *name, size_t i)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    float *x = t && i < t->count ? tensor_f32(t, &e) : NULL;
    double v = x ? (double)x[i] : NAN;
    free(x);
    return v;
}

static double sum(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    float *x = t ? tensor_f32(t, &e) : NULL;
    double s = x ? 0 : NAN;
    for (size_t i = 0; x && i < t->count; i++)
        s += (double)x[i];
    free(x);
    return s;
}

static bool is(const struct tensor_file *f, const char *name, enum dtype dtype, int n_dims,
               int64_t a, int64_t b)
{
    const struct tensor *t = tensor_find(f, name);
    return t && t->dtype == dtype && t->n_dims == n_dims && (n_dims < 1 || t->shape[0] == a) &&
           (n_dims < 2 || t->shape[1] == b);
}

/* Expected numbers of this and the next two from numpy. */
static void test_model(void)
{
    struct tensor_file f;
    if (!open_file(&f, test_data("models/m_cur/model.safetensors")))
        return;
    ok(f.format == TENSOR_SAFETENSORS && f.n_tensors == 30 && !f.meta, "30 tensors");
    size_t total = 0;
    bool sorted = true;
    for (int i = 0; i < f.n_tensors; i++) {
        total += f.tensors[i].count;
        sorted = sorted && (!i || strcmp(f.tensors[i - 1].name, f.tensors[i].name) < 0);
    }
    ok(total == 18984 && sorted, "18984 elements, sorted by name");
    ok(is(&f, "lm_head.weight", DT_F32, 2, 104, 24), "shape of the head");
    near(value(&f, "lm_head.weight", 7), 0.0989689975976944, 0, 0, "an element of the head");
    near(value(&f, "model.norm.weight", 23), 0.8394535183906555, 0, 0, "an element of the norm");
    near(sum(&f, "lm_head.weight"), -15.103309738915414, 1e-12, 0, "sum of the head");
    near(sum(&f, "model.layers.2.mlp.down_proj.weight"), -5.259788193216082, 1e-12, 0,
         "sum of a layer");
    ok(!tensor_find(&f, "lm_head.weigh") && !tensor_find(&f, ""), "other names are not found");
    tensor_file_close(&f);
    tensor_file_close(&f);
}

static int ramp_wrong(const struct tensor_file *f, const char *name, double scale, double start,
                      double tol)
{
    const struct tensor *t = tensor_find(f, name);
    int wrong = t ? 0 : -1;
    for (size_t i = 0; t && i < t->count; i++)
        wrong += !(fabs(value(f, name, i) - ((double)i * scale + start)) <= tol);
    return wrong;
}

static void test_mixed(void)
{
    struct tensor_file f;
    struct err e;
    if (!open_file(&f, test_data("tensors/mixed.safetensors")))
        return;
    ok(is(&f, "scalar", DT_F32, 0, 0, 0) && value(&f, "scalar", 0) == -3, "a scalar");
    ok(is(&f, "empty", DT_F32, 2, 0, 5) && tensor_find(&f, "empty")->count == 0, "an empty tensor");
    const char *quarter[] = {"f32", "f16", "bf16", "f64"}, *whole[] = {"i32", "i64"};
    for (int i = 0; i < 4; i++)
        ok(!ramp_wrong(&f, quarter[i], 0.25, -3, 0), "%s reads as f32", quarter[i]);
    for (int i = 0; i < 2; i++) {
        ok(!ramp_wrong(&f, whole[i], 1, -3, 0), "%s reads as f32", whole[i]);
        int *x = tensor_ints(tensor_find(&f, whole[i]), &e), wrong = 0;
        for (int j = 0; x && j < 12; j++)
            wrong += x[j] != j - 3;
        ok(x && !wrong, "%s reads as ints", whole[i]);
        free(x);
    }
    ok(!ramp_wrong(&f, "u8", 1, 0, 0) && tensor_find(&f, "u8")->count == 9, "u8 reads as f32");
    ok(!tensor_ints(tensor_find(&f, "f32"), &e) && strstr(e.msg, "F32"), "f32 is no ints: %s",
       e.msg);
    ok(!tensor_ints(tensor_find(&f, "wide"), &e) && strstr(e.msg, "2147483648"), "%s", e.msg);
    ok(tensor_find(&f, "f64")->n_dims == 4 && tensor_find(&f, "f64")->shape[1] == 3,
       "four dimensions");
    tensor_file_close(&f);
}

static void check_meta(struct gguf_meta *m)
{
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"t.u8", 200},
                {"t.i8", -100},
                {"t.u16", 60000},
                {"t.i16", -30000},
                {"t.u32", 4000000000},
                {"t.i32", -2000000000},
                {"t.i64", -((int64_t)1 << 62)}};
    int64_t i;
    double r;
    bool b;
    struct gguf_str s;
    for (size_t k = 0; k < sizeof ints / sizeof *ints; k++)
        ok(gguf_int(m, ints[k].key, &i) && i == ints[k].value, "%s", ints[k].key);
    ok(!gguf_int(m, "t.u64", &i), "2^63 does not fit");
    ok(!gguf_int(m, "t.f32", &i) && !gguf_int(m, "t.ints", &i) && !gguf_int(m, "t.u", &i) &&
           !gguf_real(m, "t.text", &r) && !gguf_bool(m, "t.u8", &b) && !gguf_text(m, "t.words", &s),
       "other kinds and absent keys are refused");
    ok(gguf_real(m, "t.i32", &r) && r == -2000000000, "any number is a real");
    struct gguf_pair p;
    size_t pairs = 0, arrays = 0;
    for (; gguf_pair_at(m, pairs, &p); pairs++)
        arrays += p.kind == GGUF_ARRAY;
    ok(pairs > 10 && arrays > 2, "%zu pairs, %zu arrays", pairs, arrays);
    ok(gguf_real(m, "t.f32", &r) && r == 0.25 && gguf_real(m, "t.f64", &r) && r == 0.1, "reals");
    ok(gguf_bool(m, "t.yes", &b) && b && gguf_bool(m, "t.no", &b) && !b, "booleans");
    ok(gguf_text(m, "t.text", &s) && s.n == 6 && !memcmp(s.s, "na\xc3\xafve", 6), "text");
    const struct gguf_str *words;
    const int32_t *whole;
    const float *reals;
    size_t n;
    for (int again = 0; again < 2; again++) {
        ok(gguf_strings(m, "t.words", &words, &n) && n == 3 && words[0].n == 1 && words[1].n == 0 &&
               words[2].n == 5 && !memcmp(words[2].s, "three", 5),
           "array of strings");
        ok(gguf_ints(m, "t.ints", &whole, &n) && n == 3 && whole[0] == 1 && whole[1] == -2,
           "of ints");
        ok(gguf_reals(m, "t.reals", &reals, &n) && n == 2 && reals[1] == -1.5f, "of reals");
        ok(gguf_ints(m, "t.flags", &whole, &n) && n == 3 && whole[0] == 1 && !whole[1],
           "of booleans");
    }
    ok(!gguf_strings(m, "t.ints", &words, &n) && !gguf_ints(m, "t.reals", &whole, &n) &&
           !gguf_reals(m, "t.text", &reals, &n),
       "arrays of another kind are refused");
}

static void test_small_gguf(void)
{
    struct tensor_file f;
    if (!open_file(&f, test_data("tensors/small.gguf")))
        return;
    ok(f.format == TENSOR_GGUF && f.n_tensors == 4 && f.meta, "four tensors and pairs");
    ok(is(&f, "f32", DT_F32, 2, 3, 4) && !ramp_wrong(&f, "f32", 0.25, -3, 0), "f32, rows first");
    ok(is(&f, "f16", DT_F16, 1, 12, 0) && !ramp_wrong(&f, "f16", 0.25, -3, 0), "f16");
    ok(is(&f, "q8_0", DT_Q8_0, 2, 2, 32) && !ramp_wrong(&f, "q8_0", 0.25, -3, 0.051), "Q8_0");
    ok(is(&f, "q4_1", DT_Q4_1, 2, 2, 32) && !ramp_wrong(&f, "q4_1", 0.25, -3, 0.26), "Q4_1");
    check_meta(f.meta);
    tensor_file_close(&f);
}

/* A llama2.c file whose float number i is i: dim 8, 2 layers, 2 heads of 4, 1 key/value head. */
static void test_llama2c(int vocab)
{
    const int32_t head[7] = {8, 12, 2, 2, 1, vocab, 4};
    const int per_layer = 8 + 64 + 32 + 32 + 64 + 8 + 96 + 96 + 96, body = 80 + 2 * per_layer + 8;
    const int floats = body + 2 * 4 * 2 + (vocab < 0 ? 80 : 0);
    struct tensor_file f;
    struct buf b = {0};
    struct err e;
    buf_add(&b, head, sizeof head, &e);
    for (int i = 0; i < floats; i++)
        buf_add(&b, &(float){(float)i}, sizeof(float), &e);
    ok(!tensor_file_parse(&f, b.data, b.len, &e), "llama2.c, vocabulary %d", vocab);
    ok(f.format == TENSOR_LLAMA2C && f.llama2c.n_layers == 2 && f.llama2c.vocab_size == 10,
       "its header");
    ok(f.n_tensors == 1 + 2 * 9 + 1 + (vocab < 0), "%d tensors", f.n_tensors);
    ok(is(&f, "model.embed_tokens.weight", DT_F32, 2, 10, 8), "embedding");
    /* Every kind of weight is stored for both layers before the next kind starts. */
    near(value(&f, "model.layers.1.input_layernorm.weight", 0), 80 + 8, 0, 0, "norm of layer 1");
    near(value(&f, "model.layers.1.self_attn.q_proj.weight", 0), 80 + 16 + 64, 0, 0,
         "q of layer 1");
    near(value(&f, "model.layers.1.self_attn.k_proj.weight", 0), 80 + 16 + 128 + 32, 0, 0,
         "k of layer 1");
    near(value(&f, "model.layers.1.mlp.up_proj.weight", 0), body - 8 - 96, 0, 0, "up of layer 1");
    near(value(&f, "model.norm.weight", 7), body - 1, 0, 0, "last norm");
    ok(is(&f, "model.layers.0.self_attn.k_proj.weight", DT_F32, 2, 4, 8) &&
           is(&f, "model.layers.0.mlp.down_proj.weight", DT_F32, 2, 8, 12) &&
           is(&f, "model.layers.0.mlp.gate_proj.weight", DT_F32, 2, 12, 8),
       "shapes");
    if (vocab < 0)
        near(value(&f, "lm_head.weight", 0), floats - 80, 0, 0, "untied head, behind the angles");
    else
        ok(!tensor_find(&f, "lm_head.weight"), "a tied head has no tensor");
    tensor_file_close(&f);
    ok(tensor_file_parse(&f, b.data, b.len - 4, &e), "one float less is refused: %s", e.msg);
    buf_fini(&b);
}

/* Second tier. */
static void test_real_models(void)
{
    struct tensor_file f;
    if (!open_file(&f, test_smollm2()))
        skip("no SmolLM2 in the cache");
    else {
        int kinds[DT_COUNT] = {0}, tokens = 0;
        size_t total = 0, n;
        int64_t layers;
        const struct gguf_str *words;
        for (int i = 0; i < f.n_tensors; i++) {
            kinds[f.tensors[i].dtype]++;
            total += f.tensors[i].count;
        }
        ok(f.n_tensors == 272 && kinds[DT_Q8_0] == 1 && kinds[DT_Q4_1] == 210 &&
               kinds[DT_F32] == 61 && total == 134515008,
           "SmolLM2: 272 tensors, 134515008 elements");
        near(sum(&f, "token_embd.weight"), -15353.04449415207, 1e-10, 0, "sum of the embedding");
        near(sum(&f, "blk.29.ffn_down.weight"), 49.83570861816406, 1e-9, 0, "sum of a layer");
        near(value(&f, "blk.0.attn_q.weight", 100), 0.214111328125, 0, 0, "a weight");
        ok(gguf_int(f.meta, "llama.block_count", &layers) && layers == 30, "30 layers");
        if (gguf_strings(f.meta, "tokenizer.ggml.tokens", &words, &n))
            tokens = (int)n;
        ok(tokens == 49152, "49152 tokens");
        tensor_file_close(&f);
    }
    if (!open_file(&f, test_shared("data/models/stories260K/stories260K.bin"))) {
        skip("no stories260K");
        return;
    }
    ok(f.format == TENSOR_LLAMA2C && f.n_tensors == 47 && f.llama2c.dim == 64,
       "stories260K: 47 tensors");
    near(value(&f, "model.layers.3.self_attn.q_proj.weight", 0), -0.01660505123436451, 0, 0,
         "a weight");
    near(value(&f, "model.norm.weight", 63), 1.7077769041061401, 0, 0,
         "an element of the last norm");
    double k = 0;
    for (int i = 0; i < f.llama2c.n_layers; i++) {
        char name[64];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.k_proj.weight", i);
        k += sum(&f, name);
    }
    near(k, -24.900409052997816, 1e-9, 0, "sum of all keys' weights");
    tensor_file_close(&f);
}

int main(void)
{
    test_model();
    test_mixed();
    test_small_gguf();
    test_llama2c(10);
    test_llama2c(-10);
    test_real_models();
    return done();
}
