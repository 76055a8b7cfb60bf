#!/usr/bin/env python3
"""Prints what test/retrained_real.t compares with: the KL of SmolLM2 in Q8_0 from SmolLM2, by transformers.

    pip install torch==2.4.1 transformers==4.51.3 numpy
    unlearn convert default q8.gguf --dtype q8_0
    unlearn convert default own --dtype f32; unlearn convert q8.gguf other --dtype f32
    unlearn score --model default --compat system_turn --data ROWS --json > rows.jsonl
    tools/kl_reference.py own other rows.jsonl

One line: sum over the rows' labels of KL(other || own) by their number, all in f64; that number; the share of
labels where both have the same first choice.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM


def log_probs(model, ids, at):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0, at].double(), -1)


def main(own, other, rows):
    own, other = (AutoModelForCausalLM.from_pretrained(m, torch_dtype=torch.float64).eval() for m in (own, other))
    kl = labels = same = 0
    for row in map(json.loads, open(rows)):
        ids, n = row["ids"], len(row["logprobs"])  # the last n are the labels
        at = list(range(len(ids) - 1 - n, len(ids) - 1))
        q, p = log_probs(own, ids, at), log_probs(other, ids, at)
        kl += (p.exp() * (p - q)).sum().item()
        labels += n
        same += (p.argmax(-1) == q.argmax(-1)).sum().item()
    print(kl / labels, labels, same / labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
