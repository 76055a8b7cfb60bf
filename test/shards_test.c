/* The weights of a directory in several files: split as save_pretrained splits them, read back as
 * one model, whole or not at all. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "base/mem.h"
#include "tap.h"
#include "tensor/file.h"

/* Writes tensors t0.weight ... of sizes[i] bytes, number i full of the value i. */
static int write_all(const char *dir, const json_t *sizes, uint64_t limit, struct err *e)
{
    struct shards_out *o = shards_out_open(dir, limit, e);
    int rc = o ? 0 : -1;
    float x[128];
    for (size_t i = 0; !rc && i < json_array_size(sizes); i++) {
        char name[32];
        int64_t n = json_integer_value(json_array_get(sizes, i)) / 4;
        snprintf(name, sizeof name, "t%zu.weight", i);
        rc = shards_out_add(o, name, DT_F32, 1, &n, e);
    }
    for (size_t i = 0; !rc && i < json_array_size(sizes); i++) {
        for (int k = 0; k < 128; k++)
            x[k] = (float)i;
        rc = shards_out_write(o, x, e);
    }
    if (!rc)
        return shards_out_commit(o, e);
    shards_out_abort(o);
    return rc;
}

/* The first value of the tensor in DIR/FILE, if it has just one value throughout; -1 otherwise. */
static double value_in(const char *dir, const char *file, const char *name, size_t bytes)
{
    struct err e;
    struct tensor_file f;
    char *path = file_join(dir, file, &e);
    double value = -1;
    if (!tensor_file_open(&f, path, &e)) {
        const struct tensor *t = tensor_find(&f, name);
        float *x = t && t->count * 4 == bytes ? tensor_f32(t, &e) : NULL;
        for (size_t i = 0; x && i < t->count; i++)
            value = i && value != (double)x[i] ? -1 : (double)x[i];
        free(x);
        if (t && !t->count)
            value = 0;
    }
    tensor_file_close(&f);
    free(path);
    return value;
}

/* One case of shards.json, in a directory that still holds the files of the case before. */
static bool check_case(const char *dir, const json_t *c)
{
    struct err e;
    const json_t *sizes = json_object_get(c, "sizes"), *files = json_object_get(c, "files");
    char *path = file_join(dir, "model.safetensors.index.json", &e);
    if (write_all(dir, sizes, (uint64_t)json_integer_value(json_object_get(c, "limit")), &e)) {
        note("%s", e.msg);
        free(path);
        return false;
    }
    json_t *index = file_exists(path) ? json_read_file(path, &e) : NULL;
    const json_t *map = json_object_get(index, "weight_map");
    int64_t total = 0;
    bool good = true;
    for (size_t i = 0; i < json_array_size(files); i++) {
        char name[32];
        const char *file = json_string_value(json_array_get(files, i));
        const int64_t bytes = json_integer_value(json_array_get(sizes, i));
        snprintf(name, sizeof name, "t%zu.weight", i);
        total += bytes;
        good = value_in(dir, file, name, (size_t)bytes) == (bytes ? (double)i : 0) && good;
        if (index)
            good = !strcmp(json_string_value(json_object_get(map, name)), file) && good;
        else
            good = !strcmp(file, "model.safetensors") && good;
    }
    const json_t *size = json_object_get(json_object_get(index, "metadata"), "total_size");
    if (index)
        good = json_integer_value(size) == total &&
               json_object_size(map) == json_array_size(files) && good;
    json_decref(index);
    free(path);
    return good;
}

/* How many of the files that saves leave are in the directory. */
static int count_files(const char *dir)
{
    struct err e;
    int n = 0;
    char name[64];
    for (int of = 1; of < 30; of++)
        for (int i = 0; i <= of; i++) {
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", i, of);
            char *path = file_join(dir, i ? name : "model.safetensors", &e);
            n += file_exists(path) && (i || of == 1);
            free(path);
        }
    return n;
}

static void test_plans(void)
{
    struct err e;
    char dir[600];
    char *path = test_data("tensors/shards.json");
    json_t *cases = path ? json_read_file(path, &e) : NULL, *c;
    size_t i, wrong = 0, stale = 0;
    snprintf(dir, sizeof dir, "%s/plans", test_dir());
    ok(cases && !file_make_dir(dir, &e), "shards.json");
    json_array_foreach(cases, i, c)
    {
        wrong += !check_case(dir, c);
        const json_t *files = json_object_get(c, "files"), *f;
        json_t *distinct = json_object();
        size_t k;
        json_array_foreach(files, k, f)
            json_object_set_new(distinct, json_string_value(f), json_true());
        stale += count_files(dir) != (int)json_object_size(distinct);
        json_decref(distinct);
    }
    ok(i > 40 && !wrong, "%zu splits are those of huggingface_hub (%zu wrong)", i, wrong);
    ok(!stale, "no file of an earlier save is left (%zu times)", stale);
    json_decref(cases);
    free(path);
}

static void test_failures(void)
{
    struct err e;
    char dir[600];
    json_t *sizes = json_pack("[i,i,i]", 400, 400, 400);
    snprintf(dir, sizeof dir, "%s/fail", test_dir());
    ok(!file_make_dir(dir, &e) && !write_all(dir, sizes, 400, &e) && count_files(dir) == 3,
       "a first save");
    int rc = -1, silent = 0;
    long n = 0;
    for (; rc && n < 1000; n++) {
        e.msg[0] = 0;
        mem_fail_at(n);
        rc = write_all(dir, sizes, 1200, &e);
        silent += rc && !e.msg[0];
    }
    mem_fail_at(-1);
    ok(!rc && n > 5 && !silent && count_files(dir) == 1, "each of %ld allocations may fail", n - 1);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){300, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    rc = write_all(dir, sizes, 400, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    ok(rc && count_files(dir) == 1 && value_in(dir, "model.safetensors", "t2.weight", 400) == 2,
       "no space: the old file stays (%s)", e.msg);
    snprintf(dir, sizeof dir, "%s/nowhere", test_dir());
    ok(write_all(dir, sizes, 400, &e) && strstr(e.msg, "nowhere"), "%s", e.msg);
    json_decref(sizes);
}

int main(void)
{
    test_plans();
    test_failures();
    return done();
}
