/* The rows of the table of families: names, shapes and layouts of tensors. Rows that several
 * families share are macros. */
#include "model/config_keys.h"
#include "model/family.h"

#define LAYER "model.layers.%d."
#define BLOCK "blk.%d."

#define MATRIX(out, in) .rows = out, .cols = in
#define VECTOR(n)       .rows = n
#define END                                                                                        \
    {                                                                                              \
        .hf = NULL                                                                                 \
    }

/* A weight and its bias. */
#define LINEAR(slot, hf, gguf, out, in, ...)                                                       \
    {slot, hf ".weight", gguf ".weight", MATRIX(out, in)},                                         \
    {                                                                                              \
        slot##_B, hf ".bias", gguf ".bias", VECTOR(out), __VA_ARGS__                               \
    }
#define LAYER_NORM(slot, hf, gguf)                                                                 \
    {slot, hf ".weight", gguf ".weight", VECTOR(DIM_C)},                                           \
    {                                                                                              \
        slot##_B, hf ".bias", gguf ".bias", VECTOR(DIM_C)                                          \
    }
/* y: of the GGUF. */
#define RMS_NORM(slot, hf, gguf, y)                                                                \
    {                                                                                              \
        slot, hf ".weight", gguf ".weight", VECTOR(DIM_C), .gguf_layout = y                        \
    }

#define EMBED                                                                                      \
    {                                                                                              \
        W_EMBED, "model.embed_tokens.weight", "token_embd.weight", MATRIX(DIM_V, DIM_C)            \
    }
#define HEAD                                                                                       \
    {                                                                                              \
        W_HEAD, "lm_head.weight", "output.weight", MATRIX(DIM_V, DIM_C), .when = IF_UNTIED         \
    }

/* Llama's linear layers; qk is the layout of q and k in GGUF files. */
#define QKVO(qk)                                                                                   \
    {W_Q, LAYER "self_attn.q_proj.weight", BLOCK "attn_q.weight", MATRIX(DIM_Q, DIM_C),            \
     .gguf_layout = qk},                                                                           \
        {W_Q_B,                                                                                    \
         LAYER "self_attn.q_proj.bias",                                                            \
         BLOCK "attn_q.bias",                                                                      \
         VECTOR(DIM_Q),                                                                            \
         .gguf_layout = qk,                                                                        \
         .when = IF_QKV_BIAS},                                                                     \
        {W_K, LAYER "self_attn.k_proj.weight", BLOCK "attn_k.weight", MATRIX(DIM_KV, DIM_C),       \
         .gguf_layout = qk},                                                                       \
        {W_K_B,                                                                                    \
         LAYER "self_attn.k_proj.bias",                                                            \
         BLOCK "attn_k.bias",                                                                      \
         VECTOR(DIM_KV),                                                                           \
         .gguf_layout = qk,                                                                        \
         .when = IF_QKV_BIAS},                                                                     \
        LINEAR(W_V, LAYER "self_attn.v_proj", BLOCK "attn_v", DIM_KV, DIM_C, .when = IF_QKV_BIAS), \
        LINEAR(W_O, LAYER "self_attn.o_proj", BLOCK "attn_output", DIM_C, DIM_Q,                   \
               .when = IF_OUT_BIAS)
#define GATED_MLP                                                                                  \
    LINEAR(W_GATE, LAYER "mlp.gate_proj", BLOCK "ffn_gate", DIM_F, DIM_C, .when = IF_MLP_BIAS),    \
        LINEAR(W_UP, LAYER "mlp.up_proj", BLOCK "ffn_up", DIM_F, DIM_C, .when = IF_MLP_BIAS),      \
        LINEAR(W_DOWN, LAYER "mlp.down_proj", BLOCK "ffn_down", DIM_C, DIM_F, .when = IF_MLP_BIAS)
/* Llama's norms; y is their layout in GGUF files. */
#define PRE_NORMS(y)                                                                               \
    RMS_NORM(W_NORM_ATTN, LAYER "input_layernorm", BLOCK "attn_norm", y),                          \
        RMS_NORM(W_NORM_MLP, LAYER "post_attention_layernorm", BLOCK "ffn_norm", y)
