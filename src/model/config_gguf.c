/* Configurations from the two formats that have no config.json: GGUF and llama2.c. */
#include <math.h>
#include <string.h>

#include "model/config_keys.h"
#include "model/family.h"
#include "tensor/gguf.h"

enum { MAX_DIM = 1 << 24 };

/* Where the pairs are, and the prefix of the architecture's own. */
struct source {
    const struct tensor_file *f;
    const struct gguf_meta *m;
    const char *arch;
    char key[96]; /* of the last pair that was read */
};

static const char *own_key(struct source *s, const char *name)
{
    snprintf(s->key, sizeof s->key, "%s.%s", s->arch, name);
    return s->key;
}

/* An int in [1, MAX_DIM]; preset < 0: must be there; preset 0: 0 if it is not. */
static int read_dim(struct source *s, const char *name, int preset, int *out, struct err *e)
{
    int64_t v = preset;
    if (!gguf_int(s->m, own_key(s, name), &v) && preset < 0)
        return err_set(e, "the GGUF has no '%s'", s->key);
    if ((v < 1 || v > MAX_DIM) && (v || preset))
        return err_set(e, "'%s' is %lld, out of range", s->key, (long long)v);
    *out = (int)v;
    return 0;
}

static double opt_real(struct source *s, const char *name, double preset)
{
    gguf_real(s->m, own_key(s, name), &preset);
    return preset;
}

/* --- rope --- */

/* llama.cpp stores llama3 rope scaling as one divisor per frequency. The factor is the largest one;
 * the other settings are in the pairs that config_gguf_out.c writes, or those of all published
 * models: low 1, high 4, context 8192. The result must match every divisor. */
static int read_llama3(struct rope_config *rope, struct source *s, const struct tensor *t,
                       struct err *e)
{
    struct rope_config r = *rope;
    r.kind = ROPE_LLAMA3;
    r.low_freq = opt_real(s, "rope.scaling.low_freq_factor", 1);
    r.high_freq = opt_real(s, "rope.scaling.high_freq_factor", 4);
    if (read_dim(s, "rope.scaling.original_context_length", 8192, &r.original_positions, e))
        return -1;
    float *div = tensor_f32(t, e);
    if (!div)
        return -1;
    for (size_t i = 0; i < t->count; i++)
        r.factor = fmax(r.factor, div[i]);
    bool same = t->count == (size_t)r.rot / 2;
    for (int i = 0; same && i < r.rot / 2; i++) {
        double inv = pow(r.base, -2.0 * i / r.rot);
        same = fabs(inv / rope_llama3_scale(&r, inv) - div[i]) <= 1e-3 * div[i];
    }
    free(div);
    if (!same)
        return err_set(e, "the rope frequencies of this GGUF are not of the llama3 form");
    *rope = r;
    return 0;
}

static int read_factors(double *out, const struct rope_config *r, const struct tensor *t,
                        struct err *e)
{
    if (!t || t->count != (size_t)r->rot / 2 || t->count > OPS_MAX_HEAD / 2)
        return err_set(e, "the GGUF lacks some of its %d rope factors", r->rot / 2);
    float *v = tensor_f32(t, e);
    for (size_t i = 0; v && i < t->count; i++)
        out[i] = (double)v[i];
    free(v);
    return v ? 0 : -1;
}

static int read_longrope(struct rope_config *r, struct source *s, struct err *e)
{
    r->kind = ROPE_LONG;
    r->magnitude = opt_real(s, "rope.scaling.attn_factor", 1);
    return read_dim(s, "rope.scaling.original_context_length", -1, &r->original_positions, e) ||
                   read_factors(r->long_factor, r, tensor_find(s->f, "rope_factors_long.weight"),
                                e) ||
                   read_factors(r->short_factor, r, tensor_find(s->f, "rope_factors_short.weight"),
                                e)
               ? -1
               : 0;
}

static bool text_is(const struct gguf_str *t, const char *word)
{
    return t->n == strlen(word) && !memcmp(t->s, word, t->n);
}

