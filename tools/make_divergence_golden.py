#!/usr/bin/env python3
"""Writes test/data/divergence.json: how far two models are apart at the labels of many sequences.

    pip install torch==2.4.1 transformers==4.51.3 numpy
    python3 tools/make_divergence_golden.py

"pairs": [{"model", "other", "rows": [{"n", "agree", "nll", "other_nll", "kl"}]}], "seqs": [{"ids", "labels"}]. p is
the other model's distribution, q the model's: kl = sum over labels of KL(p || q), agree how often the first choices are
the same. Logits are f32, all else is f64. The sequences branch off one another, as answers to one question do.
"""
import json

import numpy as np
import torch
from transformers import AutoModelForCausalLM

MODELS = "test/data/models"
PAIRS = [("m_cur", "m_ref"), ("gemma2", "qwen2")]
VOCAB = 48  # the smallest of them


def make_seqs(rng):
    seqs = []
    for i in range(24):
        start = list(seqs[rng.integers(i)]["ids"]) if i else []
        start = start[:rng.integers(len(start) + 1)] if i % 4 else []
        ids = start + [int(x) for x in rng.integers(3, VOCAB, 3 + rng.integers(12))]
        first = int(rng.integers(1, len(ids)))
        labels = [-100] * first + [t if rng.random() < 0.8 else -100 for t in ids[first:]]
        seqs.append({"ids": ids, "labels": labels})
    return seqs


def log_probs(model, ids):
    with torch.no_grad():
        z = model(input_ids=torch.tensor([ids])).logits[0].to(torch.float64)
    return torch.log_softmax(z, -1).numpy(), z.numpy().argmax(-1)


def compare(model, other, seq):
    (q, best_q), (p, best_p) = log_probs(model, seq["ids"]), log_probs(other, seq["ids"])
    at = [t - 1 for t in range(1, len(seq["ids"])) if seq["labels"][t] != -100]
    label = [seq["labels"][t + 1] for t in at]
    return {"n": len(at), "agree": int((best_q[at] == best_p[at]).sum()),
            "nll": float(-q[at, label].sum()), "other_nll": float(-p[at, label].sum()),
            "kl": float((np.exp(p[at]) * (p[at] - q[at])).sum())}


def load(name):
    return AutoModelForCausalLM.from_pretrained(f"{MODELS}/{name}", attn_implementation="eager").float().eval()


def main():
    torch.set_num_threads(1)
    seqs = make_seqs(np.random.default_rng(5))
    pairs = []
    for name, other in PAIRS:
        a, b = load(name), load(other)
        pairs.append({"model": name, "other": other, "rows": [compare(a, b, s) for s in seqs]})
    with open("test/data/divergence.json", "w") as f:
        json.dump({"seqs": seqs, "pairs": pairs}, f, separators=(",", ":"))


if __name__ == "__main__":
    main()
