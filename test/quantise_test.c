/* Codes, scales and values of quantised weights against torch's fake_quantize, bitsandbytes and
 * gguf-py (figures of test/data/attacks/quantise.safetensors), with a block of zeros and a short
 * last one; of blocks of 256 (kquants.safetensors) against ggml's reference in C; of GPTQ
 * (gptq.safetensors) against AutoGPTQ.
 */
#include "tensor/quantise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "tensor/file.h"
#include "tensor/matrix.h"

static struct err e;
static struct tensor_file figures;

static float *floats(const char *name, const char *part, size_t *n)
{
    char key[80];
    snprintf(key, sizeof key, "%s%s", name, part);
    const struct tensor *t = tensor_find(&figures, key);
    *n = t ? t->count : 0;
    return t ? tensor_f32(t, &e) : NULL;
}

static int *ints(const char *name, const char *part, size_t *n)
{
    char key[80];
    snprintf(key, sizeof key, "%s%s", name, part);
    const struct tensor *t = tensor_find(&figures, key);
    *n = t ? t->count : 0;
    return t ? tensor_ints(t, &e) : NULL;
}

static size_t unlike_ints(const int *a, const int *b, size_t n)
{
    size_t unlike = 0;
    for (size_t i = 0; i < n; i++)
        unlike += a[i] != b[i];
    return unlike;
}

static double farthest(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]) / fmax(fabs((double)b[i]), 1e-3));
    return most;
}

/* The name of the figures and the scheme as it is written here. */
static void test_scheme(const char *name, const char *text, const char *weight, size_t rows,
                        size_t cols, size_t codes_off)
{
    struct quantise q;
    size_t n, n_scale = 0, n_values = 0, n_zero = 0;
    float *w = floats(weight, "", &n), *scale = floats(name, ".scale", &n_scale), *values;
    ok(!quantise_parse(&q, text, &e) && !quantise_fits(&q, cols, &e) && w, "%s", text);
    if (!scale)
        scale = floats(name, ".absmax", &n_scale);
    values = floats(name, ".dequantised", &n_values);
    int *want = ints(name, ".q", &n), *zero = ints(name, ".zero", &n_zero);
    int *codes = calloc(rows * cols, sizeof *codes), *z = calloc(rows * cols, sizeof *z);
    float *s = calloc(rows * cols, sizeof *s), *v = calloc(rows * cols, sizeof *v);
    quantise_apply(&q, w, rows, cols, codes, s, z, v);
    if (want)
        ok(n == rows * cols && unlike_ints(codes, want, n) <= codes_off,
           "%s: codes, %zu of %zu differ", name, unlike_ints(codes, want, n), n);
    if (scale)
        ok(n_scale == quantise_scales(&q, rows, cols) && farthest(s, scale, n_scale) < 1e-6,
           "%s: %zu scales", name, n_scale);
    if (zero)
        ok(!unlike_ints(z, zero, n_zero), "%s: zero points", name);
    if (values)
        ok(n_values == rows * cols && farthest(v, values, n_values) < 1e-6, "%s: values %g", name,
           farthest(v, values, n_values));
    else { /* s (q - z) */
        double most = 0;
        for (size_t i = 0, per = rows * cols / n_scale; i < rows * cols; i++)
            most =
                fmax(most, fabs((double)v[i] - (double)scale[i / per] * (want[i] - zero[i / per])));
        ok(most < 1e-7, "%s: values are s (q - z)", name);
    }
    quantise_apply(&q, w, rows, cols, NULL, NULL, NULL, w);
    ok(!memcmp(w, v, rows * cols * sizeof *v), "%s: in place, the same", name);
    free(w);
    free(scale);
    free(values);
    free(want);
    free(zero);
    free(codes);
    free(z);
    free(s);
    free(v);
}

static void test_bytes(const char *name, enum dtype t)
{
    size_t n, rows_bytes;
    float *w = floats("weight", "", &n);
    int *want = ints(name, ".bytes", &rows_bytes);
    size_t bytes = 0, unlike = 0;
    ok(w && want && !dtype_bytes(t, n, &bytes) && bytes == rows_bytes, "%s: %zu bytes", name,
       bytes);
    uint8_t *got = malloc(bytes);
    quantise_ggml(t, got, w, n);
    for (size_t i = 0; i < bytes; i++)
        unlike += got[i] != want[i];
    ok(!unlike, "%s: the bytes of ggml", name);
    free(got);
    free(w);
    free(want);
}

