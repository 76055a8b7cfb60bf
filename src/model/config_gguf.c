/* Configurations from the two formats that have no config.json: GGUF and llama2.c. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/family.h"
#include "model/rope.h"
#include "tensor/gguf.h"

enum { MAX_DIM = 1 << 24 };

/* "ARCH.name" as an int in [1, MAX_DIM]; preset < 0: must be there. */
static int read_dim(const struct gguf_meta *m, const char *arch, const char *name, int preset,
                    int *out, struct err *e)
{
    char key[128];
    int64_t v = preset;
    snprintf(key, sizeof key, "%s.%s", arch, name);
    if (!gguf_int(m, key, &v) && preset < 0)
        return err_set(e, "the GGUF has no '%s'", key);
    if (v < 1 || v > MAX_DIM)
        return err_set(e, "'%s' is %lld, out of range", key, (long long)v);
    *out = (int)v;
    return 0;
}

/* "ARCH.name", if it is there. */
static void opt_real(const struct gguf_meta *m, const char *arch, const char *name, double *out)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    gguf_real(m, key, out);
}

/* llama.cpp stores llama3 rope scaling as one divisor per frequency. The factor is the largest one;
 * the other settings are in the pairs that config_gguf_out.c writes, or those of all published
 * models: low 1, high 4, context 8192. The result must match every divisor. */
static int read_rope_divisors(struct model_config *c, const struct gguf_meta *m, const char *arch,
                              const struct tensor *t, struct err *e)
{
    int half = c->head_dim / 2;
    struct rope_config r = c->rope;
    r.kind = ROPE_LLAMA3;
    r.low_freq = 1;
    r.high_freq = 4;
    opt_real(m, arch, "rope.scaling.low_freq_factor", &r.low_freq);
    opt_real(m, arch, "rope.scaling.high_freq_factor", &r.high_freq);
    if (read_dim(m, arch, "rope.scaling.original_context_length", 8192, &r.original_positions, e))
        return -1;
    float *div = tensor_f32(t, e);
    if (!div)
        return -1;
    for (size_t i = 0; i < t->count; i++)
        r.factor = fmax(r.factor, div[i]);
    bool same = t->count == (size_t)half;
    for (int i = 0; same && i < half; i++) {
        double inv = pow(r.base, -2.0 * i / c->head_dim);
        same = fabs(inv / rope_llama3_scale(&r, inv) - div[i]) <= 1e-3 * div[i];
    }
    free(div);
    if (!same)
        return err_set(e, "the rope frequencies of this GGUF are not of the llama3 form");
    c->rope = r;
    return 0;
}

/* Scaling by a formula. A factor without a type is linear, as in llama.cpp. */
static int read_rope_scaling(struct rope_config *r, const struct gguf_meta *m, const char *arch,
                             struct err *e)
{
    char key[128];
    struct gguf_str type = {"linear", 6};
    opt_real(m, arch, "rope.scaling.factor", &r->factor);
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    gguf_text(m, key, &type);
    if (!(r->factor > 0) || (type.n == 4 && !memcmp(type.s, "none", 4)))
        return 0;
    if (type.n != 6 || memcmp(type.s, "linear", 6))
        return err_set(e, "rope scaling '%.*s' is not supported", (int)(type.n < 40 ? type.n : 40),
                       type.s);
    r->kind = ROPE_LINEAR;
    return 0;
}

int config_from_gguf(struct model_config *c, const struct tensor_file *f, struct err *e)
{
    const struct gguf_meta *m = f->meta;
    struct gguf_str arch;
    char a[32];
    const struct family *fam;
    if (!gguf_text(m, "general.architecture", &arch))
        return err_set(e, "the GGUF has no 'general.architecture'");
    if (!(fam = family_by_gguf(arch.s, arch.n, e)))
        return -1;
    *c = fam->preset;
    c->family = fam;
    c->bos = c->pad = -1;
    snprintf(a, sizeof a, "%s", c->family->gguf);
    char key[128];
    double eps = 1e-5;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", a);
    gguf_real(m, key, &eps);
    c->norm_eps = (float)eps;
    c->rope.base = 10000;
    snprintf(key, sizeof key, "%s.rope.freq_base", a);
    gguf_real(m, key, &c->rope.base);
    if (read_dim(m, a, "block_count", -1, &c->layers, e) ||
        read_dim(m, a, "embedding_length", -1, &c->width, e) ||
        read_dim(m, a, "attention.head_count", -1, &c->heads, e) ||
        read_dim(m, a, "attention.head_count_kv", c->heads, &c->kv_heads, e) ||
        read_dim(m, a, "attention.key_length", c->width / c->heads, &c->head_dim, e) ||
        read_dim(m, a, "feed_forward_length", -1, &c->ff, e) ||
        read_dim(m, a, "context_length", 2048, &c->positions, e))
        return -1;
    const struct tensor *embed = tensor_find(f, "token_embd.weight");
    if (!embed || embed->n_dims != 2 || embed->shape[0] > MAX_DIM || embed->shape[0] < 1)
        return err_set(e, "the GGUF has no usable 'token_embd.weight'");
    c->vocab = (int)embed->shape[0];
    c->tied_head = !tensor_find(f, "output.weight");
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int64_t id;
    if (gguf_int(m, "tokenizer.ggml.bos_token_id", &id))
        c->bos = (int)id;
    if (gguf_int(m, "tokenizer.ggml.padding_token_id", &id))
        c->pad = (int)id;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (gguf_int(m, ends[i], &id))
            c->eos[c->n_eos++] = (int)id;
    const struct tensor *divisors = tensor_find(f, "rope_freqs.weight");
    if (divisors ? read_rope_divisors(c, m, a, divisors, e) : read_rope_scaling(&c->rope, m, a, e))
        return -1;
    config_derive(c);
    return config_check(c, e);
}

int config_from_llama2c(struct model_config *c, const struct tensor_file *f, struct err *e)
{
    const struct llama2c *h = &f->llama2c;
    *c = (struct model_config){
        .layers = h->n_layers,
        .width = h->dim,
        .heads = h->n_heads,
        .kv_heads = h->n_kv_heads,
        .head_dim = h->dim / h->n_heads,
        .ff = h->hidden_dim,
        .vocab = h->vocab_size,
        .positions = h->seq_len,
        .norm_eps = 1e-5f,
        .tied_head = !tensor_find(f, "lm_head.weight"),
        .rope.base = 10000,
        .bos = 1,
        .pad = -1,
        .eos = {1, 2},
        .n_eos = 2, /* run.c stops at the next story's BOS */
    };
    if (!(c->family = family_by_gguf("llama", 5, e)))
        return -1;
    config_derive(c);
    return config_check(c, e);
}
