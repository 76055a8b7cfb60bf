#!/usr/bin/env python3
"""A small random model of every family, and what PyTorch computes with it: test/data/models/<name>.

transformers 4.51.3, torch 2.4.1, safetensors 0.8.0; f32, eager attention, one thread. The families of NEWER:
transformers 4.57.3, torch 2.5.1.

    python tools/make_golden.py test/data/models [NAME ...]

forward.safetensors holds input_ids, attention_mask and labels [B,T] (labels -100 on the first
tokens and on padding), logits [B,T,V], hidden.l, loss (the mean over labels) and grad.NAME.
"""

import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

V, T, LENGTHS = 48, 12, [9, 12, 6]
IDS = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
BASE = dict(IDS, vocab_size=V, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32)
MLP = dict(BASE, intermediate_size=20)
GQA = dict(MLP, num_key_value_heads=2)
LONG = dict(type="longrope", short_factor=[1.0, 1.1], long_factor=[1.3, 2.4])

MODELS = {
    "llama_bias": ("llama", dict(GQA, attention_bias=True, mlp_bias=True)),
    "mistral": ("mistral", dict(GQA, sliding_window=4)),
    "qwen2": ("qwen2", dict(GQA, tie_word_embeddings=True)),
    "qwen3": ("qwen3", dict(GQA, head_dim=6)),
    "phi3": ("phi3", dict(GQA, partial_rotary_factor=0.5)),
    "phi3_longrope": ("phi3", dict(GQA, original_max_position_embeddings=8, rope_scaling=LONG)),
    "phi": ("phi", dict(MLP, partial_rotary_factor=0.5)),
    "gemma": ("gemma", dict(GQA, head_dim=6, hidden_activation="gelu_pytorch_tanh")),
    "gemma2": ("gemma2", dict(GQA, head_dim=6, sliding_window=4, query_pre_attn_scalar=8, attn_logit_softcapping=5.0, final_logit_softcapping=3.0)),
    "olmo2": ("olmo2", dict(GQA)),
    "gpt_neox": ("gpt_neox", dict(MLP, rotary_pct=0.5)),
    "gpt_neox_serial": ("gpt_neox", dict(MLP, rotary_pct=1.0, use_parallel_residual=False, attention_bias=False)),
    "gpt2": ("gpt2", dict(IDS, vocab_size=V, n_embd=16, n_layer=2, n_head=4, n_positions=32, n_inner=20)),
    "opt": ("opt", dict(BASE, ffn_dim=20, word_embed_proj_dim=16)),
}

SMALL = dict(IDS, vocab_size=V, hidden_size=8, num_attention_heads=2, num_key_value_heads=1, intermediate_size=12, max_position_embeddings=32)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8, beta_fast=1.0, beta_slow=0.25)
EXPERTS = dict(GQA, num_experts_per_tok=2)

NEWER = {
    "gemma3_text": ("gemma3_text", dict(SMALL, num_hidden_layers=6, head_dim=6, sliding_window=4, query_pre_attn_scalar=8, rope_theta=1000.0, rope_local_base_freq=10.0, rope_scaling=dict(rope_type="linear", factor=8.0))),
    "smollm3": ("smollm3", dict(SMALL, num_hidden_layers=5, tie_word_embeddings=False)),
    "olmo3": ("olmo3", dict(SMALL, num_hidden_layers=5, sliding_window=4, rope_theta=4.0, rope_scaling=YARN)),
    "granite": ("granite", dict(GQA, embedding_multiplier=6.0, residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=4.0, tie_word_embeddings=True)),
    "qwen3_moe": ("qwen3_moe", dict(EXPERTS, head_dim=6, num_experts=4, moe_intermediate_size=6, norm_topk_prob=True)),
    "mixtral": ("mixtral", dict(EXPERTS, num_local_experts=4, intermediate_size=8, sliding_window=None)),
}


def fill(model, offset_norms, width):
    """Weights that leave no part of the decoder idle."""
    for name, p in model.named_parameters():
        if p.dim() == 2:
            p.normal_(0, 0.8 / width**0.5)
        elif name.endswith("bias"):
            p.normal_(0, 0.1)
        else:
            p.copy_((0 if offset_norms else 1) + 0.1 * torch.randn_like(p))


def batch():
    ids, labels = torch.zeros(3, T, dtype=torch.long), torch.full((3, T), -100)
    for row, n in enumerate(LENGTHS):
        ids[row, :n] = torch.randint(3, V, (n,))
        labels[row, 3:n] = ids[row, 3:n]
    return ids, labels


def make(name, out):
    kind, options = {**MODELS, **NEWER}[name]
    torch.manual_seed(sorted(MODELS).index(name) if name in MODELS else 100 + list(NEWER).index(name))
    config = AutoConfig.for_model(kind, **options)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        fill(model, kind.startswith("gemma"), 16 if name in MODELS else options["hidden_size"])
    ids, labels = batch()
    got = model(input_ids=ids, attention_mask=(ids != 0).long(), output_hidden_states=True)
    loss = torch.nn.functional.cross_entropy(got.logits[:, :-1].reshape(-1, V), labels[:, 1:].reshape(-1))
    loss.backward()
    tensors = dict(input_ids=ids.int(), attention_mask=(ids != 0).int(), labels=labels.int(), logits=got.logits, loss=loss.reshape(1))
    for layer, hidden in enumerate(got.hidden_states[:-1]):
        tensors[f"hidden.{layer}"] = hidden
    for key, p in model.named_parameters():
        tensors["grad." + key] = p.grad
    path = os.path.join(out, name)
    model.save_pretrained(path)
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, os.path.join(path, "forward.safetensors"))
    print(f"{name}: {sum(p.numel() for p in model.parameters())} weights, loss {loss.item():.6f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for model_name in sys.argv[2:] or MODELS:
        make(model_name, sys.argv[1])