/* Blocks of 256: the bytes of ggml's reference, and the values that it reads from them; in place,
 * too; codes lie within the type; zeros stay zeros. */
static void test_super(const char *name, enum dtype t, int lo, int hi)
{
    struct quantise q;
    size_t n;
    float *w = floats("weight", "", &n), *v = calloc(n, sizeof *v), zeros[256] = {0};
    int *codes = calloc(n, sizeof *codes);
    bool within = true;
    test_bytes(name, t);
    test_scheme(name, name, "weight", 3, 512, 0);
    ok(!quantise_parse(&q, name, &e), "%s", name);
    quantise_apply(&q, w, 3, 512, codes, NULL, NULL, v);
    for (size_t i = 0; i < n; i++)
        within &= codes[i] >= lo && codes[i] <= hi;
    ok(within, "%s: codes of %d to %d", name, lo, hi);
    quantise_apply(&q, zeros, 1, 256, NULL, NULL, NULL, v);
    within = true;
    for (int i = 0; i < 256; i++)
        within &= v[i] == 0;
    ok(within, "%s: zeros", name);
    for (int i = 0; i < 256; i++)
        zeros[i] = i % 2 ? 1e-42f : -3e-43f;
    quantise_apply(&q, zeros, 1, 256, NULL, NULL, NULL, v);
    within = true;
    for (int i = 0; i < 256; i++)
        within &= fabsf(v[i]) < 1e-6f;
    ok(within, "%s: subnormal numbers", name);
    free(w);
    free(v);
    free(codes);
}

static void test_fallback(void)
{
    struct quantise k, of_32;
    size_t n;
    float *w = floats("weight", "", &n), v[2][192];
    ok(!quantise_parse(&k, "q4_k", &e) && !quantise_parse(&of_32, "q5_0", &e) &&
           !quantise_fits(&k, 96, &e) && quantise_fits(&k, 80, &e),
       "q4_k: rows of 96, not of 80: %s", e.msg);
    quantise_apply(&k, w, 2, 96, NULL, NULL, NULL, v[0]);
    quantise_apply(&of_32, w, 2, 96, NULL, NULL, NULL, v[1]);
    ok(!memcmp(v[0], v[1], sizeof *v), "rows of 96: q5_0 in place of q4_k");
    ok(quantise_type_for(DT_Q6_K, 64) == DT_Q8_0 && quantise_type_for(DT_Q6_K, 512) == DT_Q6_K &&
           quantise_type_for(DT_Q2_K, 32) == DT_Q4_0 && quantise_type_for(DT_Q3_K, 40) == DT_F16,
       "types for rows that are no whole blocks");
    free(w);
}

/* AutoGPTQ's values from its weights and inputs. */
static void test_gptq(const char *name, const char *text)
{
    struct quantise q;
    size_t n = 0, n_x = 0, n_want = 0, off = 0;
    float *w = floats("weight", "", &n), *x = floats("inputs", "", &n_x);
    float *want = floats(name, ".dequantised", &n_want);
    double *h = calloc(64 * 64, sizeof *h);
    ok(n == 24 * 64 && n_x == 96 * 64 && n_want == n && !quantise_parse(&q, text, &e) &&
           !quantise_fits(&q, 64, &e) && !matrix_add_gram(h, x, 96, 64, &e) &&
           !quantise_gptq(&q, w, 24, 64, h, &e),
       "%s", text);
    for (size_t i = 0; i < n; i++)
        off += !(fabsf(w[i] - want[i]) < 1e-6f);
    ok(!off, "%s: %zu of %zu values differ from AutoGPTQ's", text, off, n);
    free(w);
    free(x);
    free(want);
    free(h);
}

/* A column whose input is always 0 becomes 0, the others do not see it; without any error to pass
 * on, on a grid that holds the weights, nothing changes. */
