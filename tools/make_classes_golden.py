#!/usr/bin/env python3
"""Label words of reviews scored by a plain loop over transformers, for test/data/choice/reviews_scores.json.

Needs transformers 4.45.1, torch 2.4.1 (CPU, f32, one thread).

    make_classes_golden.py MODEL_DIR REVIEWS.csv LOGS OUT.json

MODEL_DIR: `unlearn convert` of the GGUF. LOGS: folders 0shot and 2shot, into which

    unlearn eval --suite classification --columns label,text --folds 3 [--shots 2] --out LOGS/...

wrote: only the folds and the rows of the worked examples are taken from there. One sequence at a time, without a cache:
the log-probability of a word is the sum over its tokens of log softmax(logits).
"""
import csv
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

WORDS = {"1": "negative", "2": "positive"}


def asked(text):
    return f"Review: {text}\nSentiment:"


def logp(model, tok, context, word):
    n = len(tok(context, add_special_tokens=False).input_ids)
    ids = torch.tensor([tok(context + " " + word, add_special_tokens=False).input_ids])
    with torch.no_grad():
        rows = torch.log_softmax(model(ids).logits[0].double(), -1)
    return sum(rows[i - 1, ids[0, i]].item() for i in range(n, ids.shape[1]))


def main(model_dir, reviews, logs, out):
    torch.set_num_threads(1)
    tok = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, torch_dtype=torch.float32).eval()
    with open(reviews, newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f))
    result = {}
    for name in ("0shot", "2shot"):
        samples = json.load(open(f"{logs}/{name}/CLASSIFICATION_EVAL.json"))["classification"]
        table = json.load(open(f"{logs}/{name}/CLASSIFICATION_TABLE.json"))
        folds = [s["fold"] for s in samples]
        examples = {f: table[f"classification_fold{f}"]["examples"] for f in set(folds)}
        before = {f: "".join(f"{asked(rows[i][1])} {WORDS[rows[i][0]]}\n\n" for i in e) for f, e in examples.items()}
        result[name] = {
            "folds": folds, "examples": [examples[f] for f in sorted(examples)],
            "logp": [[round(logp(model, tok, before[f] + asked(text), w), 5) for w in WORDS.values()]
                     for f, (_, text) in zip(folds, rows)]}
        print(name, sum((p[1] > p[0]) == (label == "2") for p, (label, _) in zip(result[name]["logp"], rows)), flush=True)
    with open(out, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f'"{k}": {json.dumps(v, separators=(",", ":"))}' for k, v in result.items()) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