/* Of branches, before they are added; y as above. */
#define POST_NORMS(y)                                                                              \
    RMS_NORM(W_NORM_ATTN_POST, LAYER "post_attention_layernorm", BLOCK "post_attention_norm", y),  \
        RMS_NORM(W_NORM_MLP_POST, LAYER "post_feedforward_layernorm", BLOCK "post_ffw_norm", y)
/* Norms before branches and after them. */
#define SANDWICH_NORMS(y)                                                                          \
    RMS_NORM(W_NORM_ATTN, LAYER "input_layernorm", BLOCK "attn_norm", y),                          \
        RMS_NORM(W_NORM_MLP, LAYER "pre_feedforward_layernorm", BLOCK "ffn_norm", y),              \
        POST_NORMS(y)
/* Of q and k: rows of so many numbers. */
#define HEAD_NORMS(q, k, y)                                                                        \
    {W_NORM_Q, LAYER "self_attn.q_norm.weight", BLOCK "attn_q_norm.weight", VECTOR(q),             \
     .gguf_layout = y},                                                                            \
    {                                                                                              \
        W_NORM_K, LAYER "self_attn.k_norm.weight", BLOCK "attn_k_norm.weight", VECTOR(k),          \
            .gguf_layout = y                                                                       \
    }
/* Experts: one file names them by number, GGUF's tensors hold all of a layer, which gguf.h splits.
 */
#define EXPERTS(router, hf, gate, up, down)                                                        \
    {W_ROUTER, LAYER router ".weight", BLOCK "ffn_gate_inp.weight", MATRIX(DIM_E, DIM_C)},         \
        {W_EXPERT_GATE, LAYER hf ".%d." gate ".weight", BLOCK "ffn_gate_exps.weight.%d",           \
         MATRIX(DIM_F, DIM_C)},                                                                    \
        {W_EXPERT_UP, LAYER hf ".%d." up ".weight", BLOCK "ffn_up_exps.weight.%d",                 \
         MATRIX(DIM_F, DIM_C)},                                                                    \
    {                                                                                              \
        W_EXPERT_DOWN, LAYER hf ".%d." down ".weight", BLOCK "ffn_down_exps.weight.%d",            \
            MATRIX(DIM_C, DIM_F)                                                                   \
    }
#define OUT_NORM(y) RMS_NORM(W_NORM_OUT, "model.norm", "output_norm", y)

static const struct slot_name llama_names[] = {
    EMBED,
    QKVO(LAYOUT_ROPE_PAIRS),
    GATED_MLP,
    PRE_NORMS(LAYOUT_PLAIN),
    OUT_NORM(LAYOUT_PLAIN),
    HEAD,
    END,
};

static const struct slot_name qwen2_names[] = {
    EMBED, QKVO(LAYOUT_PLAIN), GATED_MLP, PRE_NORMS(LAYOUT_PLAIN), OUT_NORM(LAYOUT_PLAIN), HEAD,
    END,
};

static const struct slot_name qwen3_names[] = {
    EMBED,
    QKVO(LAYOUT_PLAIN),
    HEAD_NORMS(DIM_D, DIM_D, LAYOUT_PLAIN),
    GATED_MLP,
    PRE_NORMS(LAYOUT_PLAIN),
    OUT_NORM(LAYOUT_PLAIN),
    HEAD,
    END,
};

static const struct slot_name olmo2_names[] = {
    EMBED,
    QKVO(LAYOUT_PLAIN),
    HEAD_NORMS(DIM_Q, DIM_KV, LAYOUT_PLAIN),
    GATED_MLP,
    POST_NORMS(LAYOUT_PLAIN),
    OUT_NORM(LAYOUT_PLAIN),
    HEAD,
    END,
};

static const struct slot_name gemma_names[] = {
    EMBED,
    QKVO(LAYOUT_PLAIN),
    GATED_MLP,
    PRE_NORMS(LAYOUT_PLUS_ONE),
    OUT_NORM(LAYOUT_PLUS_ONE),
    HEAD,
    END,
};

static const struct slot_name gemma2_names[] = {
    EMBED,
    QKVO(LAYOUT_PLAIN),
    GATED_MLP,
    SANDWICH_NORMS(LAYOUT_PLUS_ONE),
    OUT_NORM(LAYOUT_PLUS_ONE),
    HEAD,
    END,
};

