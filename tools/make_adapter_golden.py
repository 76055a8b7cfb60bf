#!/usr/bin/env python3
"""Writes test/data/lora/variants: adapters of every kind that PEFT loads, and the logits it computes.

    pip install torch==2.5.1 transformers==4.51.3 peft==0.15.2 safetensors numpy
    python3 tools/make_adapter_golden.py

NAME/adapter_config.json, NAME/adapter_model.safetensors: as save_pretrained writes them, what was trained
random. variants.safetensors: NAME.ids [1,7], NAME.logits [1,7,V] of a fresh base with the adapter loaded
from these files. The model of each is in variants.json.
"""
import json
import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

OUT = "test/data/lora/variants"
MODELS = "test/data/models"
# name: base, LoraConfig's options, keys of adapter_config.json that are changed once it is written
CASES = {
    "patterns": ("m_cur", dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj", "up_proj"],
                               rank_pattern={"layers.0.self_attn.q_proj": 3, "layers\\.[12]\\.mlp.*": 1,
                                             "^model.layers.1.self_attn.v_proj": 4},
                               alpha_pattern={"q_proj": 7, "2.self_attn.*": 0.5, "proj": 2}), {}),
    "patterns_rslora": ("m_cur", dict(r=2, lora_alpha=3, use_rslora=True, target_modules=["q_proj", "k_proj"],
                                      rank_pattern={"q_proj": 5}, alpha_pattern={"k_proj": 2.5}), {}),
    "dora": ("m_cur", dict(r=2, lora_alpha=4, use_dora=True, target_modules=["q_proj", "down_proj", "lm_head"],
                           rank_pattern={"q_proj": 3}), {}),
    "dora_conv": ("gpt2", dict(r=2, lora_alpha=4, use_dora=True, target_modules=["c_attn", "c_proj"]), {}),
    "dora_fused": ("gpt_neox", dict(r=2, lora_alpha=2, use_dora=True, target_modules=["query_key_value"]), {}),
    "dora_embedding": ("llama3_tied", dict(r=2, lora_alpha=2, use_dora=True,
                                           target_modules=["embed_tokens", "gate_proj"]), {}),
    "saved": ("llama3_tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                  modules_to_save=["embed_tokens", "lm_head", "layernorm"]), {}),
    "saved_head": ("llama3_tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                       modules_to_save=["lm_head"]), {}),
    "saved_conv": ("gpt2", dict(r=2, lora_alpha=4, target_modules=["c_attn"], modules_to_save=["1.mlp"]), {}),
    "saved_fused": ("gpt_neox", dict(r=2, lora_alpha=4, target_modules=["dense"],
                                     modules_to_save=["query_key_value"]), {}),
    "tied_head": ("llama3_tied", dict(r=2, lora_alpha=4, target_modules=["lm_head", "v_proj"]), {}),
    "tied_embedding": ("llama3_tied", dict(r=2, lora_alpha=4, target_modules=["embed_tokens", "o_proj"]), {}),
    "embeddings": ("gpt2", dict(r=2, lora_alpha=4, target_modules=["wte", "wpe"]), {}),
    "bias_all": ("qwen2", dict(r=2, lora_alpha=4, bias="all", target_modules=["q_proj"]), {}),
    "bias_lora_only": ("qwen2", dict(r=2, lora_alpha=4, bias="lora_only", target_modules=["q_proj", "o_proj"]), {}),
    "bias_fused": ("gpt_neox", dict(r=2, lora_alpha=4, bias="all", target_modules=["query_key_value"]), {}),
    "lora_bias": ("gpt_neox", dict(r=2, lora_alpha=6, lora_bias=True,
                                   target_modules=["query_key_value", "dense_4h_to_h"]), {}),
    "pissa": ("m_cur", dict(r=3, lora_alpha=2, init_lora_weights="pissa", target_modules=["v_proj", "down_proj"],
                            rank_pattern={"down_proj": 2}), {}),
    "pissa_conv": ("gpt2", dict(r=2, lora_alpha=4, init_lora_weights="pissa", fan_in_fan_out=True,
                                target_modules=["c_attn"]), {}),
    "pissa_tied": ("llama3_tied", dict(r=2, lora_alpha=4, init_lora_weights="pissa",
                                       target_modules=["lm_head", "k_proj"]), {}),
    "pissa_dora": ("m_cur", dict(r=2, lora_alpha=4, init_lora_weights="pissa", use_dora=True,
                                 target_modules=["up_proj"]), {}),
    "pissa_converted": ("m_cur", dict(r=2, lora_alpha=4, init_lora_weights="pissa", target_modules=["q_proj"]), {}),
    "olora": ("m_cur", dict(r=3, lora_alpha=2, init_lora_weights="olora", target_modules=["k_proj", "gate_proj"]),
              {}),
    "olora_fused": ("gpt_neox", dict(r=2, lora_alpha=4, init_lora_weights="olora",
                                     target_modules=["query_key_value"]), {}),
    "narrower": ("m_cur", dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "up_proj"]),
                 {"target_modules": ["q_proj", "v_proj", "model.layers.1.mlp.up_proj"],
                  "layers_to_transform": [0, 2], "layers_pattern": "layers",
                  "exclude_modules": ["layers.2.self_attn.v_proj"]}),
    "excluded": ("m_cur", dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"]),
                 {"exclude_modules": r".*\.[01]\.self_attn\.q_proj", "layers_to_transform": 1}),
    "regex": ("m_cur", dict(r=2, lora_alpha=4, target_modules=r"model\.layers\.\d\.(mlp|self_attn)\.(up|k)_proj"), {}),
    "tokens": ("m_cur", dict(r=2, lora_alpha=4, target_modules=["q_proj"], trainable_token_indices=[5, 7, 90]), {}),
    "tokens_tied": ("llama3_tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                        trainable_token_indices={"embed_tokens": [5, 7, 11]}), {}),
    "eva": ("m_cur", dict(r=2, lora_alpha=4, target_modules=["q_proj"]), {"init_lora_weights": "eva"}),
}


