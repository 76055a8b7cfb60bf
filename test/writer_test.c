/* Writing safetensors and GGUF: what is written reads back, in the very bytes of the format, whole
 * or not at all. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "tap.h"
#include "tensor/file.h"
#include "tensor/gguf.h"

/* Writes two tensors of each storable kind, reads them back. */
static void test_round_trip(enum dtype t, double tol)
{
    char path[600];
    struct err e;
    struct tensor_file f;
    enum { N = 3 * 5000 };
    float *x = mem_alloc(N, sizeof *x, &e);
    for (int i = 0; i < N; i++)
        x[i] = sinf((float)i) * ldexpf(1, i % 8 - 4);
    snprintf(path, sizeof path, "%s/%s.safetensors", test_dir(), dtype_info[t].name);
    struct tensor_out *o = tensor_out_open(path, &e);
    const int64_t shape[] = {3, 5000}, raw[] = {3};
    ok(o && !tensor_out_add(o, "z.weight", t, 2, shape, &e) &&
           !tensor_out_add(o, "a \"quoted\" name", DT_U8, 1, raw, &e) &&
           !tensor_out_add(o, "scalar", t, 0, NULL, &e),
       "three tensors announced");
    ok(tensor_out_add(o, "z.weight", t, 2, shape, &e) && strstr(e.msg, "z.weight"), "%s", e.msg);
    ok(tensor_out_add(o, "q", DT_Q4_1, 2, shape, &e) && strstr(e.msg, "Q4_1"), "%s", e.msg);
    ok(!tensor_out_write(o, x, &e) && !tensor_out_write_raw(o, "\1\2\3", &e) &&
           !tensor_out_write(o, x + 1, &e) && !tensor_out_commit(o, &e),
       "written");
    if (ok(!tensor_file_open(&f, path, &e), "%s reads back", dtype_info[t].name)) {
        int wrong = 0;
        const struct tensor *z = tensor_find(&f, "z.weight"), *s = tensor_find(&f, "scalar");
        const struct tensor *q = tensor_find(&f, "a \"quoted\" name");
        float *y = z ? tensor_f32(z, &e) : NULL;
        for (int i = 0; y && i < N; i++)
            wrong += !(fabs((double)(y[i] - x[i])) <= tol * (fabs((double)x[i]) + 0x1p-14));
        ok(y && z->dtype == t && z->n_dims == 2 && z->shape[1] == 5000 && !wrong,
           "values within half a step");
        ok(q && q->dtype == DT_U8 && !memcmp(q->data, "\1\2\3", 3), "raw bytes");
        ok(s && s->dtype == t && s->n_dims == 0 && s->count == 1, "a scalar");
        ok((uintptr_t)z->data % 8 == 0, "data are aligned to 8 bytes");
        free(y);
        tensor_file_close(&f);
    }
    free(x);
}

/* The very bytes that Python's library writes for the same tensor. */
static void test_writer_bytes(void)
{
    static const char want[] = "X\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"},"
                               "\"w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}} "
                               "\0\0\x80\x3f\0\0\0\xc0";
    char path[600];
    struct err e;
    size_t len = 0;
    snprintf(path, sizeof path, "%s/two.safetensors", test_dir());
    struct tensor_out *o = tensor_out_open(path, &e);
    ok(!tensor_out_add(o, "w", DT_F32, 2, (const int64_t[]){1, 2}, &e) &&
           !tensor_out_write(o, (const float[]){1, -2}, &e) && !tensor_out_commit(o, &e),
       "written");
    char *got = file_read(path, &len, &e);
    ok(got && len == sizeof want - 1 && !memcmp(got, want, len), "the bytes of the format (%zu)",
       len);
    free(got);
    o = tensor_out_open(path, &e);
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        tensor_out_add(o, name, DT_F32, 2, (const int64_t[]){1, 2}, &e);
    }
    ok(tensor_out_add(o, "w7", DT_F32, 2, (const int64_t[]){1, 2}, &e) &&
           !strcmp(e.msg, "two tensors are named 'w7'"),
       "among 300 tensors no two have one name");
    tensor_out_abort(o);
    got = file_read(path, &len, &e);
    ok(got && len == sizeof want - 1, "an abandoned output leaves the old file");
    free(got);
}

/* The file that Python's gguf package wrote (tools/make_tensor_golden.py): the same pairs in the
 * same order, the same tensors. */
static int put_pairs(struct gguf_pairs *p, struct err *e)
{
    static const struct gguf_str words[] = {{"a", 1}, {"", 0}, {"three", 5}};
    return gguf_put_text(p, "general.architecture", "llama", e) ||
                   gguf_put_u32(p, "t.u32", 4000000000, e) || gguf_put_f32(p, "t.f32", 0.25f, e) ||
                   gguf_put_bool(p, "t.yes", true, e) || gguf_put_bool(p, "t.no", false, e) ||
                   gguf_put_text(p, "t.text", "na\303\257ve", e) ||
                   gguf_put_strings(p, "t.words", words, 3, e) ||
                   gguf_put_ints(p, "t.ints", (const int32_t[]){1, -2, 3}, 3, e) ||
                   gguf_put_reals(p, "t.reals", (const float[]){0.5f, -1.5f}, 2, e)
               ? -1
               : 0;
}

