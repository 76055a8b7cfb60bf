#include "model/config_keys.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

enum { MAX_DIM = 1 << 24 };

/* --- kinds of keys --- */

static void *field(struct model_config *c, const struct config_key *k)
{
    return (char *)c + k->at;
}

static const void *field_of(const struct model_config *c, const struct config_key *k)
{
    return (const char *)c + k->at;
}

static int read_dim(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    int64_t v;
    if (json_need_int(config, k->name, 1, MAX_DIM, &v, e))
        return -1;
    *(int *)field(c, k) = (int)v;
    return 0;
}

/* A missing one stays as the preset or config_derive has it. */
static int read_opt_dim(struct model_config *c, const json_t *config, const struct config_key *k,
                        struct err *e)
{
    int64_t v = *(int *)field(c, k);
    if (json_opt_int(config, k->name, 1, MAX_DIM, &v, e))
        return -1;
    *(int *)field(c, k) = (int)v;
    return 0;
}

static json_t *write_int(const struct model_config *c, const struct config_key *k)
{
    return json_integer(*(const int *)field_of(c, k));
}

static int read_bool(struct model_config *c, const json_t *config, const struct config_key *k,
                     struct err *e)
{
    return json_opt_bool(config, k->name, field(c, k), e);
}

static json_t *write_bool(const struct model_config *c, const struct config_key *k)
{
    return json_boolean(*(const bool *)field_of(c, k));
}

static int read_real(struct model_config *c, const json_t *config, const struct config_key *k,
                     struct err *e)
{
    return json_opt_real(config, k->name, field(c, k), e);
}

static json_t *write_real(const struct model_config *c, const struct config_key *k)
{
    return json_real(*(const double *)field_of(c, k));
}

static int read_float(struct model_config *c, const json_t *config, const struct config_key *k,
                      struct err *e)
{
    double v = (double)*(float *)field(c, k);
    if (json_opt_real(config, k->name, &v, e))
        return -1;
    *(float *)field(c, k) = (float)v;
    return 0;
}

static json_t *write_float(const struct model_config *c, const struct config_key *k)
{
    return json_real(config_short_real((double)*(const float *)field_of(c, k)));
}

/* Caps and windows: null is none, and another thing than a missing key. */
static int read_cap(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    if (json_is_null(json_object_get(config, k->name)))
        *(float *)field(c, k) = 0;
    return read_float(c, config, k, e);
}

static json_t *write_cap(const struct model_config *c, const struct config_key *k)
{
    return *(const float *)field_of(c, k) > 0 ? write_float(c, k) : json_null();
}

static int read_window(struct model_config *c, const json_t *config, const struct config_key *k,
                       struct err *e)
{
    if (json_is_null(json_object_get(config, k->name)))
        c->window = 0;
    return read_opt_dim(c, config, k, e);
}

static json_t *write_window(const struct model_config *c, const struct config_key *k)
{
    return c->window ? write_int(c, k) : json_null();
}

/* Qwen's window holds only if this says so, and from layer max_window_layers on. */
static int read_use_window(struct model_config *c, const json_t *config, const struct config_key *k,
                           struct err *e)
{
    bool use = false;
    int64_t window = 4096, first = 28;
    if (json_opt_bool(config, k->name, &use, e) ||
        json_opt_int(config, "sliding_window", 1, MAX_DIM, &window, e) ||
        json_opt_int(config, "max_window_layers", 0, MAX_DIM, &first, e))
        return -1;
    c->window = use ? (int)window : 0;
    c->window_first = use ? (int)first : 0;
    return 0;
}

static json_t *write_use_window(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_boolean(c->window > 0);
}

static json_t *write_window_layers(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_integer(c->window ? c->window_first : c->layers);
}

/* Names of activations; gelu_fast is GPT-NeoX-20B's. The first of a kind is written. */
static const struct {
    const char *name;
    enum act_kind act;
} acts[] = {
    {"silu", ACT_SILU},          {"swish", ACT_SILU},          {"gelu_pytorch_tanh", ACT_GELU_TANH},
    {"gelu_new", ACT_GELU_TANH}, {"gelu_fast", ACT_GELU_TANH}, {"gelu", ACT_GELU_ERF},
    {"relu", ACT_RELU},
};
enum { N_ACTS = sizeof acts / sizeof acts[0] };

static int read_act(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    const char *name = NULL;
    if (json_opt_str(config, k->name, &name, e))
        return -1;
    for (int i = 0; name && i < N_ACTS; i++)
        if (!strcmp(name, acts[i].name)) {
            c->act = acts[i].act;
            return 0;
        }
    return name ? err_set(e,
                          "activation '%s' is not supported; supported: silu, gelu, gelu_new, "
                          "gelu_pytorch_tanh, relu",
                          name)
                : 0;
}

static json_t *write_act(const struct model_config *c, const struct config_key *k)
{
    int i = 0;
    (void)k;
    while (acts[i].act != c->act)
        i++;
    return json_string(acts[i].name);
}