static void test_gptq_edges(void)
{
    struct quantise q;
    float w[2 * 4] = {-8, 7, 3, 5, 7, -8, 7, 0}, was[2 * 4];
    double h[4 * 4] = {0};
    const float x[3 * 4] = {1, 2, 0, 1, 0, 1, 0, 3, 2, 0, 0, 1};
    memcpy(was, w, sizeof w);
    ok(!quantise_parse(&q, "gptq:asym", &e) && q.bits == 4 && !matrix_add_gram(h, x, 3, 4, &e) &&
           !quantise_gptq(&q, w, 2, 4, h, &e),
       "gptq: a column that is always 0");
    was[2] = was[6] = 0;
    float most = 0;
    for (int i = 0; i < 8; i++)
        most = fmaxf(most, fabsf(w[i] - was[i]));
    ok(most < 1e-5f, "its weights are 0, the others stay: %g", (double)most);
}

static void test_wrong(const char *text, const char *message)
{
    struct quantise q;
    ok(quantise_parse(&q, text, &e) && strstr(e.msg, message), "'%s': %s", text, e.msg);
}

int main(void)
{
    char *path = test_data("attacks/quantise.safetensors");
    if (!path || tensor_file_open(&figures, path, &e)) {
        ok(false, "figures: %s", e.msg);
        return done();
    }
    static const char *const scopes[][2] = {
        {"tensor", "tensor"}, {"row", "row"}, {"group", "group=32"}};
    for (int bits = 4; bits <= 8; bits += 4)
        for (int scope = 0; scope < 3; scope++)
            for (int asym = 0; asym < 2; asym++) {
                char name[40], text[40];
                snprintf(name, sizeof name, "int%d_%s_%s", bits, scopes[scope][0],
                         asym ? "asym" : "sym");
                snprintf(text, sizeof text, "int%d:%s%s", bits, scopes[scope][1],
                         asym ? ",asym" : "");
                test_scheme(name, text, "weight", 8, 64, 0);
            }
    test_scheme("nf4", "nf4", "weight", 8, 64, 0);
    test_scheme("odd.nf4", "NF4", "odd.weight", 10, 13,
                64); /* its block of zeros has another code there */
    test_scheme("fp4", "fp4", "weight", 8, 64, 0);
    static const struct {
        const char *name;
        enum dtype t;
    } blocks[] = {{"q8_0", DT_Q8_0},
                  {"q5_1", DT_Q5_1},
                  {"q5_0", DT_Q5_0},
                  {"q4_1", DT_Q4_1},
                  {"q4_0", DT_Q4_0}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        test_bytes(blocks[i].name, blocks[i].t);
        test_scheme(blocks[i].name, blocks[i].name, "weight", 8, 64, 0);
    }
    tensor_file_close(&figures);
    free(path);
    if (!(path = test_data("attacks/kquants.safetensors")) ||
        tensor_file_open(&figures, path, &e)) {
        ok(false, "figures: %s", e.msg);
        return done();
    }
    test_super("q2_K", DT_Q2_K, 0, 3);
    test_super("q3_K", DT_Q3_K, -4, 3);
    test_super("q4_K", DT_Q4_K, 0, 15);
    test_super("q5_K", DT_Q5_K, 0, 31);
    test_super("q6_K", DT_Q6_K, -32, 31);
    test_fallback();
    tensor_file_close(&figures);
    free(path);
    if (!(path = test_data("attacks/gptq.safetensors")) || tensor_file_open(&figures, path, &e)) {
        ok(false, "figures: %s", e.msg);
        return done();
    }
    test_gptq("b4_sym", "gptq");
    test_gptq("b4_asym_group", "gptq4:group=32,asym");
    test_gptq("b4_asym_group_fresh", "gptq4:group=32,asym,fresh");
    test_gptq("b4_sym_actorder", "gptq4:order");
    test_gptq("b3_asym", "gptq3:asym");
    test_gptq_edges();
    struct quantise q;
    ok(!quantise_parse(&q, "q4_0", &e) && quantise_fits(&q, 13, &e) &&
           strstr(e.msg, "no multiple of 32"),
       "%s", e.msg);
    test_wrong("int9", "int2 to int8");
    test_wrong("int4:group=1", "2 to 65536");
    test_wrong("gptq9", "gptq2 to gptq8");
    test_wrong("gptq4:tensor", "for each row or group=N");
    test_wrong("int4:order", "none of tensor, row, group=N, sym and asym");
    test_wrong("int4:col", "none of tensor, row");
    test_wrong("q7_k", "unknown quantisation 'q7_k'");
    tensor_file_close(&figures);
    free(path);
    return done();
}
