#!/usr/bin/env python3
"""Writes test/data/quants/KIND.bin: random blocks of each quantised kind and the values that the `gguf`
package (0.19.0, numpy) reads from them. Per file: int32 number of blocks, the blocks, then f32 values.
Scales are drawn as halves of both signs and many sizes, subnormal ones too; packed integers are any bytes.

write_Q8_0.bin has values of many sizes, with ties and zeros, and the blocks that the package makes of them:
int32 number of blocks, the f32 values, the blocks.

    pip install gguf==0.19.0 && tools/make_quant_golden.py
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGML_QUANT_SIZES, quants

# Kind -> byte offsets of its halves: the scale and, where there is one, the minimum.
HALVES = {"F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0],
          "IQ4_XS": [0]}


def blocks_of(kind, rng):
    block, size = GGML_QUANT_SIZES[Type[kind]]
    n = max(3, 192 // block) if block > 1 else 192
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in HALVES[kind]:
        half = (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 4, n)).astype("<f2")
        blocks[:, at:at + 2] = half.view(np.uint8).reshape(n, 2)
    if kind == "BF16":
        f = (rng.standard_normal(n) * 2.0 ** rng.integers(-60, 60, n)).astype("<f4")
        blocks[:] = (f.view(np.uint32) >> 16).astype("<u2").view(np.uint8).reshape(n, 2)
    return blocks


def values_to_write(rng):
    v = (rng.standard_normal((40, 32)) * 2.0 ** rng.integers(-30, 6, (40, 1))).astype("<f4")
    v[0] = 0
    v[2] = np.arange(32, dtype="<f4") * 4 - 62.5        # ties, where the largest is 127
    v[2, 0] = -127
    v[3] = -v[2]
    v[4, 1:] = 0
    return v


def main():
    out = pathlib.Path(__file__).parent.parent / "test/data/quants"
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240501)
    for kind in HALVES:
        blocks = blocks_of(kind, rng)
        values = quants.dequantize(blocks.reshape(-1), Type[kind]) if kind != "F16" \
            else blocks.reshape(-1).view("<f2").astype("<f4")
        head = np.array([len(blocks)], "<i4").tobytes()
        (out / f"{kind}.bin").write_bytes(head + blocks.tobytes() + values.astype("<f4").tobytes())
    v = values_to_write(rng)
    (out / "write_Q8_0.bin").write_bytes(np.array([len(v)], "<i4").tobytes() + v.tobytes() +
                                         quants.quantize(v.reshape(-1), Type.Q8_0).tobytes())


if __name__ == "__main__":
    main()
