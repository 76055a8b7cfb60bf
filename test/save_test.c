/* Writing models from memory that may fail; test/convert.t has what is written. */
#include <string.h>

#include "base/mem.h"
#include "model/save.h"
#include "tap.h"

/* The model by its headers only, saved; the shards are tiny so that there are several. */
static int save(const char *from, const char *to, bool gguf, struct err *e)
{
    struct model m;
    const struct gguf_pairs none = {0};
    const struct save_options o = {.dtype = DT_BF16, .shard_bytes = 8000};
    if (model_open_header(&m, from, e))
        return -1;
    int rc = gguf ? model_save_gguf(&m, to, &none, &o, e) : model_save(&m, to, &o, e);
    model_close(&m);
    return rc;
}

static void test_no_memory(bool gguf)
{
    struct err e;
    char *from = test_data("models/llama3_tied"), to[600];
    int rc = -1, silent = 0, half = 0;
    long n = 0;
    snprintf(to, sizeof to, "%s/%s", test_dir(), gguf ? "m.gguf" : "m");
    for (; from && rc && n < 10000; n++) {
        e.msg[0] = 0;
        mem_fail_at(n);
        rc = save(from, to, gguf, &e);
        silent += rc && !e.msg[0];
        half += rc && gguf && file_exists(to);
    }
    mem_fail_at(-1);
    ok(!rc && n > 20 && !silent && !half, "%s: each of %ld allocations may fail",
       gguf ? "a GGUF" : "a directory", n - 1);
    free(from);
}

/* Weights in memory and weights read one by one are written the same. */
static void test_both_ways(void)
{
    struct err e;
    struct model m = {0};
    struct save_options o = {.dtype = DT_F32, .shard_bytes = SAVE_SHARD_BYTES};
    const struct gguf_pairs none = {0};
    char *from = test_data("models/llama3_tied"), path[2][600];
    size_t n[2] = {0};
    char *bytes[2] = {0};
    for (int i = 0; from && i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/both%d.gguf", test_dir(), i);
        int rc = i ? model_open(&m, from, true, &e) : model_open_header(&m, from, &e);
        ok(!rc && !model_save_gguf(&m, path[i], &none, &o, &e), "a GGUF, weights %s",
           i ? "in memory" : "in files");
        bytes[i] = file_read(path[i], &n[i], &e);
        model_close(&m);
    }
    ok(bytes[0] && bytes[1] && n[0] == n[1] && !memcmp(bytes[0], bytes[1], n[0]),
       "both are the same file");
    free(bytes[0]);
    free(bytes[1]);
    free(from);
}

int main(void)
{
    test_no_memory(false);
    test_no_memory(true);
    test_both_ways();
    return done();
}