/* The biases of attention's four projections. */
static int read_attn_bias(struct model_config *c, const json_t *config, const struct config_key *k,
                          struct err *e)
{
    if (json_opt_bool(config, k->name, &c->qkv_bias, e))
        return -1;
    c->out_bias = c->qkv_bias;
    return 0;
}

static int read_all_biases(struct model_config *c, const json_t *config, const struct config_key *k,
                           struct err *e)
{
    if (read_attn_bias(c, config, k, e))
        return -1;
    c->mlp_bias = c->qkv_bias;
    return 0;
}

static int read_query_scalar(struct model_config *c, const json_t *config,
                             const struct config_key *k, struct err *e)
{
    double v = k->preset;
    if (json_opt_real(config, k->name, &v, e))
        return -1;
    if (!(v > 0))
        return err_set(e, "'%s' must be positive", k->name);
    c->attn_scale = (float)(1 / sqrt(v));
    return 0;
}

static json_t *write_query_scalar(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    double v = config_short_real(1 / ((double)c->attn_scale * (double)c->attn_scale));
    return v == floor(v) ? json_integer((json_int_t)v) : json_real(v); /* transformers 5 minds */
}

/* The part of a head that rotates; rows before it in a list have read the shape. */
static int read_rotary(struct model_config *c, const json_t *config, const struct config_key *k,
                       struct err *e)
{
    double part = c->rope.rot ? -1 : k->preset;
    if (json_opt_real(config, k->name, &part, e))
        return -1;
    if (part == -1) /* another key has said it */
        return 0;
    if (!(part > 0) || part > 1)
        return err_set(e, "'%s' must be above 0 and at most 1", k->name);
    int d = c->head_dim ? c->head_dim : c->width / c->heads;
    c->rope.rot = (int)(d * part);
    return c->rope.rot ? 0 : err_set(e, "'%s' leaves nothing of a head to rotate", k->name);
}

static json_t *write_rotary(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_real(c->rope.rot / (double)c->head_dim);
}

/* Variants that are not supported: the key must be what `preset` says, 1 true or 0 false. */
static int read_fixed(struct model_config *c, const json_t *config, const struct config_key *k,
                      struct err *e)
{
    bool v = k->preset != 0;
    (void)c;
    if (json_opt_bool(config, k->name, &v, e))
        return -1;
    return v == (k->preset != 0)
               ? 0
               : err_set(e, "'%s' %s is not supported", k->name, v ? "true" : "false");
}

static json_t *write_fixed(const struct model_config *c, const struct config_key *k)
{
    (void)c;
    return json_boolean(k->preset != 0);
}

/* OPT's embedding may be narrower than the decoder, with a projection between. */
static int read_embed_width(struct model_config *c, const json_t *config,
                            const struct config_key *k, struct err *e)
{
    int64_t v = c->width;
    if (json_opt_int(config, k->name, 1, MAX_DIM, &v, e))
        return -1;
    return v == c->width ? 0
                         : err_set(e, "'%s' other than 'hidden_size' is not supported", k->name);
}

double config_short_real(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", v);
    return strtod(text, NULL);
}

/* --- the families' lists --- */

#define AT(f) .at = offsetof(struct model_config, f)
#define DIM(name, f)                                                                               \
    {                                                                                              \
        name, read_dim, write_int, AT(f)                                                           \
    }
#define OPT_DIM(name, f)                                                                           \
    {                                                                                              \
        name, read_opt_dim, write_int, AT(f)                                                       \
    }
#define BOOL(name, f)                                                                              \
    {                                                                                              \
        name, read_bool, write_bool, AT(f)                                                         \
    }
#define REAL(name, f)                                                                              \
    {                                                                                              \
        name, read_real, write_real, AT(f)                                                         \
    }
#define FLOAT(name, f)                                                                             \
    {                                                                                              \
        name, read_float, write_float, AT(f)                                                       \
    }
#define CAP(name, f)                                                                               \
    {                                                                                              \
        name, read_cap, write_cap, AT(f)                                                           \
    }
#define ACT(name)                                                                                  \
    {                                                                                              \
        name, read_act, write_act, AT(act)                                                         \
    }
#define WINDOW(name)                                                                               \
    {                                                                                              \
        name, read_window, write_window, AT(window)                                                \
    }
#define ROTARY(name, part)                                                                         \
    {                                                                                              \
        name, read_rotary, write_rotary, .preset = part                                            \
    }
