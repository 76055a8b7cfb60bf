#!/usr/bin/env python3
"""Writes test/data/decay.json: for each tiny model of test/data/models the parameters that the peer's trainer (HF
Trainer as of transformers 4.45.1) excludes from weight decay. That rule knows two kinds: parameters of a module
whose class is in ALL_LAYERNORM_LAYERS, and names with "bias". Families whose norm class nobody registers there are
decayed whole.

    tools/make_decay_groups.py        needs torch 2.5.1, transformers 4.51.3 (whose own rule adds names of norms)
"""
import json
import os

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import ALL_LAYERNORM_LAYERS
from transformers.trainer_pt_utils import get_parameter_names

DATA = os.path.join(os.path.dirname(__file__), "..", "test", "data")


def excluded(path):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
    # a module of another family that was imported before registers its class, too; each is its own class
    decayed = [n for n in get_parameter_names(model, ALL_LAYERNORM_LAYERS) if "bias" not in n]
    return sorted(n for n, _ in model.named_parameters() if n not in decayed)


if __name__ == "__main__":
    models = os.path.join(DATA, "models")
    out = {name: excluded(os.path.join(models, name)) for name in sorted(os.listdir(models))}
    with open(os.path.join(DATA, "decay.json"), "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")