static int put_tensors(struct tensor_out *o, struct err *e)
{
    float ramp[64];
    const int64_t flat[] = {12}, matrix[] = {3, 4}, rows[] = {2, 32};
    for (int i = 0; i < 64; i++)
        ramp[i] = (float)i / 4 - 3;
    return tensor_out_add(o, "f32", DT_F32, 2, matrix, e) ||
                   tensor_out_add(o, "f16", DT_F16, 1, flat, e) ||
                   tensor_out_add(o, "bf16", DT_BF16, 1, flat, e) ||
                   tensor_out_add(o, "q8_0", DT_Q8_0, 2, rows, e) || tensor_out_write(o, ramp, e) ||
                   tensor_out_write(o, ramp, e) || tensor_out_write(o, ramp, e) ||
                   tensor_out_write(o, ramp, e)
               ? -1
               : 0;
}

static int write_gguf(const char *path, struct err *e)
{
    struct gguf_pairs p = {0};
    struct tensor_out *o = put_pairs(&p, e) ? NULL : gguf_out_open(path, &p, e);
    int rc = o ? put_tensors(o, e) : -1;
    if (o && rc)
        tensor_out_abort(o);
    else if (o)
        rc = tensor_out_commit(o, e);
    gguf_pairs_fini(&p);
    return rc;
}

static void test_gguf_bytes(void)
{
    char path[600];
    struct err e;
    size_t len = 0, want_len = 0;
    snprintf(path, sizeof path, "%s/small.gguf", test_dir());
    ok(!write_gguf(path, &e), "a GGUF is written");
    char *name = test_data("tensors/written.gguf"), *want = file_read(name, &want_len, &e);
    char *got = file_read(path, &len, &e);
    ok(got && want && len == want_len && !memcmp(got, want, len),
       "the bytes that Python's package writes (%zu)", want_len);
    free(name);
    free(want);
    free(got);
    struct gguf_pairs none = {0};
    struct tensor_out *o = gguf_out_open(path, &none, &e);
    ok(o && tensor_out_add(o, "q", DT_Q8_0, 2, (const int64_t[]){32, 33}, &e) &&
           strstr(e.msg, "rows that Q8_0 cannot hold"),
       "%s", e.msg);
    ok(o && tensor_out_add(o, "\377", DT_F32, 0, NULL, &e) && strstr(e.msg, "UTF-8"), "%s", e.msg);
    ok(o && !tensor_out_commit(o, &e), "no pairs and no tensors are a file too");
}

/* Numbers that the type cannot hold are refused, not written as infinity. */
static void test_range(void)
{
    static const struct {
        enum dtype t;
        float largest;
        bool fits;
    } cases[] = {{DT_F16, 65519, true},      {DT_F16, -65520, false}, {DT_Q8_0, 8.3e6f, true},
                 {DT_Q8_0, -8.4e6f, false},  {DT_BF16, 3e38f, true},  {DT_F32, INFINITY, true},
                 {DT_F16, -INFINITY, false}, {DT_F16, NAN, false}};
    char path[600];
    struct err e;
    float x[32] = {0};
    snprintf(path, sizeof path, "%s/range.gguf", test_dir());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gguf_pairs none = {0};
        struct tensor_out *o = gguf_out_open(path, &none, &e);
        x[31] = cases[i].largest;
        e.msg[0] = 0;
        int rc = tensor_out_add(o, "w", cases[i].t, 1, (const int64_t[]){32}, &e) ||
                 tensor_out_write(o, x, &e);
        ok(cases[i].fits ? !rc : rc && strstr(e.msg, "'w' holds"), "%g as %s: %s", (double)x[31],
           dtype_info[cases[i].t].name, rc ? e.msg : "written");
        tensor_out_abort(o);
    }
}

static int write_one(const char *path, int64_t n, struct err *e)
{
    static const float zeros[5000];
    const int64_t shape[] = {n};
    struct tensor_out *o = tensor_out_open(path, e);
    if (!o)
        return -1;
    if (tensor_out_add(o, "w", DT_BF16, 1, shape, e) || tensor_out_write(o, zeros, e)) {
        tensor_out_abort(o);
        return -1;
    }
    return tensor_out_commit(o, e);
}

static void test_writer_no_memory(bool gguf)
{
    struct err e;
    char path[600];
    int rc = -1, half = 0;
    long n = 0;
    snprintf(path, sizeof path, "%s/w.%s", test_dir(), gguf ? "gguf" : "safetensors");
    for (; rc && n < 100; n++) {
        mem_fail_at(n);
        rc = gguf ? write_gguf(path, &e) : write_one(path, 3, &e);
        half += rc && file_exists(path);
    }
    mem_fail_at(-1);
    ok(!rc && n > 2 && !half, "writer: each of %ld allocations may fail, leaving no file", n - 1);
    snprintf(path, sizeof path, "%s/nowhere/w.safetensors", test_dir());
    ok(write_one(path, 3, &e) && strstr(e.msg, "nowhere"), "%s", e.msg);
}

/* A file size limit stands for a full disk. */
static void test_writer_no_space(void)
{
    struct err e;
    struct rlimit old, small;
    char path[600];
    size_t len = 0;
    snprintf(path, sizeof path, "%s/full.safetensors", test_dir());
    ok(!write_one(path, 3, &e), "a first file");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){2000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = write_one(path, 5000, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    char *left = file_read(path, &len, &e);
    ok(rc && left && len == 8 + 88 + 6, "no space for a larger one: the old file stays");
    free(left);
}

int main(void)
{
    test_round_trip(DT_F32, 0);
    test_round_trip(DT_F16, 0x1p-11);
    test_round_trip(DT_BF16, 0x1p-8);
    test_writer_bytes();
    test_gguf_bytes();
    test_range();
    test_writer_no_memory(false);
    test_writer_no_memory(true);
    test_writer_no_space();
    return done();
}