static const struct slot_name gemma3_names[] = {
    EMBED,
    QKVO(LAYOUT_PLAIN),
    HEAD_NORMS(DIM_D, DIM_D, LAYOUT_PLUS_ONE),
    GATED_MLP,
    SANDWICH_NORMS(LAYOUT_PLUS_ONE),
    OUT_NORM(LAYOUT_PLUS_ONE),
    HEAD,
    END,
};

static const struct slot_name mixtral_names[] = {
    EMBED,
    QKVO(LAYOUT_ROPE_PAIRS),
    EXPERTS("block_sparse_moe.gate", "block_sparse_moe.experts", "w1", "w3", "w2"),
    PRE_NORMS(LAYOUT_PLAIN),
    OUT_NORM(LAYOUT_PLAIN),
    HEAD,
    END,
};

static const struct slot_name qwen3_moe_names[] = {
    EMBED,
    QKVO(LAYOUT_PLAIN),
    HEAD_NORMS(DIM_D, DIM_D, LAYOUT_PLAIN),
    EXPERTS("mlp.gate", "mlp.experts", "gate_proj", "up_proj", "down_proj"),
    PRE_NORMS(LAYOUT_PLAIN),
    OUT_NORM(LAYOUT_PLAIN),
    HEAD,
    END,
};

static const struct slot_name phi3_names[] = {
    EMBED,
    {W_QKV, LAYER "self_attn.qkv_proj.weight", BLOCK "attn_qkv.weight", MATRIX(DIM_QKV, DIM_C)},
    {W_O, LAYER "self_attn.o_proj.weight", BLOCK "attn_output.weight", MATRIX(DIM_C, DIM_Q)},
    {W_GATE_UP, LAYER "mlp.gate_up_proj.weight", BLOCK "ffn_up.weight", MATRIX(DIM_2F, DIM_C)},
    {W_DOWN, LAYER "mlp.down_proj.weight", BLOCK "ffn_down.weight", MATRIX(DIM_C, DIM_F)},
    PRE_NORMS(LAYOUT_PLAIN),
    OUT_NORM(LAYOUT_PLAIN),
    HEAD,
    END,
};

static const struct slot_name phi_names[] = {
    EMBED,
    LINEAR(W_Q, LAYER "self_attn.q_proj", BLOCK "attn_q", DIM_Q, DIM_C),
    LINEAR(W_K, LAYER "self_attn.k_proj", BLOCK "attn_k", DIM_KV, DIM_C),
    LINEAR(W_V, LAYER "self_attn.v_proj", BLOCK "attn_v", DIM_KV, DIM_C),
    LINEAR(W_O, LAYER "self_attn.dense", BLOCK "attn_output", DIM_C, DIM_Q),
    LINEAR(W_UP, LAYER "mlp.fc1", BLOCK "ffn_up", DIM_F, DIM_C),
    LINEAR(W_DOWN, LAYER "mlp.fc2", BLOCK "ffn_down", DIM_C, DIM_F),
    LAYER_NORM(W_NORM_ATTN, LAYER "input_layernorm", BLOCK "attn_norm"),
    LAYER_NORM(W_NORM_OUT, "model.final_layernorm", "output_norm"),
    HEAD,
    {W_HEAD_B, "lm_head.bias", "output.bias", VECTOR(DIM_V)},
    END,
};

#define NEOX "gpt_neox.layers.%d."

static const struct slot_name gpt_neox_names[] = {
    {W_EMBED, "gpt_neox.embed_in.weight", "token_embd.weight", MATRIX(DIM_V, DIM_C)},
    {W_QKV, NEOX "attention.query_key_value.weight", BLOCK "attn_qkv.weight",
     MATRIX(DIM_QKV, DIM_C), .hf_layout = LAYOUT_HEAD_QKV},
    {W_QKV_B, NEOX "attention.query_key_value.bias", BLOCK "attn_qkv.bias", VECTOR(DIM_QKV),
     .hf_layout = LAYOUT_HEAD_QKV, .when = IF_QKV_BIAS},
    LINEAR(W_O, NEOX "attention.dense", BLOCK "attn_output", DIM_C, DIM_Q, .when = IF_OUT_BIAS),
    LINEAR(W_UP, NEOX "mlp.dense_h_to_4h", BLOCK "ffn_up", DIM_F, DIM_C),
    LINEAR(W_DOWN, NEOX "mlp.dense_4h_to_h", BLOCK "ffn_down", DIM_C, DIM_F),
    LAYER_NORM(W_NORM_ATTN, NEOX "input_layernorm", BLOCK "attn_norm"),
    LAYER_NORM(W_NORM_MLP, NEOX "post_attention_layernorm", BLOCK "ffn_norm"),
    LAYER_NORM(W_NORM_OUT, "gpt_neox.final_layer_norm", "output_norm"),
    {W_HEAD, "embed_out.weight", "output.weight", MATRIX(DIM_V, DIM_C), .when = IF_UNTIED},
    END,
};

