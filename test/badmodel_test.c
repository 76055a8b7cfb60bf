/* Damaged model directories and files: a clear error or a model, never a crash. badfiles_test.c has
 * the readers of tensors; here are the files around them, and what follows from wrong sizes. */
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "decoders.h"
#include "model/store.h"
#include "tap.h"
#include "tensor/file.h"

/* 0, or -1 and a message; a model that opens is read in full. */
static int try_open(const char *path, struct err *e)
{
    struct model m;
    e->msg[0] = 0;
    if (model_open_header(&m, path, e))
        return -1;
    model_close(&m);
    if (model_open(&m, path, false, e))
        return -1;
    model_close(&m);
    return 0;
}

static void write_part(const char *dir, const char *name, const void *bytes, size_t n)
{
    struct err e;
    char *path = file_join(dir, name, &e);
    if (path)
        unlink(path); /* to write over a file, or file_write, would wait for the disk */
    FILE *f = path ? fopen(path, "wb") : NULL;
    BUG_ON(!f || (n && fwrite(bytes, 1, n, f) != n) || fclose(f));
    free(path);
}

/* One file of a good model cut at every 64th of its length, and with bytes changed in as many
 * places. `file` NULL: the model is a file. */
static void test_damage(const char *model, const char *file)
{
    static const char bad[] = {0, '9', '"', '{', '\xff'};
    struct err e;
    size_t n;
    char *path = file ? file_join(model, file, &e) : mem_strdup(model, &e);
    char *good = file_read(path, &n, &e);
    const char *dir_end = strrchr(path, '/');
    char *dir = mem_strndup(path, (size_t)(dir_end - path), &e);
    int accepted = 0, silent = 0;
    for (size_t k = 0; good && k < 64; k++) {
        write_part(dir, dir_end + 1, good, n * k / 64);
        int rc = try_open(model, &e);
        accepted += !rc;
        silent += rc && !e.msg[0];
    }
    const char *name = dir_end + 1;
    ok(good && !accepted && !silent, "%s cut: %d of 64 accepted, %d silent", name, accepted,
       silent);
    for (size_t k = 0; good && k < 64 * sizeof bad; k++) {
        const size_t at = n * (k / sizeof bad) / 64;
        const char was = good[at];
        good[at] = bad[k % sizeof bad];
        write_part(dir, dir_end + 1, good, n);
        silent += try_open(model, &e) && !e.msg[0];
        good[at] = was;
    }
    ok(!silent, "%s with bytes changed: %d silent", name, silent);
    write_part(dir, dir_end + 1, good, good ? n : 0);
    ok(!try_open(model, &e), "%s as it was", name);
    free(path);
    free(good);
    free(dir);
}

/* A model in three pieces, in `to`. */
static void make_pieces(const char *to)
{
    struct err e;
    struct model m;
    char *from = test_data("models/m_cur");
    const struct save_options o = {.dtype = DT_BF16, .shard_bytes = 15000};
    BUG_ON(!from || model_open_header(&m, from, &e) || model_save(&m, to, &o, &e));
    model_close(&m);
    free(from);
}

/* A llama2.c file of 2 layers, width 4, 2 heads, 5 tokens. */
static void make_llama2c(const char *dir, const char *name)
{
    const int32_t header[7] = {4, 6, 2, 2, 1, 5, 8};
    float weights[400];
    /* embed, norms, q, k, v, o, norms, gate, down, up, norm, and two tables of [8, 1] */
    const size_t n = 20 + 8 + 32 + 16 + 16 + 32 + 8 + 48 + 48 + 48 + 4 + 8 + 8;
    uint8_t file[sizeof header + sizeof weights];
    for (size_t i = 0; i < n; i++)
        weights[i] = (float)i / 100;
    memcpy(file, header, sizeof header);
    memcpy(file + sizeof header, weights, n * sizeof(float));
    write_part(dir, name, file, sizeof header + n * sizeof(float));
}

/* GGUFs that are whole, and no model for us. */
static void test_refused(void)
{
    static const struct {
        const char *arch; /* NULL: none is named */
        uint32_t parts;
        const char *message;
    } cases[] = {{"llama", 3, "one of 3 parts"},
                 {"mamba", 1, "'mamba'"},
                 {NULL, 1, "general.architecture"},
                 {"llama", 1, "llama.block_count"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e;
        struct gguf_pairs p = {0};
        char path[600];
        snprintf(path, sizeof path, "%s/refused.gguf", test_dir());
        if (cases[i].arch)
            gguf_put_text(&p, "general.architecture", cases[i].arch, &e);
        gguf_put_u32(&p, "split.count", cases[i].parts, &e);
        struct tensor_out *o = gguf_out_open(path, &p, &e);
        ok(o && !tensor_out_commit(o, &e), "a GGUF of pairs");
        ok(try_open(path, &e) && strstr(e.msg, cases[i].message), "%s", e.msg);
        gguf_pairs_fini(&p);
    }
}

/* A GGUF of every family. */
static void test_ggufs(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct err e;
        struct model m;
        struct gguf_pairs none = {0};
        const struct save_options o = {.dtype = DT_F32};
        char path[600];
        snprintf(path, sizeof path, "%s/%s%zu.gguf", test_dir(), kinds[i].family, i);
        if (build(&m, &kinds[i]) && !model_save_gguf(&m, path, &none, &o, &e))
            test_damage(path, NULL);
        model_close(&m);
    }
}

