/* The lists of keys that the families' config.json files have. */
#include "model/config_keys.h"

#define AT(f) .at = offsetof(struct model_config, f)
#define DIM(name, f)                                                                               \
    {                                                                                              \
        name, &kind_dim, AT(f)                                                                     \
    }
#define OPT_DIM(name, f)                                                                           \
    {                                                                                              \
        name, &kind_opt_dim, AT(f)                                                                 \
    }
#define BOOL(name, f)                                                                              \
    {                                                                                              \
        name, &kind_bool, AT(f)                                                                    \
    }
#define REAL(name, f)                                                                              \
    {                                                                                              \
        name, &kind_real, AT(f)                                                                    \
    }
#define FLOAT(name, f)                                                                             \
    {                                                                                              \
        name, &kind_float, AT(f)                                                                   \
    }
#define TIMES(name, f)                                                                             \
    {                                                                                              \
        name, &kind_multiplier, AT(f), .preset = 1                                                 \
    }
#define CAP(name, f)                                                                               \
    {                                                                                              \
        name, &kind_cap, AT(f)                                                                     \
    }
#define ACT(name)                                                                                  \
    {                                                                                              \
        name, &kind_act, AT(act)                                                                   \
    }
#define WINDOW(name)                                                                               \
    {                                                                                              \
        name, &kind_window, AT(window)                                                             \
    }
#define ROTARY(name, part)                                                                         \
    {                                                                                              \
        name, &kind_rotary, .preset = part                                                         \
    }
#define FIXED(name, v)                                                                             \
    {                                                                                              \
        name, &kind_fixed, .preset = v                                                             \
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
        "attention_bias", &kind_attn_bias, AT(qkv_bias)                                            \
    }
/* preset: of two names of the type, 'type' counts before 'rope_type'. */
#define SCALING(type_first)                                                                        \
    {                                                                                              \
        "rope_scaling", &kind_rope_scaling, .preset = type_first                                   \
    }
#define ROPE       REAL("rope_theta", rope.base), SCALING(1)
#define ROPE_NEWER REAL("rope_theta", rope.base), SCALING(0)
#define LAYER_TYPES                                                                                \
    {                                                                                              \
        "layer_types", &kind_layer_types, .at = 0                                                  \
    }
#define QWEN_WINDOW                                                                                \
    {"use_sliding_window", &kind_use_window, .at = 0},                                             \
        {"sliding_window", &kind_window_again, AT(window)},                                        \
    {                                                                                              \
        "max_window_layers", &kind_window_layers, .at = 0                                          \
    }

/* hidden_act of the first checkpoints says gelu and means its approximation: nobody reads it. */
#define GEMMA_ACT                                                                                  \
    ACT("hidden_activation"),                                                                      \
    {                                                                                              \
        "hidden_act", &kind_act_again, .at = 0                                                     \
    }

const struct config_key llama_keys[] = {
    SHAPE,    FF,        KV_HEADS,
    HEAD_DIM, RMS_EPS,   ACT("hidden_act"),
    ROPE,     ATTN_BIAS, BOOL("mlp_bias", mlp_bias),
    END,
};

const struct config_key mistral_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, ACT("hidden_act"), ROPE_NEWER, WINDOW("sliding_window"),
    END,
};

const struct config_key qwen2_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, ACT("hidden_act"), ROPE, QWEN_WINDOW, END,
};

const struct config_key qwen3_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, ACT("hidden_act"), ROPE, ATTN_BIAS, QWEN_WINDOW, END,
};

const struct config_key phi3_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
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
    HEAD_DIM,
    LAYER_EPS,
    ACT("hidden_act"),
    ROTARY("partial_rotary_factor", 0.5),
    ROPE,
    FIXED("qk_layernorm", 0),
    END,
};

const struct config_key gemma_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, GEMMA_ACT, ROPE_NEWER, ATTN_BIAS, END,
};

