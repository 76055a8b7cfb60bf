#!/usr/bin/env python3
"""Writes test/data/rope.json: the frequencies and the attention factor that `transformers` (4.51.3) makes of the
config.json of test/data/models with some keys changed: kinds of rope scaling, which of 'type' and 'rope_type'
counts in each family, heads of their own width.

    pip install torch transformers==4.51.3 && tools/make_rope_golden.py
"""
import importlib
import json
import pathlib

from transformers import AutoConfig

DATA = pathlib.Path(__file__).parent.parent / "test" / "data"
YARN = {"rope_type": "yarn", "factor": 4.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
WIDE = {"head_dim": 64, "max_position_embeddings": 512}
BOTH = {"type": "linear", "rope_type": "default", "factor": 4.0}
SWAPPED = {"type": "default", "rope_type": "linear", "factor": 4.0}

CASES = [("llama", {"rope_scaling": s, **WIDE}) for s in (
    None, {"type": "linear", "factor": 4.0}, {"type": "dynamic", "factor": 4.0}, LLAMA3, YARN,
    {**YARN, "original_max_position_embeddings": 128}, {**YARN, "original_max_position_embeddings": 512},
    {**YARN, "factor": 2.5, "beta_fast": 16.0, "beta_slow": 2.0}, {**YARN, "attention_factor": 0.75},
    {**YARN, "factor": 40.0, "mscale": 0.7, "mscale_all_dim": 1.0})]
CASES += [(m, {"rope_scaling": s}) for m in ("llama", "mistral", "qwen2", "qwen3", "phi", "gemma", "gemma2", "gpt_neox")
          for s in (BOTH, SWAPPED)]
CASES += [(m, {"head_dim": 12, "hidden_size": 16}) for m in ("qwen2", "phi3", "olmo2", "phi", "mistral")]


def frequencies(model, patch):
    config = json.load(open(DATA / "models" / model / "config.json"))
    config.update(json.loads(json.dumps(patch)))  # transformers writes into it
    read = AutoConfig.for_model(**config)
    module = importlib.import_module(f"transformers.models.{model}.modeling_{model}")
    rope = [getattr(module, n) for n in dir(module) if n.endswith("RotaryEmbedding")][0](config=read)
    return {"model": model, "patch": patch, "inv_freq": [float(x) for x in rope.inv_freq],
            "attention_factor": float(rope.attention_scaling)}


rows = [frequencies(*c) for c in CASES]
with open(DATA / "rope.json", "w") as f:
    f.write("[" + ",\n".join(json.dumps(r) for r in rows) + "]\n")
