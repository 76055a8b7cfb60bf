/* A configuration as the pairs of a GGUF, under the names that llama.cpp asks for. A pair that an
 * architecture does not know is ignored there, so that one list serves all.
 */
#include <math.h>
#include <string.h>

#include "model/config_keys.h"
#include "model/family.h"
#include "model/config.h"
#include "model/store.h"

/* The pairs under construction; after a failure the rest is left out. */
struct pairs {
    struct gguf_pairs *p;
    const char *arch;
    struct err *e;
    int rc;
};

static void put_int(struct pairs *o, const char *name, int v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", o->arch, name);
    if (!o->rc)
        o->rc = gguf_put_u32(o->p, key, (uint32_t)v, o->e);
}

static void put_real(struct pairs *o, const char *name, double v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", o->arch, name);
    if (!o->rc)
        o->rc = gguf_put_f32(o->p, key, (float)v, o->e);
}

static void put_text(struct pairs *o, const char *name, const char *v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", o->arch, name);
    if (!o->rc)
        o->rc = gguf_put_text(o->p, key, v, o->e);
}

/* llama.cpp's number of a kind of file; what it says is that most matrices are of that type. */
static uint32_t file_type(enum dtype t)
{
    static const uint32_t number[DT_COUNT] = {
        [DT_F16] = 1,   [DT_Q4_0] = 2,  [DT_Q4_1] = 3,  [DT_Q8_0] = 7,
        [DT_Q5_0] = 8,  [DT_Q5_1] = 9,  [DT_Q2_K] = 10, [DT_Q3_K] = 11,
        [DT_Q4_K] = 14, [DT_Q5_K] = 16, [DT_Q6_K] = 18, [DT_BF16] = 32};
    return number[t];
}

static void put_rope(struct pairs *o, const struct model_config *c)
{
    const struct rope_config *r = &c->rope;
    if (!r->rot)
        return;
    put_int(o, "rope.dimension_count", r->rot);
    put_real(o, "rope.freq_base", r->base);
    if (r->local_base > 0)
        put_real(o, "rope.freq_base_swa", r->local_base);
    if (r->kind == ROPE_LINEAR) {
        put_text(o, "rope.scaling.type", "linear");
        put_real(o, "rope.scaling.factor", r->factor);
    } else if (r->kind == ROPE_YARN) {
        put_text(o, "rope.scaling.type", "yarn");
        put_real(o, "rope.scaling.factor", r->factor);
        put_int(o, "rope.scaling.original_context_length", r->original_positions);
        put_real(o, "rope.scaling.yarn_beta_fast", r->beta_fast);
        put_real(o, "rope.scaling.yarn_beta_slow", r->beta_slow);
        put_real(o, "rope.scaling.attn_factor", r->magnitude / rope_yarn_magnitude(r->factor, 1));
    } else if (r->kind == ROPE_LLAMA3) { /* llama.cpp has the divisors and needs none of these */
        put_int(o, "rope.scaling.original_context_length", r->original_positions);
        put_real(o, "rope.scaling.low_freq_factor", r->low_freq);
        put_real(o, "rope.scaling.high_freq_factor", r->high_freq);
    } else if (r->kind == ROPE_LONG) {
        put_int(o, "rope.scaling.original_context_length", r->original_positions);
        put_real(o, "rope.scaling.attn_factor", r->magnitude);
    }
}

static void put_attention(struct pairs *o, const struct model_config *c)
{
    put_int(o, "attention.head_count", c->heads);
    put_int(o, "attention.head_count_kv", c->kv_heads);
    put_int(o, "attention.key_length", c->head_dim);
    put_int(o, "attention.value_length", c->head_dim);
    put_real(o,
             c->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                 : "attention.layer_norm_epsilon",
             (double)c->norm_eps);
    if (c->attn_scale != 1.0f / sqrtf((float)c->head_dim))
        put_real(o, "attention.scale", (double)c->attn_scale);
    /* What the family has where nothing is said must be denied. */
    const struct model_config *preset = &c->family->preset;
    if (c->window || preset->window)
        put_int(o, "attention.sliding_window", c->window);
    if (c->attn_softcap > 0 || preset->attn_softcap > 0)
        put_real(o, "attn_logit_softcapping", (double)c->attn_softcap);
    if (c->logit_softcap > 0 || preset->logit_softcap > 0)
        put_real(o, "final_logit_softcapping", (double)c->logit_softcap);
}

/* What llama.cpp has no setting for would be another model there. */
static int check_sayable(const struct model_config *c, struct err *e)
{
    const char *name = c->family->name;
    if (!c->family->gguf)
        return err_set(e, "GGUF knows no family '%s': write a directory instead", name);
    if (!config_layers_by_rule(c))
        return err_set(e,
                       "GGUF cannot say which layers of a '%s' have a window or no rope, and these "
                       "are not the usual ones: write a directory instead",
                       name);
    if (c->experts && !c->experts_norm)
        return err_set(e, "GGUF cannot say that the weights of experts do not sum to 1 "
                          "('norm_topk_prob' false): write a directory instead");
    return 0;
}

static void put_scales(struct pairs *o, const struct model_config *c)
{
    if (c->embed_scale != 1 && !c->embed_root)
        put_real(o, "embedding_scale", (double)c->embed_scale);
    if (c->residual_scale != 1)
        put_real(o, "residual_scale", (double)c->residual_scale);
    if (config_has_key(c->family, "logits_scaling"))
        put_real(o, "logit_scale", (double)c->logit_divisor);
}

int config_to_gguf(const struct model_config *c, enum dtype dtype, struct gguf_pairs *p,
                   struct err *e)
{
    const char *arch = c->family->gguf;
    struct pairs o = {p, arch, e, 0};
    if (check_sayable(c, e))
        return -1;
    if (gguf_put_text(p, "general.architecture", arch, e) ||
        gguf_put_text(p, "general.type", "model", e) ||
        gguf_put_u32(p, "general.file_type", file_type(dtype), e) ||
        gguf_put_u32(p, "general.quantization_version", 2, e))
        return -1;
    put_int(&o, "vocab_size", c->vocab);
    put_int(&o, "context_length", c->positions);
    put_int(&o, "embedding_length", c->width);
    put_int(&o, "block_count", c->layers);
    put_int(&o, "feed_forward_length", c->dense_ff ? c->dense_ff : c->ff);
    if (c->experts) {
        put_int(&o, "expert_count", c->experts);
        put_int(&o, "expert_used_count", c->experts_used);
        put_int(&o, "expert_feed_forward_length", c->ff);
    }
    put_attention(&o, c);
    put_scales(&o, c);
    put_rope(&o, c);
    if (!o.rc && !strcmp(arch, "gptneox"))
        o.rc = gguf_put_bool(p, "gptneox.use_parallel_residual", c->parallel, e);
    return o.rc;
}