#define FIXED(name, v)                                                                             \
    {                                                                                              \
        name, read_fixed, write_fixed, .preset = v                                                 \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

#define SHAPE                                                                                      \
    DIM("num_hidden_layers", layers), DIM("hidden_size", width),                                   \
        DIM("num_attention_heads", heads), DIM("vocab_size", vocab),                               \
        OPT_DIM("max_position_embeddings", positions), BOOL("tie_word_embeddings", tied_head)
#define FF        DIM("intermediate_size", ff)
#define KV_HEADS  OPT_DIM("num_key_value_heads", kv_heads)
#define HEAD_DIM  OPT_DIM("head_dim", head_dim)
#define RMS_EPS   FLOAT("rms_norm_eps", norm_eps)
#define LAYER_EPS FLOAT("layer_norm_eps", norm_eps)
#define ATTN_BIAS                                                                                  \
    {                                                                                              \
        "attention_bias", read_attn_bias, write_bool, AT(qkv_bias)                                 \
    }
#define SCALING                                                                                    \
    {                                                                                              \
        "rope_scaling", config_read_rope_scaling, config_write_rope_scaling, .at = 0               \
    }
#define ROPE REAL("rope_theta", rope.base), SCALING
#define QWEN_WINDOW                                                                                \
    {"use_sliding_window", read_use_window, write_use_window, .at = 0},                            \
        {"sliding_window", NULL, write_window, AT(window)},                                        \
    {                                                                                              \
        "max_window_layers", NULL, write_window_layers, .at = 0                                    \
    }

/* hidden_act of the first checkpoints says gelu and means its approximation: nobody reads it. */
#define GEMMA_ACT                                                                                  \
    ACT("hidden_activation"),                                                                      \
    {                                                                                              \
        "hidden_act", NULL, write_act, .at = 0                                                     \
    }

const struct config_key llama_keys[] = {
    SHAPE,    FF,        KV_HEADS,
    HEAD_DIM, RMS_EPS,   ACT("hidden_act"),
    ROPE,     ATTN_BIAS, BOOL("mlp_bias", mlp_bias),
    END,
};

const struct config_key mistral_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, ACT("hidden_act"), ROPE, WINDOW("sliding_window"), END,
};

const struct config_key qwen2_keys[] = {
    SHAPE, FF, KV_HEADS, RMS_EPS, ACT("hidden_act"), ROPE, QWEN_WINDOW, END,
};

const struct config_key qwen3_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, ACT("hidden_act"), ROPE, ATTN_BIAS, QWEN_WINDOW, END,
};

const struct config_key phi3_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    RMS_EPS,
    ACT("hidden_act"),
    ROTARY("partial_rotary_factor", 1),
    OPT_DIM("original_max_position_embeddings", rope.original_positions),
    ROPE,
    WINDOW("sliding_window"),
    END,
};

const struct config_key phi_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    LAYER_EPS,
    ACT("hidden_act"),
    ROTARY("partial_rotary_factor", 0.5),
    ROPE,
    FIXED("qk_layernorm", 0),
    END,
};

const struct config_key gemma_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, GEMMA_ACT, ROPE, ATTN_BIAS, END,
};

const struct config_key gemma2_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    GEMMA_ACT,
    ROPE,
    ATTN_BIAS,
    WINDOW("sliding_window"),
    CAP("attn_logit_softcapping", attn_softcap),
    CAP("final_logit_softcapping", logit_softcap),
    {"query_pre_attn_scalar", read_query_scalar, write_query_scalar, .preset = 256},
    END,
};

const struct config_key olmo2_keys[] = {
    SHAPE, FF, KV_HEADS, RMS_EPS, ACT("hidden_act"), ROPE, ATTN_BIAS, END,
};

/* Newer checkpoints have both names of the rope's keys, older ones the first. */
const struct config_key gpt_neox_keys[] = {
    SHAPE,
    FF,
    LAYER_EPS,
    ACT("hidden_act"),
    ROTARY("rotary_pct", 0.25),
    ROTARY("partial_rotary_factor", 0),
    REAL("rotary_emb_base", rope.base),
    ROPE,
    ATTN_BIAS,
    BOOL("use_parallel_residual", parallel),
    END,
};

const struct config_key gpt2_keys[] = {
    DIM("n_layer", layers),
    DIM("n_embd", width),
    DIM("n_head", heads),
    OPT_DIM("n_inner", ff),
    DIM("vocab_size", vocab),
    OPT_DIM("n_positions", positions),
    BOOL("tie_word_embeddings", tied_head),
    FLOAT("layer_norm_epsilon", norm_eps),
    ACT("activation_function"),
    FIXED("scale_attn_weights", 1),
    FIXED("scale_attn_by_inverse_layer_idx", 0),
    FIXED("add_cross_attention", 0),
    END,
};

const struct config_key opt_keys[] = {
    SHAPE,
    DIM("ffn_dim", ff),
    {"word_embed_proj_dim", read_embed_width, write_int, AT(width)},
    ACT("activation_function"),
    {"enable_bias", read_all_biases, write_bool, AT(qkv_bias)},
    FIXED("do_layer_norm_before", 1),
    FIXED("layer_norm_elementwise_affine", 1),
    FIXED("_remove_final_layer_norm", 0),
    END,
};
