#include "model/config.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "model/family.h"

enum { MAX_DIM = 1 << 24 };

/* An integer field of config.json; `preset` where the key may be missing (negative: it may not). */
static int read_dim(const json_t *j, const char *key, int preset, int *out, struct err *e)
{
    int64_t v = preset;
    int rc = preset < 0 ? json_need_int(j, key, 1, MAX_DIM, &v, e)
                        : json_opt_int(j, key, 1, MAX_DIM, &v, e);
    *out = (int)v;
    return rc;
}

/* An id, or null, or a list of ids: appends those that are there. */
static int read_eos(struct model_config *c, const json_t *ids)
{
    const json_t *one = ids;
    size_t n = json_is_array(ids) ? json_array_size(ids) : 1;
    for (size_t i = 0; i < n; i++) {
        if (json_is_array(ids))
            one = json_array_get(ids, i);
        if (json_is_integer(one) && c->n_eos < MODEL_MAX_EOS)
            c->eos[c->n_eos++] = (int)json_integer_value(one);
    }
    return c->n_eos;
}

static int read_rope(struct rope_config *r, const json_t *config, int positions, struct err *e)
{
    r->base = 10000;
    if (json_opt_real(config, "rope_theta", &r->base, e))
        return -1;
    const json_t *s = json_object_get(config, "rope_scaling");
    if (!json_is_object(s))
        return 0;
    const char *type = "default";
    if (json_opt_str(s, "type", &type, e) || json_opt_str(s, "rope_type", &type, e))
        return -1;
    int64_t original = positions;
    if (!strcmp(type, "default"))
        return 0;
    if (!strcmp(type, "linear")) {
        r->kind = ROPE_LINEAR;
        return json_need_real(s, "factor", &r->factor, e);
    }
    if (strcmp(type, "llama3"))
        return err_set(e, "rope scaling '%s' is not supported; supported: linear, llama3", type);
    r->kind = ROPE_LLAMA3;
    if (json_need_real(s, "factor", &r->factor, e) ||
        json_need_real(s, "low_freq_factor", &r->low_freq, e) ||
        json_need_real(s, "high_freq_factor", &r->high_freq, e) ||
        json_need_int(s, "original_max_position_embeddings", 1, MAX_DIM, &original, e))
        return -1;
    r->original_positions = (int)original;
    return 0;
}

void config_derive(struct model_config *c)
{
    if (!c->kv_heads)
        c->kv_heads = c->heads;
    if (!c->head_dim)
        c->head_dim = c->width / c->heads;
    if (!c->attn_scale)
        c->attn_scale = 1.0f / sqrtf((float)c->head_dim);
    if (!c->window_step)
        c->window_step = 1;
    if (!c->rope.rot && !family_slot(c, W_POS))
        c->rope.rot = c->head_dim;
    if (!c->rope.magnitude)
        c->rope.magnitude = 1;
}

static int check_rope(const struct rope_config *r, int head_dim, struct err *e)
{
    if (r->rot < 0 || r->rot > head_dim || r->rot % 2)
        return err_set(e, "%d of a head's %d numbers cannot be rotated", r->rot, head_dim);
    if (!r->rot)
        return 0;
    if (!isfinite(r->base) || r->base <= 1)
        return err_set(e, "rope base is out of range");
    if ((r->kind == ROPE_LINEAR || r->kind == ROPE_LLAMA3) && !(r->factor >= 1))
        return err_set(e, "rope scaling factor must be at least 1");
    for (int i = 0; r->kind == ROPE_LONG && i < r->rot / 2; i++)
        if (!(r->short_factor[i] > 0) || !(r->long_factor[i] > 0))
            return err_set(e, "longrope scaling wants %d positive factors", r->rot / 2);
    return 0;
}

/* Every weight that holds q, k and v head by head takes them to be as many. */
static bool wants_equal_heads(const struct family *f)
{
    const struct slot_name *s = f->names;
    while (s->hf && s->hf_layout != LAYOUT_HEAD_QKV)
        s++;
    return s->hf;
}

int config_check(const struct model_config *c, struct err *e)
{
    if (c->heads % c->kv_heads || (c->heads != c->kv_heads && wants_equal_heads(c->family)))
        return err_set(e, "%d attention heads do not go with %d key-value heads", c->heads,
                       c->kv_heads);
    if (c->head_dim < 1 || c->head_dim > OPS_MAX_HEAD)
        return err_set(e, "head dimension %d is not in 1 to %d", c->head_dim, OPS_MAX_HEAD);
    if (!(c->norm_eps > 0) || !isfinite(c->attn_scale) || c->window < 0 || c->window_step < 1 ||
        !(c->attn_softcap >= 0) || !(c->logit_softcap >= 0))
        return err_set(e, "norm epsilon, attention scale, window or soft cap is out of range");
    return check_rope(&c->rope, c->head_dim, e);
}

