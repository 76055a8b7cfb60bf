#!/usr/bin/env python3
"""Writes test/data/attacks/ablate.json: losses of tiny models after a direction was taken out (arXiv 2406.11717), with transformers.

    python tools/make_ablate_golden.py       (torch 2.5, transformers 4.51)

The direction: the mean hidden state at the last prompt token, after a layer, of the first rows minus that of the last one. It is
taken out by hooks, of everything that is added to the residual (token and position embeddings, outputs of attention and MLP), and
of a tied head's matrix; the program changes weights.
"""
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

root = pathlib.Path(__file__).parent.parent / "test/data"
rows = [{"ids": [i % 48 for i in r["ids"]], "labels": [i % 48 if i >= 0 else i for i in r["labels"]]}      # the smallest vocabulary
        for r in json.loads((root / "attacks/weights.json").read_text())["llama"]]
FORGET, RETAIN = rows[:2], rows[2:]
WRITES = ("embed_tokens", "embed_positions", "o_proj", "out_proj", "down_proj", "fc2")


def load(name):
    return AutoModelForCausalLM.from_pretrained(root / f"models/{name}", torch_dtype=torch.float64, attn_implementation="eager").eval()


@torch.no_grad()
def state(model, of, layer):
    total = 0
    for r in of:
        last = next(t for t, label in enumerate(r["labels"]) if label >= 0) - 1
        total = total + model(torch.tensor([r["ids"]]), output_hidden_states=True).hidden_states[layer][0, last]
    return total / len(of)


@torch.no_grad()
def loss(model, of):
    total, labels = 0.0, 0
    for r in of:
        logp = torch.log_softmax(model(torch.tensor([r["ids"]])).logits[0], -1)
        for t, label in enumerate(r["labels"]):
            if t and label >= 0:
                total -= logp[t - 1, label].item()
                labels += 1
    return total / labels


def figures(name, layer):
    model = load(name)
    direction = state(model, FORGET, layer) - state(model, RETAIN, layer)
    r = direction / direction.norm()
    for path, m in model.named_modules():
        if path.split(".")[-1] in WRITES:
            m.register_forward_hook(lambda _, __, out: out - (out @ r)[..., None] * r)
    if model.config.tie_word_embeddings:
        model.lm_head.register_forward_pre_hook(lambda _, x: (x[0] - (x[0] @ r)[..., None] * r,))
    return {"model": name, "layer": layer, "norm": direction.norm().item(), "forget": loss(model, FORGET), "retain": loss(model, RETAIN)}


out = {"forget": FORGET, "retain": RETAIN, "ablated": [figures(*of) for of in (("llama", 1), ("llama3_tied", 1), ("opt", 1))]}
(root / "attacks/ablate.json").write_text(json.dumps(out) + "\n")
