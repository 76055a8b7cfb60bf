#!/usr/bin/env python3
"""Writes test/data/lora: PEFT's adapters, and what PyTorch computes with them.

    pip install torch==2.4.1 transformers==4.51.3 peft==0.13.2 safetensors numpy
    python3 tools/make_lora_golden.py

NAME/adapter_config.json, NAME/adapter_model.safetensors: as save_pretrained writes them, all of
their numbers random. NAME.safetensors: ids, labels (-100: none), logits, loss (mean over labels),
grad.MODULE.lora_A.weight ..., and after three AdamW steps (lr 1e-2, weight decay 0.1) losses and
the weights as step3.MODULE....
"""
import json
import os

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

OUT = "test/data/lora"
MODELS = "test/data/models"
CASES = {
    "all": ("m_cur", dict(r=3, lora_alpha=5, target_modules="all-linear")),
    "some": ("m_cur", dict(r=4, lora_alpha=4, use_rslora=True,
                           target_modules=["q_proj", "down_proj", "lm_head"])),
    "phi3": ("phi3", dict(r=2, lora_alpha=2, target_modules=r".*\.(qkv_proj|gate_up_proj)")),
    "gpt_neox": ("gpt_neox", dict(r=2, lora_alpha=6, target_modules="all-linear")),
    "qwen3_moe": ("qwen3_moe", dict(r=2, lora_alpha=3, target_modules=["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])),
    "gpt2": ("gpt2", dict(r=2, lora_alpha=2, target_modules=["c_attn", "c_proj"],
                          fan_in_fan_out=True)),
}


def short(name):
    return name.replace("base_model.model.", "").replace(".default", "")


def loss_of(model, ids, labels):
    logits = model(input_ids=ids).logits
    return logits, torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))


def case(name, base, options):
    torch.manual_seed(len(name))
    config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options)
    model = AutoModelForCausalLM.from_pretrained(f"{MODELS}/{base}", torch_dtype=torch.float32,
                                                 attn_implementation="eager")
    model = get_peft_model(model, config)
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for n, p in own.items():
        torch.nn.init.normal_(p, std=0.2)
    model.save_pretrained(f"{OUT}/{name}")
    os.remove(f"{OUT}/{name}/README.md")
    path = f"{OUT}/{name}/adapter_config.json"
    text = json.load(open(path))
    text["base_model_name_or_path"] = base
    if isinstance(text["target_modules"], list):
        text["target_modules"].sort()
    json.dump(text, open(path, "w"), indent=2, sort_keys=True)

    ids = torch.randint(3, model.config.vocab_size, (2, 11))
    labels = ids.clone()
    labels[0, :4] = labels[1, :7] = -100
    out = {"ids": ids.int(), "labels": labels.int()}
    logits, loss = loss_of(model, ids, labels)
    loss.backward()
    out["logits"], out["loss"] = logits.detach().clone(), loss.detach().reshape(1)
    for n, p in own.items():
        out["grad." + short(n)] = p.grad.clone()
    adam = torch.optim.AdamW(own.values(), lr=1e-2, weight_decay=0.1)
    losses = []
    for _ in range(3):
        adam.zero_grad()
        loss = loss_of(model, ids, labels)[1]
        loss.backward()
        losses.append(loss.item())
        adam.step()
    out["losses"] = torch.tensor(losses)
    for n, p in own.items():
        out["step3." + short(n)] = p.detach().clone()
    save_file({k: v.contiguous() for k, v in out.items()}, f"{OUT}/{name}.safetensors")
    print(name, losses, sum(v.numel() * 4 for v in out.values()), "bytes")


os.makedirs(OUT, exist_ok=True)
for name, (base, options) in CASES.items():
    case(name, base, options)