int config_from_json(struct model_config *c, const json_t *config, const json_t *generation,
                     struct err *e)
{
    const struct family *f;
    const json_t *arch = json_array_get(json_object_get(config, "architectures"), 0);
    if (!json_is_string(arch))
        return err_set(e, "config.json names no architecture");
    if (!(f = family_by_architecture(json_string_value(arch), e)))
        return -1;
    *c = f->preset;
    c->family = f;
    const char *act = "silu";
    double eps = c->norm_eps;
    if (read_dim(config, "num_hidden_layers", -1, &c->layers, e) ||
        read_dim(config, "hidden_size", -1, &c->width, e) ||
        read_dim(config, "num_attention_heads", -1, &c->heads, e) ||
        read_dim(config, "num_key_value_heads", c->heads, &c->kv_heads, e) ||
        read_dim(config, "head_dim", c->width / c->heads, &c->head_dim, e) ||
        read_dim(config, "intermediate_size", -1, &c->ff, e) ||
        read_dim(config, "vocab_size", -1, &c->vocab, e) ||
        read_dim(config, "max_position_embeddings", 2048, &c->positions, e) ||
        json_opt_real(config, "rms_norm_eps", &eps, e) ||
        json_opt_str(config, "hidden_act", &act, e) ||
        json_opt_bool(config, "tie_word_embeddings", &c->tied_head, e) ||
        read_rope(&c->rope, config, c->positions, e))
        return err_prefix(e, "config.json: ");
    if (strcmp(act, "silu"))
        return err_set(e, "config.json: activation '%s' is not supported in this family", act);
    c->norm_eps = (float)eps;
    int64_t bos = -1, pad = -1;
    if (json_opt_int(config, "bos_token_id", -1, INT32_MAX, &bos, e) ||
        json_opt_int(config, "pad_token_id", -1, INT32_MAX, &pad, e))
        return err_prefix(e, "config.json: ");
    c->bos = (int)bos;
    c->pad = (int)pad;
    if (!read_eos(c, json_object_get(generation, "eos_token_id")))
        read_eos(c, json_object_get(config, "eos_token_id"));
    config_derive(c);
    return config_check(c, e);
}

static json_t *rope_to_json(const struct rope_config *r)
{
    switch (r->kind) {
    case ROPE_PLAIN:
    case ROPE_LONG:
        break;
    case ROPE_LINEAR:
        return json_pack("{s:s, s:f}", "rope_type", "linear", "factor", r->factor);
    case ROPE_LLAMA3:
        return json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor", r->factor,
                         "low_freq_factor", r->low_freq, "high_freq_factor", r->high_freq,
                         "original_max_position_embeddings", r->original_positions);
    }
    return json_null();
}

static json_t *id_json(int id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *eos_json(const struct model_config *c)
{
    if (c->n_eos <= 1)
        return id_json(c->n_eos ? c->eos[0] : -1);
    json_t *list = json_array();
    for (int i = 0; i < c->n_eos; i++)
        json_array_append_new(list, json_integer(c->eos[i]));
    return list;
}

json_t *config_to_json(const struct model_config *c, const char *torch_dtype)
{
    /* The double nearest to what a user would write for this float: 1e-05, not 9.99999974e-06. */
    char eps[32];
    snprintf(eps, sizeof eps, "%.7g", (double)c->norm_eps);
    return json_pack(
        "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:b, s:f, s:o, s:o, s:o, "
        "s:o, s:b, s:b, s:f, s:s, s:b}",
        "architectures", c->family->architecture, "model_type", c->family->name,
        "num_hidden_layers", c->layers, "hidden_size", c->width, "num_attention_heads", c->heads,
        "num_key_value_heads", c->kv_heads, "head_dim", c->head_dim, "intermediate_size", c->ff,
        "vocab_size", c->vocab, "max_position_embeddings", c->positions, "rms_norm_eps",
        strtod(eps, NULL), "hidden_act", "silu", "tie_word_embeddings", (int)c->tied_head,
        "rope_theta", c->rope.base, "rope_scaling", rope_to_json(&c->rope), "bos_token_id",
        id_json(c->bos), "eos_token_id", eos_json(c), "pad_token_id", id_json(c->pad),
        "attention_bias", 0, "mlp_bias", 0, "attention_dropout", 0.0, "torch_dtype", torch_dtype,
        "use_cache", 1);
}

json_t *config_generation_json(const struct model_config *c)
{
    return json_pack("{s:b, s:o, s:o, s:o}", "_from_model_config", 1, "bos_token_id",
                     id_json(c->bos), "eos_token_id", eos_json(c), "pad_token_id", id_json(c->pad));
}