/* llama.cpp multiplies the attention factor of the paper by that of the file. */
static int read_yarn(struct rope_config *r, struct source *s, struct err *e)
{
    r->kind = ROPE_YARN;
    r->beta_fast = opt_real(s, "rope.scaling.yarn_beta_fast", 32);
    r->beta_slow = opt_real(s, "rope.scaling.yarn_beta_slow", 1);
    r->magnitude = opt_real(s, "rope.scaling.attn_factor", 1) * rope_yarn_magnitude(r->factor, 1);
    return read_dim(s, "rope.scaling.original_context_length", 0, &r->original_positions, e);
}

/* A factor without a type is linear, as in llama.cpp. */
static int read_formula(struct rope_config *r, struct source *s, struct err *e)
{
    struct gguf_str type = {"linear", 6};
    r->factor = opt_real(s, "rope.scaling.factor", 0);
    gguf_text(s->m, own_key(s, "rope.scaling.type"), &type);
    if (!(r->factor > 0) || text_is(&type, "none"))
        return 0;
    if (text_is(&type, "yarn"))
        return read_yarn(r, s, e);
    if (!text_is(&type, "linear"))
        return err_set(e, "rope scaling '%.*s' is not supported; supported: none, linear, yarn",
                       (int)(type.n < 40 ? type.n : 40), type.s);
    r->kind = ROPE_LINEAR;
    return 0;
}

static int read_rope(struct model_config *c, struct source *s, struct err *e)
{
    struct rope_config *r = &c->rope;
    const struct tensor *divisors = tensor_find(s->f, "rope_freqs.weight");
    r->base = opt_real(s, "rope.freq_base", 10000);
    if (r->local_base > 0)
        r->local_base = opt_real(s, "rope.freq_base_swa", r->local_base);
    if (family_slot(c, W_POS))
        return 0;
    if (read_dim(s, "rope.dimension_count", c->head_dim, &r->rot, e))
        return -1;
    if (r->rot > c->head_dim || r->rot % 2)
        return err_set(e, "'%s' is %d, but a head has %d numbers", s->key, r->rot, c->head_dim);
    if (divisors)
        return read_llama3(r, s, divisors, e);
    return tensor_find(s->f, "rope_factors_long.weight") ? read_longrope(r, s, e)
                                                         : read_formula(r, s, e);
}

/* --- the rest --- */

/* Some families' files share an architecture. */
static bool arch_has_window(const char *arch)
{
    for (const struct family *f = families; f->name; f++)
        if (f->gguf && !strcmp(f->gguf, arch) && config_has_key(f, "sliding_window"))
            return true;
    return false;
}

/* 0 is none, and another thing than a missing pair. */
static int read_window(struct model_config *c, struct source *s, struct err *e)
{
    int64_t v = c->window;
    gguf_int(s->m, own_key(s, "attention.sliding_window"), &v);
    if (v < 0 || v > MAX_DIM)
        return err_set(e, "'%s' is %lld, out of range", s->key, (long long)v);
    if (v && !arch_has_window(s->arch))
        return err_set(e, "'%s' is %lld, but no window is supported in family '%s'", s->key,
                       (long long)v, c->family->name);
    c->window = (int)v;
    return 0;
}

static int read_shape(struct model_config *c, struct source *s, struct err *e)
{
    int value_length;
    if (read_dim(s, "block_count", -1, &c->layers, e) ||
        read_dim(s, "embedding_length", -1, &c->width, e) ||
        read_dim(s, "attention.head_count", -1, &c->heads, e) ||
        read_dim(s, "attention.head_count_kv", c->heads, &c->kv_heads, e) ||
        read_dim(s, "attention.key_length", c->width / c->heads, &c->head_dim, e) ||
        read_dim(s, "attention.value_length", c->head_dim, &value_length, e) ||
        read_dim(s, "feed_forward_length", -1, &c->ff, e) ||
        read_dim(s, "context_length", 2048, &c->positions, e) || read_window(c, s, e))
        return -1;
    if (value_length != c->head_dim)
        return err_set(e, "values of %d numbers a head with keys of %d are not supported",
                       value_length, c->head_dim);
    if (c->experts && (read_dim(s, "expert_count", -1, &c->experts, e) ||
                       read_dim(s, "expert_used_count", -1, &c->experts_used, e)))
        return -1;
    if (c->dense_ff) {
        c->dense_ff = c->ff;
        if (read_dim(s, "expert_feed_forward_length", -1, &c->ff, e))
            return -1;
    }
    const struct tensor *embed = tensor_find(s->f, "token_embd.weight");
    if (!embed || embed->n_dims != 2 || embed->shape[0] > MAX_DIM || embed->shape[0] < 1)
        return err_set(e, "the GGUF has no usable 'token_embd.weight'");
    c->vocab = (int)embed->shape[0];
    return 0;
}