/* config.json with another value for a key. */
static void test_settings(const char *dir)
{
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 16000000", "layers"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1000", "missing"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1025", "too large"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 0", "num_hidden_layers"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2.5", "num_hidden_layers"},
        {"\"hidden_size\": 24", "\"hidden_size\": 16777216", "wrong shape"},
        {"\"hidden_size\": 24", "\"hidden_size\": 1e30", "hidden_size"},
        {"\"hidden_size\": 24", "\"hidden_size\": -24", "hidden_size"},
        {"\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "heads"},
        {"\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "num_attention_heads"},
        {"\"head_dim\": 6", "\"head_dim\": 7", ""},
        {"\"vocab_size\": 104", "\"vocab_size\": 103", "wrong shape"},
        {"\"vocab_size\": 104", "\"vocab_size\": \"104\"", "vocab_size"},
        {"\"rope_theta\": 10000.0", "\"rope_theta\": 0.5", "rope base"},
        {"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 0", "epsilon"},
        {"\"llama\"", "\"no_such_model\", \"architectures\": [\"NoSuchModel\"]", "'NoSuchModel'"},
        {"\"llama\"", "7, \"architectures\": [7]", "architecture"},
    };
    struct err e;
    size_t n;
    char *path = file_join(dir, "config.json", &e), *text = file_read(path, &n, &e);
    for (size_t i = 0; text && i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        const char *at = strstr(text, cases[i].from);
        if (ok(at != NULL, "config.json has %s", cases[i].from)) {
            buf_add(&b, text, (size_t)(at - text), &e);
            buf_str(&b, cases[i].to, &e);
            buf_str(&b, at + strlen(cases[i].from), &e);
            write_part(dir, "config.json", b.data, b.len);
            int rc = try_open(dir, &e);
            ok(rc && strstr(e.msg, cases[i].message), "%s: %s", cases[i].to, e.msg);
        }
        buf_fini(&b);
    }
    write_part(dir, "config.json", text, text ? n : 0);
    free(text);
    free(path);
}

static void test_index(const char *dir)
{
    static const struct {
        const char *what, *text, *message;
    } cases[] = {
        {"a list", "[]", "weight_map"},
        {"no map", "{\"metadata\": {}}", "weight_map"},
        {"an empty map", "{\"weight_map\": {}}", "weight_map"},
        {"a map of numbers", "{\"weight_map\": {\"a\": 1}}", "names no files"},
        {"a file outside", "{\"weight_map\": {\"a\": \"../x.safetensors\"}}", "outside"},
        {"a file at the root", "{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "outside"},
        {"a file that is not there", "{\"weight_map\": {\"a\": \"none.safetensors\"}}", "none.saf"},
        {"the directory itself", "{\"weight_map\": {\"a\": \".\"}}", "regular file"},
        {"a file that is no tensor file", "{\"weight_map\": {\"a\": \"config.json\"}}", "neither"},
        {"one piece only", "{\"weight_map\": {\"a\": \"model-00001-of-00003.safetensors\"}}", ""},
    };
    struct err e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_part(dir, "model.safetensors.index.json", cases[i].text, strlen(cases[i].text));
        int rc = try_open(dir, &e);
        ok(rc && e.msg[0] && strstr(e.msg, cases[i].message), "index with %s: %s", cases[i].what,
           e.msg);
    }
}

int main(void)
{
    char dir[600], path[620];
    /* Keys with a byte exchanged are warned of; sanitizers write to the descriptor. */
    FILE *nowhere = fopen("/dev/null", "w");
    BUG_ON(!nowhere);
    stderr = nowhere;
    snprintf(dir, sizeof dir, "%s/pieces", test_dir());
    make_pieces(dir);
    test_damage(dir, "config.json");
    test_damage(dir, "generation_config.json");
    test_damage(dir, "model.safetensors.index.json");
    test_damage(dir, "model-00002-of-00003.safetensors");
    test_settings(dir);
    test_index(dir);
    snprintf(path, sizeof path, "%s/llama2.bin", test_dir());
    make_llama2c(test_dir(), "llama2.bin");
    test_damage(path, NULL);
    test_refused();
    test_ggufs();
    return done();
}
