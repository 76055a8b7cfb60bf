/* The rows of the table of families. */
#include "model/family.h"

#define LAYER "model.layers.%d."
#define BLOCK "blk.%d."

#define MATRIX(out, in) .rows = out, .cols = in
#define VECTOR(n)       .rows = n

static const struct slot_name llama_names[] = {
    {W_EMBED, "model.embed_tokens.weight", "token_embd.weight", MATRIX(DIM_V, DIM_C)},
    {W_Q, LAYER "self_attn.q_proj.weight", BLOCK "attn_q.weight", MATRIX(DIM_Q, DIM_C),
     .gguf_layout = LAYOUT_ROPE_PAIRS},
    {W_Q_B, LAYER "self_attn.q_proj.bias", BLOCK "attn_q.bias", VECTOR(DIM_Q),
     .gguf_layout = LAYOUT_ROPE_PAIRS, .when = IF_QKV_BIAS},
    {W_K, LAYER "self_attn.k_proj.weight", BLOCK "attn_k.weight", MATRIX(DIM_KV, DIM_C),
     .gguf_layout = LAYOUT_ROPE_PAIRS},
    {W_K_B, LAYER "self_attn.k_proj.bias", BLOCK "attn_k.bias", VECTOR(DIM_KV),
     .gguf_layout = LAYOUT_ROPE_PAIRS, .when = IF_QKV_BIAS},
    {W_V, LAYER "self_attn.v_proj.weight", BLOCK "attn_v.weight", MATRIX(DIM_KV, DIM_C)},
    {W_V_B, LAYER "self_attn.v_proj.bias", BLOCK "attn_v.bias", VECTOR(DIM_KV),
     .when = IF_QKV_BIAS},
    {W_O, LAYER "self_attn.o_proj.weight", BLOCK "attn_output.weight", MATRIX(DIM_C, DIM_Q)},
    {W_O_B, LAYER "self_attn.o_proj.bias", BLOCK "attn_output.bias", VECTOR(DIM_C),
     .when = IF_OUT_BIAS},
    {W_GATE, LAYER "mlp.gate_proj.weight", BLOCK "ffn_gate.weight", MATRIX(DIM_F, DIM_C)},
    {W_GATE_B, LAYER "mlp.gate_proj.bias", BLOCK "ffn_gate.bias", VECTOR(DIM_F),
     .when = IF_MLP_BIAS},
    {W_UP, LAYER "mlp.up_proj.weight", BLOCK "ffn_up.weight", MATRIX(DIM_F, DIM_C)},
    {W_UP_B, LAYER "mlp.up_proj.bias", BLOCK "ffn_up.bias", VECTOR(DIM_F), .when = IF_MLP_BIAS},
    {W_DOWN, LAYER "mlp.down_proj.weight", BLOCK "ffn_down.weight", MATRIX(DIM_C, DIM_F)},
    {W_DOWN_B, LAYER "mlp.down_proj.bias", BLOCK "ffn_down.bias", VECTOR(DIM_C),
     .when = IF_MLP_BIAS},
    {W_NORM_ATTN, LAYER "input_layernorm.weight", BLOCK "attn_norm.weight", VECTOR(DIM_C)},
    {W_NORM_MLP, LAYER "post_attention_layernorm.weight", BLOCK "ffn_norm.weight", VECTOR(DIM_C)},
    {W_NORM_OUT, "model.norm.weight", "output_norm.weight", VECTOR(DIM_C)},
    {W_HEAD, "lm_head.weight", "output.weight", MATRIX(DIM_V, DIM_C), .when = IF_UNTIED},
    {.hf = NULL},
};

const struct family families[] = {
    {"llama", "LlamaForCausalLM", "llama", llama_names, .preset = {.norm_eps = 1e-6f}},
    {.name = NULL},
};
