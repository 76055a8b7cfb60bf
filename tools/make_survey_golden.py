#!/usr/bin/env python3
"""Writes test/data/survey/: figures of losses on small models, from reference data that hold whole gradients.

    pip install safetensors==0.4.5 numpy==2.1.3      (in a virtual environment)
    tools/make_survey_golden.py SHARED/golden NAME ...

Of every gradient the L2 norm and 128 entries at flat index floor(j n / 128) are kept. The batches get the
random answers as one list of alternates, as LLMU's term sees them.
"""
import os
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENTRIES = 128


def sample(tensors):
    out = {}
    for name, x in tensors.items():
        if name.startswith("grad."):
            flat = x.reshape(-1)
            at = np.arange(ENTRIES) * flat.size // ENTRIES
            out["sample." + name[5:]] = flat[at].copy()
            out["norm." + name[5:]] = np.array([np.linalg.norm(flat.astype(np.float64))], np.float32)
        elif not name.startswith("dlogits."):
            out[name] = x
    return out


def main():
    golden, names = sys.argv[1], sys.argv[2:]
    out = os.path.join(HERE, "test", "data", "survey")
    for name in names:
        tensors = load_file(os.path.join(golden, "survey", name + ".safetensors"))
        if name != "batches":
            tensors = sample(tensors)
        save_file(tensors, os.path.join(out, name + ".safetensors"))


if __name__ == "__main__":
    main()
