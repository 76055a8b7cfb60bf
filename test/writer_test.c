/* Writing safetensors: what is written reads back, in the very bytes of the format, whole or not at
 * all. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "tap.h"
#include "tensor/file.h"

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
    tensor_out_add(o, "w", DT_F32, 2, (const int64_t[]){1, 2}, &e);
    tensor_out_abort(o);
    got = file_read(path, &len, &e);
    ok(got && len == sizeof want - 1, "an abandoned output leaves the old file");
    free(got);
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

static void test_writer_no_memory(void)
{
    struct err e;
    char path[600];
    int rc = -1, half = 0;
    long n = 0;
    snprintf(path, sizeof path, "%s/w.safetensors", test_dir());
    for (; rc && n < 100; n++) {
        mem_fail_at(n);
        rc = write_one(path, 3, &e);
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
    test_writer_no_memory();
    test_writer_no_space();
    return done();
}