#define GPT2 "transformer.h.%d."
#define CONV1D(slot, hf, gguf, out, in)                                                            \
    {slot, GPT2 hf ".weight", BLOCK gguf ".weight", MATRIX(out, in),                               \
     .hf_layout = LAYOUT_TRANSPOSED},                                                              \
    {                                                                                              \
        slot##_B, GPT2 hf ".bias", BLOCK gguf ".bias", VECTOR(out)                                 \
    }

static const struct slot_name gpt2_names[] = {
    {W_EMBED, "transformer.wte.weight", "token_embd.weight", MATRIX(DIM_V, DIM_C)},
    {W_POS, "transformer.wpe.weight", "position_embd.weight", MATRIX(DIM_POS, DIM_C)},
    CONV1D(W_QKV, "attn.c_attn", "attn_qkv", DIM_QKV, DIM_C),
    CONV1D(W_O, "attn.c_proj", "attn_output", DIM_C, DIM_Q),
    CONV1D(W_UP, "mlp.c_fc", "ffn_up", DIM_F, DIM_C),
    CONV1D(W_DOWN, "mlp.c_proj", "ffn_down", DIM_C, DIM_F),
    LAYER_NORM(W_NORM_ATTN, GPT2 "ln_1", BLOCK "attn_norm"),
    LAYER_NORM(W_NORM_MLP, GPT2 "ln_2", BLOCK "ffn_norm"),
    LAYER_NORM(W_NORM_OUT, "transformer.ln_f", "output_norm"),
    HEAD,
    END,
};

#define OPT "model.decoder.layers.%d."

static const struct slot_name opt_names[] = {
    {W_EMBED, "model.decoder.embed_tokens.weight", "", MATRIX(DIM_V, DIM_C)},
    {W_POS, "model.decoder.embed_positions.weight", "", MATRIX(DIM_POS, DIM_C)},
    LINEAR(W_Q, OPT "self_attn.q_proj", "", DIM_Q, DIM_C, .when = IF_QKV_BIAS),
    LINEAR(W_K, OPT "self_attn.k_proj", "", DIM_KV, DIM_C, .when = IF_QKV_BIAS),
    LINEAR(W_V, OPT "self_attn.v_proj", "", DIM_KV, DIM_C, .when = IF_QKV_BIAS),
    LINEAR(W_O, OPT "self_attn.out_proj", "", DIM_C, DIM_Q, .when = IF_OUT_BIAS),
    LINEAR(W_UP, OPT "fc1", "", DIM_F, DIM_C, .when = IF_MLP_BIAS),
    LINEAR(W_DOWN, OPT "fc2", "", DIM_C, DIM_F, .when = IF_MLP_BIAS),
    LAYER_NORM(W_NORM_ATTN, OPT "self_attn_layer_norm", ""),
    LAYER_NORM(W_NORM_MLP, OPT "final_layer_norm", ""),
    LAYER_NORM(W_NORM_OUT, "model.decoder.final_layer_norm", ""),
    HEAD,
    END,
};