/* The largest models of Gemma 2 and 3, which llama.cpp tells by their layers, scale by width over
 * heads. */
static float attn_scale(const struct model_config *c)
{
    const char *name = c->family->name;
    bool large = (!strcmp(name, "gemma2") && c->layers == 46) ||
                 (!strcmp(name, "gemma3_text") && c->layers == 62);
    return 1.0f / sqrtf((float)(large ? c->width / c->heads : c->head_dim));
}

static void read_numbers(struct model_config *c, struct source *s)
{
    const char *eps =
        c->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    c->norm_eps = (float)opt_real(s, eps, 1e-5);
    c->attn_scale = (float)opt_real(s, "attention.scale", (double)attn_scale(c));
    c->embed_scale = (float)opt_real(s, "embedding_scale", (double)c->embed_scale);
    c->residual_scale = (float)opt_real(s, "residual_scale", (double)c->residual_scale);
    c->logit_divisor = (float)opt_real(s, "logit_scale", (double)c->logit_divisor);
    c->attn_softcap = (float)opt_real(s, "attn_logit_softcapping", (double)c->attn_softcap);
    c->logit_softcap = (float)opt_real(s, "final_logit_softcapping", (double)c->logit_softcap);
    gguf_bool(s->m, own_key(s, "use_parallel_residual"), &c->parallel);
}

/* What only some checkpoints of the family have is told by the tensors of the first layer. */
static void read_options(struct model_config *c, const struct tensor_file *f)
{
    for (const struct slot_name *s = c->family->names; s->hf; s++) {
        char name[96];
        snprintf(name, sizeof name, s->gguf, 0);
        const bool there = tensor_find(f, name);
        if (s->when == IF_UNTIED)
            c->tied_head = !there;
        else if (s->when == IF_QKV_BIAS)
            c->qkv_bias = there;
        else if (s->when == IF_OUT_BIAS)
            c->out_bias = there;
        else if (s->when == IF_MLP_BIAS)
            c->mlp_bias = there;
    }
}

static void read_ids(struct model_config *c, const struct gguf_meta *m)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int64_t id;
    c->bos = gguf_int(m, "tokenizer.ggml.bos_token_id", &id) ? (int)id : -1;
    c->pad = gguf_int(m, "tokenizer.ggml.padding_token_id", &id) ? (int)id : -1;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (gguf_int(m, ends[i], &id))
            c->eos[c->n_eos++] = (int)id;
}

int config_from_gguf(struct model_config *c, const struct tensor_file *f, struct err *e)
{
    struct gguf_str arch;
    const struct family *family;
    int64_t parts = 1;
    if (gguf_int(f->meta, "split.count", &parts) && parts > 1)
        return err_set(e, "this is one of %lld parts: join them with llama.cpp's gguf-split",
                       (long long)parts);
    if (!gguf_text(f->meta, "general.architecture", &arch))
        return err_set(e, "the GGUF has no 'general.architecture'");
    char key[96];
    int64_t experts = 0;
    snprintf(key, sizeof key, "%.*s.expert_count", (int)(arch.n < 64 ? arch.n : 64), arch.s);
    gguf_int(f->meta, key, &experts);
    if (!(family = family_by_gguf(arch.s, arch.n, experts > 0, e)) ||
        config_gguf_check(f, family->gguf, e))
        return -1;
    struct source s = {.f = f, .m = f->meta, .arch = family->gguf};
    *c = family->preset;
    c->family = family;
    c->experts_norm = c->experts > 0; /* llama.cpp has no other way */
    if (read_shape(c, &s, e) || read_rope(c, &s, e))
        return -1;
    read_numbers(c, &s);
    read_options(c, f);
    read_ids(c, f->meta);
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
    if (!(c->family = family_by_gguf("llama", 5, false, e)))
        return -1;
    config_derive(c);
    return config_check(c, e);
}
