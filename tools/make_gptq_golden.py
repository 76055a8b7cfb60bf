#!/usr/bin/env python3
"""Writes test/data/attacks/gptq.json: losses of the tiny llama after GPTQ (arXiv 2210.17323) of its layers, with transformers.

    python tools/make_gptq_golden.py       (torch 2.5, transformers 4.51)

The paper's formula column by column in f64, without blocks of columns (AutoGPTQ's own figures are in gptq.safetensors). One layer
after another: the inputs of a layer's matrices are those behind the layers already rounded. The calibration rows are those scored.
"""
import json
import pathlib

import torch
from make_wanda_golden import load, loss, matrices, rows

out_dir = pathlib.Path(__file__).parent.parent / "test/data/attacks"


def grid(w, bits, asym):
    lo, hi = w.min(1, keepdim=True).values.clamp(max=0), w.max(1, keepdim=True).values.clamp(min=0)
    top = 2 ** bits - 1
    if not asym:
        hi = torch.maximum(hi, -lo)
        lo = torch.where(lo < 0, -hi, lo)
    scale = (hi - lo) / top
    return scale, torch.round(-lo / scale) if asym else torch.full_like(scale, (top + 1) / 2), top


def gptq(w, x, bits, asym):
    h = x.T @ x
    h += 0.01 * h.diagonal().mean() * torch.eye(len(h), dtype=h.dtype)
    u = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    scale, zero, top = grid(w, bits, asym)
    w = w.clone()
    for j in range(w.shape[1]):
        q = scale[:, 0] * ((torch.round(w[:, j] / scale[:, 0]) + zero[:, 0]).clamp(0, top) - zero[:, 0])
        error = (w[:, j] - q) / u[j, j]
        w[:, j] = q
        w[:, j + 1:] -= error[:, None] * u[j, j + 1:]
    return w


@torch.no_grad()
def rounded(bits, asym):
    model = load()
    for layer in range(model.config.num_hidden_layers):
        seen, hooks, own = {}, [], {n: m for n, m in matrices(model).items() if f".layers.{layer}." in n}
        for name, m in own.items():
            hooks.append(m.register_forward_hook(lambda _, x, __, name=name: seen.setdefault(name, []).append(x[0][0])))
        loss(model)
        for hook in hooks:
            hook.remove()
        for name, m in own.items():
            m.weight.copy_(gptq(m.weight, torch.cat(seen[name]), bits, asym))
    return model


if __name__ == "__main__":
    figures = [{"type": name, "loss": loss(rounded(bits, asym))} for name, bits, asym in
               (("gptq", 4, False), ("gptq3:asym", 3, True), ("gptq2", 2, False))]
    (out_dir / "gptq.json").write_text(json.dumps({"rows": rows, "settings": figures}) + "\n")
