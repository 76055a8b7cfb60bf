/* Writing models: a GGUF of every family read back, and memory that may fail. With an argument only
 * the GGUFs are written, into that directory: test/llamacpp.t wants them. test/convert.t has the
 * rest of what is written.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "decoders.h"
#include "model/store.h"
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

static const struct save_options as_f32 = {.dtype = DT_F32};

/* The settings that a decoder works with. */
static bool same_config(const struct model_config *a, const struct model_config *b,
                        const char *name)
{
    const struct model_config x = *a, y = *b;
    const struct {
        const char *what;
        bool same;
    } parts[] = {
        {"shape", x.layers == y.layers && x.width == y.width && x.heads == y.heads &&
                      x.kv_heads == y.kv_heads && x.head_dim == y.head_dim && x.ff == y.ff &&
                      x.vocab == y.vocab && x.positions == y.positions},
        {"norms", x.norm == y.norm && x.norm_eps == y.norm_eps && x.norm_offset == y.norm_offset},
        {"head", x.tied_head == y.tied_head && x.embed_scale == y.embed_scale &&
                     x.logit_divisor == y.logit_divisor && x.logit_softcap == y.logit_softcap},
        {"rope",
         x.rope.kind == y.rope.kind && x.rope.rot == y.rope.rot &&
             (!x.rope.rot ||
              (x.rope.base == y.rope.base && x.rope.local_base == y.rope.local_base)) &&
             x.rope.original_positions == y.rope.original_positions &&
             (float)x.rope.magnitude == (float)y.rope.magnitude &&
             !memcmp(x.rope.short_factor, y.rope.short_factor, sizeof x.rope.short_factor) &&
             !memcmp(x.rope.long_factor, y.rope.long_factor, sizeof x.rope.long_factor)},
        {"attention", x.attn_scale == y.attn_scale && x.attn_softcap == y.attn_softcap &&
                          x.window == y.window && !memcmp(x.layer, y.layer, sizeof x.layer)},
        {"mlp", x.act == y.act && x.parallel == y.parallel && x.residual_scale == y.residual_scale},
        {"experts", x.experts == y.experts && x.experts_used == y.experts_used &&
                        x.experts_norm == y.experts_norm && x.dense_ff == y.dense_ff},
        {"biases",
         x.qkv_bias == y.qkv_bias && x.out_bias == y.out_bias && x.mlp_bias == y.mlp_bias},
    };
    bool same = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i].same)
            note("%s: another %s", name, parts[i].what);
        same = parts[i].same && same;
    }
    return same;
}

static void check_back(const struct model *m, const char *path, const char *name)
{
    struct err e;
    struct model back;
    if (!ok(!model_open(&back, path, false, &e), "%s: read back", name)) {
        note("%s", e.msg);
        return;
    }
    ok(same_config(&m->cfg, &back.cfg, name), "%s: the same settings", name);
    int wrong = m->table.n != back.table.n;
    for (int i = 0; !wrong && i < m->table.n; i++) {
        const size_t n = m->table.v[i].count;
        /* A norm that is stored one larger loses its last bits. */
        for (size_t k = 0; n == back.table.v[i].count && k < n; k++)
            wrong += m->cfg.norm_offset ? !(fabsf(m->w[i][k] - back.w[i][k]) < 3e-7f)
                                        : m->w[i][k] != back.w[i][k];
        wrong += n != back.table.v[i].count;
    }
    ok(!wrong, "%s: the same %d weights", name, m->table.n);
    model_close(&back);
}

/* One variant of a family: NAME.gguf in `dir`. */
static void test_family(const struct kind *k, const char *dir, bool check)
{
    struct err e;
    struct model m;
    struct gguf_pairs extra = {0};
    char name[64], path[700];
    snprintf(name, sizeof name, "%s%s", k->family, k->what);
    for (char *p = name; *p; p++)
        *p = strchr(", ", *p) ? '-' : *p;
    snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    if (ok(build(&m, k), "%s", name)) {
        int rc = gguf_put_text(&extra, "tokenizer.ggml.model", "none", &e) ||
                 model_save_gguf(&m, path, &extra, &as_f32, &e);
        if (!m.cfg.family->gguf)
            ok(rc && strstr(e.msg, "GGUF knows no family"), "%s: %s", name, e.msg);
        else if (k->no_sum)
            ok(rc && strstr(e.msg, "'norm_topk_prob' false"), "%s: %s", name, e.msg);
        else if (!config_layers_by_rule(&m.cfg))
            ok(rc && strstr(e.msg, "GGUF cannot say which layers"), "%s: %s", name, e.msg);
        else if (ok(!rc, "%s: written", name) && check)
            check_back(&m, path, name);
    }
    gguf_pairs_fini(&extra);
    model_close(&m);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        test_family(&kinds[i], argc > 1 ? argv[1] : test_dir(), argc == 1);
    if (argc > 1)
        return done();
    test_no_memory(false);
    test_no_memory(true);
    test_both_ways();
    return done();
}