/* Mistral's GGUF files are llama's, and read as such. GGUF has no opt. */
const struct family families[] = {
    {"llama", "LlamaForCausalLM", NULL, "llama", llama_names, llama_keys,
     .preset = {.norm_eps = 1e-6f}, .norm_registered = true},
    {"mistral", "MistralForCausalLM", NULL, "llama", llama_names, mistral_keys,
     .preset = {.window = 4096, .norm_eps = 1e-6f}},
    {"qwen2", "Qwen2ForCausalLM", NULL, "qwen2", qwen2_names, qwen2_keys,
     .preset = {.norm_eps = 1e-6f, .qkv_bias = true}},
    {"qwen3", "Qwen3ForCausalLM", NULL, "qwen3", qwen3_names, qwen3_keys,
     .preset = {.head_dim = 128, .norm_eps = 1e-6f}},
    {"phi3", "Phi3ForCausalLM", NULL, "phi3", phi3_names, phi3_keys, .preset = {.norm_eps = 1e-5f}},
    {"phi", "PhiForCausalLM", NULL, "phi2", phi_names, phi_keys,
     .preset = {.norm = NORM_LAYER, .norm_eps = 1e-5f, .act = ACT_GELU_TANH, .parallel = true}},
    {"gemma", "GemmaForCausalLM", NULL, "gemma", gemma_names, gemma_keys,
     .preset = {.head_dim = 256,
                .norm_eps = 1e-6f,
                .norm_offset = 1,
                .tied_head = true,
                .embed_root = true,
                .act = ACT_GELU_TANH}},
    {"gemma2", "Gemma2ForCausalLM", NULL, "gemma2", gemma2_names, gemma2_keys,
     .preset = {.head_dim = 256,
                .norm_eps = 1e-6f,
                .norm_offset = 1,
                .tied_head = true,
                .embed_root = true,
                .logit_softcap = 30,
                .attn_softcap = 50,
                .window = 4096,
                .full_every = 2,
                .act = ACT_GELU_TANH}},
    {"gemma3_text", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "gemma3", gemma3_names,
     gemma3_keys,
     .preset = {.heads = 8,
                .kv_heads = 4,
                .head_dim = 256,
                .vocab = 262208,
                .positions = 131072,
                .norm_eps = 1e-6f,
                .norm_offset = 1,
                .tied_head = true,
                .embed_root = true,
                .window = 4096,
                .full_every = 6,
                .rope = {.base = 1e6, .local_base = 1e4},
                .act = ACT_GELU_TANH}},
    {"olmo2", "Olmo2ForCausalLM", NULL, "olmo2", olmo2_names, olmo2_keys,
     .preset = {.norm_eps = 1e-5f}},
    {"olmo3", "Olmo3ForCausalLM", NULL, NULL, olmo2_names, olmo3_keys,
     .preset = {.norm_eps = 1e-5f, .window = 4096, .full_every = 4}},
    {"smollm3", "SmolLM3ForCausalLM", NULL, "smollm3", llama_names, smollm3_keys,
     .preset = {.norm_eps = 1e-6f,
                .tied_head = true,
                .no_rope_every = 4,
                .positions = 32768,
                .kv_heads = 4,
                .rope = {.base = 2e6}}},
    {"granite", "GraniteForCausalLM", NULL, "granite", llama_names, granite_keys,
     .preset = {.norm_eps = 1e-6f}},
    {"gpt_neox", "GPTNeoXForCausalLM", NULL, "gptneox", gpt_neox_names, gpt_neox_keys,
     .preset = {.norm = NORM_LAYER,
                .norm_eps = 1e-5f,
                .act = ACT_GELU_ERF,
                .parallel = true,
                .qkv_bias = true,
                .out_bias = true}},
    {"gpt2", "GPT2LMHeadModel", NULL, "gpt2", gpt2_names, gpt2_keys,
     .preset = {.positions = 1024,
                .norm = NORM_LAYER,
                .norm_eps = 1e-5f,
                .tied_head = true,
                .act = ACT_GELU_TANH}},
    {"opt", "OPTForCausalLM", NULL, NULL, opt_names, opt_keys,
     .preset = {.norm = NORM_LAYER,
                .norm_eps = 1e-5f,
                .tied_head = true,
                .position_offset = 2,
                .act = ACT_RELU,
                .qkv_bias = true,
                .out_bias = true,
                .mlp_bias = true}},
    {"mixtral", "MixtralForCausalLM", NULL, "llama", mixtral_names, mixtral_keys,
     .preset = {.kv_heads = 8,
                .norm_eps = 1e-5f,
                .rope = {.base = 1e6},
                .experts = 8,
                .experts_used = 2,
                .experts_norm = true}},
    {"qwen3_moe", "Qwen3MoeForCausalLM", NULL, "qwen3moe", qwen3_moe_names, qwen3_moe_keys,
     .preset = {.kv_heads = 4,
                .ff = 768,
                .dense_ff = 6144,
                .norm_eps = 1e-6f,
                .experts = 128,
                .experts_used = 8}},
    {.name = NULL},
};