def base_model(name):
    return AutoModelForCausalLM.from_pretrained(f"{MODELS}/{name}", torch_dtype=torch.float32,
                                                attn_implementation="eager")


def move(model, init):
    """Every number that would be trained, elsewhere."""
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if "magnitude" in name:
            p.data *= 1 + 0.3 * torch.randn_like(p)
        elif "lora_" in name and init not in ("pissa", "olora"):
            torch.nn.init.normal_(p, std=0.3)
        else:
            p.data += 0.1 * torch.randn_like(p)


def case(name, base, options, changed):
    torch.manual_seed(sum(map(ord, name)))
    directory = f"{OUT}/{name}"
    shutil.rmtree(directory, ignore_errors=True)
    model = get_peft_model(base_model(base), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options))
    init = options.get("init_lora_weights")
    more = {}
    if name.endswith("_converted"):
        model.save_pretrained(f"{directory}/start")
        more["path_initial_model_for_weight_conversion"] = f"{directory}/start"
        json_path = f"{directory}/start/adapter_config.json"
        start = json.load(open(json_path))
        start["init_lora_weights"] = True  # else it would be initialised anew, on the model that was changed
        json.dump(start, open(json_path, "w"))
    move(model, init)
    model.save_pretrained(directory, **more)
    shutil.rmtree(f"{directory}/start", ignore_errors=True)
    os.remove(f"{directory}/README.md")
    path = f"{directory}/adapter_config.json"
    text = json.load(open(path))
    text["base_model_name_or_path"] = base
    if isinstance(text["target_modules"], list):
        text["target_modules"].sort()
    text.update(changed)
    json.dump(text, open(path, "w"), indent=1, sort_keys=True)

    fresh = base_model(base).eval()
    ids = torch.randint(3, fresh.config.vocab_size, (1, 7))
    ids[0, 1], ids[0, 3] = 5, 7  # of trainable_token_indices
    plain = fresh(input_ids=ids).logits.detach().clone()
    with torch.no_grad():
        logits = PeftModel.from_pretrained(fresh, directory).eval()(input_ids=ids).logits
    print(f"{name}: {(logits - plain).abs().max():.3f} from the base", os.listdir(directory))
    return {f"{name}.ids": ids.int(), f"{name}.logits": logits.contiguous().clone()}


figures = {}
os.makedirs(OUT, exist_ok=True)
for name, (base, options, changed) in CASES.items():
    figures.update(case(name, base, options, changed))
save_file(figures, f"{OUT}/variants.safetensors")
json.dump({name: c[0] for name, c in CASES.items()}, open(f"{OUT}/variants.json", "w"), indent=1)