const struct config_key gemma2_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    GEMMA_ACT,
    ROPE_NEWER,
    ATTN_BIAS,
    WINDOW("sliding_window"),
    CAP("attn_logit_softcapping", attn_softcap),
    CAP("final_logit_softcapping", logit_softcap),
    {"query_pre_attn_scalar", &kind_query_scalar, .preset = 256},
    END,
};

/* The text part of an image model's config.json leaves out what is as in the preset. A pattern
 * stands for the list in files of the first version. */
const struct config_key gemma3_keys[] = {
    DIM("num_hidden_layers", layers),
    DIM("hidden_size", width),
    OPT_DIM("num_attention_heads", heads),
    OPT_DIM("vocab_size", vocab),
    OPT_DIM("max_position_embeddings", positions),
    BOOL("tie_word_embeddings", tied_head),
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    GEMMA_ACT,
    ROPE_NEWER,
    REAL("rope_local_base_freq", rope.local_base),
    ATTN_BIAS,
    WINDOW("sliding_window"),
    OPT_DIM("sliding_window_pattern", full_every),
    LAYER_TYPES,
    CAP("attn_logit_softcapping", attn_softcap),
    CAP("final_logit_softcapping", logit_softcap),
    {"query_pre_attn_scalar", &kind_query_scalar, .preset = 256},
    FIXED("use_bidirectional_attention", 0),
    END,
};

const struct config_key olmo2_keys[] = {
    SHAPE, FF, KV_HEADS, HEAD_DIM, RMS_EPS, ACT("hidden_act"), ROPE, ATTN_BIAS, END,
};

const struct config_key olmo3_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    ACT("hidden_act"),
    REAL("rope_theta", rope.base),
    {"rope_scaling", &kind_full_scaling, .at = 0},
    ATTN_BIAS,
    WINDOW("sliding_window"),
    LAYER_TYPES,
    END,
};

const struct config_key smollm3_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    ACT("hidden_act"),
    ROPE,
    ATTN_BIAS,
    BOOL("mlp_bias", mlp_bias),
    {"no_rope_layers", &kind_no_rope, .at = 0},
    {"no_rope_layer_interval", &kind_no_rope_again, AT(no_rope_every)},
    {"sliding_window", &kind_window_again, AT(window)},
    LAYER_TYPES,
    {"use_sliding_window", &kind_nope_window, AT(window)},
    END,
};

const struct config_key granite_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    ACT("hidden_act"),
    ROPE_NEWER,
    ATTN_BIAS,
    BOOL("mlp_bias", mlp_bias),
    TIMES("embedding_multiplier", embed_scale),
    TIMES("residual_multiplier", residual_scale),
    TIMES("attention_multiplier", attn_scale),
    TIMES("logits_scaling", logit_divisor),
    END,
};

const struct config_key mixtral_keys[] = {
    SHAPE,
    FF,
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    ACT("hidden_act"),
    ROPE_NEWER,
    WINDOW("sliding_window"),
    OPT_DIM("num_local_experts", experts),
    OPT_DIM("num_experts_per_tok", experts_used),
    END,
};

const struct config_key qwen3_moe_keys[] = {
    SHAPE,
    OPT_DIM("intermediate_size", dense_ff),
    OPT_DIM("moe_intermediate_size", ff),
    KV_HEADS,
    HEAD_DIM,
    RMS_EPS,
    ACT("hidden_act"),
    ROPE,
    ATTN_BIAS,
    FIXED("use_sliding_window", 0),
    OPT_DIM("num_experts", experts),
    OPT_DIM("num_experts_per_tok", experts_used),
    BOOL("norm_topk_prob", experts_norm),
    {"decoder_sparse_step", &kind_one, .at = 0},
    {"mlp_only_layers", &kind_empty, .at = 0},
    END,
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
    {"word_embed_proj_dim", &kind_embed_width, AT(width)},
    ACT("activation_function"),
    {"enable_bias", &kind_all_biases, AT(qkv_bias)},
    FIXED("do_layer_norm_before", 1),
    FIXED("layer_norm_elementwise_affine", 1),
    FIXED("_remove_final_layer_norm", 0),
    END,
};
