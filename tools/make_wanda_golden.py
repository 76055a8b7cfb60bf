#!/usr/bin/env python3
"""Writes test/data/attacks/wanda.json: losses of the tiny llama after pruning by Wanda (arXiv 2306.11695), with transformers.

    python tools/make_wanda_golden.py       (torch 2.5, transformers 4.51)

In each row of each matrix of the layers the floor(ratio * columns) smallest of |W_ij| * ||x_j|| become zero, x_j the inputs over
all tokens of the calibration rows, which are the rows that are scored.
"""
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

root = pathlib.Path(__file__).parent.parent / "test/data"
rows = json.loads((root / "attacks/weights.json").read_text())["llama"]


def load():
    return AutoModelForCausalLM.from_pretrained(root / "models/llama", torch_dtype=torch.float64, attn_implementation="eager").eval()


def matrices(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in n}


@torch.no_grad()
def loss(model):
    total, labels = 0.0, 0
    for r in rows:
        logp = torch.log_softmax(model(torch.tensor([r["ids"]])).logits[0], -1)
        for t, label in enumerate(r["labels"]):
            if t and label >= 0:
                total -= logp[t - 1, label].item()
                labels += 1
    return total / labels


def squared_inputs():
    model, seen = load(), {}
    for name, m in matrices(model).items():
        m.register_forward_hook(lambda _, x, __, name=name: seen.__setitem__(
            name, seen.get(name, 0) + (x[0][0] ** 2).sum(0)))
    loss(model)
    return seen


if __name__ == "__main__":
    seen, out = squared_inputs(), []
    for ratio in (0.25, 0.5):
        model, zeroed = load(), 0
        for name, m in matrices(model).items():
            with torch.no_grad():
                score = m.weight.abs() * seen[name].sqrt()
                k = int(m.weight.shape[1] * ratio)
                least = torch.argsort(score, dim=1, stable=True)[:, :k]
                m.weight.scatter_(1, least, 0)
                zeroed += k * m.weight.shape[0]
        out.append({"ratio": ratio, "loss": loss(model), "zeroed": zeroed})
    (root / "attacks/wanda.json").write_text(json.dumps(out) + "\n")
