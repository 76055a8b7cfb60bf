#!/usr/bin/env python3
"""Writes test/data/tensors/shards.json: how save_pretrained (huggingface_hub 0.26.2) splits tensors of some
sizes into files of at most so many bytes.

    pip install huggingface_hub==0.26.2 && tools/make_shards_golden.py
"""
import json
import pathlib
import random

from huggingface_hub import split_state_dict_into_shards_factory


def split(sizes, limit):
    state = {f"t{i}.weight": n for i, n in enumerate(sizes)}
    plan = split_state_dict_into_shards_factory(
        state, get_storage_size=lambda n: n, max_shard_size=limit, filename_pattern="model{suffix}.safetensors")
    return {"limit": limit, "sizes": sizes, "files": [plan.tensor_to_filename[name] for name in state]}


def main():
    random.seed(5)
    cases = [([4, 4, 4], 100), ([4, 4, 4], 12), ([4, 4, 4], 11), ([4, 4, 4], 8), ([4, 4, 4], 4), ([4, 4, 4], 3),
             ([20, 4, 4], 8), ([4, 20, 4], 8), ([4, 20, 4, 4], 8), ([4, 4, 20], 8), ([20, 20], 8), ([0, 8, 0, 8], 8)]
    cases += [([4 * random.randrange(1, 30) for _ in range(random.randrange(1, 25))], random.randrange(20, 200))
              for _ in range(30)]
    out = pathlib.Path(__file__).parent.parent / "test/data/tensors/shards.json"
    out.write_text(json.dumps([split(*c) for c in cases], separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
