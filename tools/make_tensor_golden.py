#!/usr/bin/env python3
"""Writes test/data/tensors/mixed.safetensors, small.gguf and written.gguf with the formats' own Python libraries.
Element i of every tensor is i / 4 - 3, which all the float kinds and Q8_0 hold exactly enough, or i - 3
for the integers; test/files_test.c and, for written.gguf, test/writer_test.c
know it.

    pip install gguf==0.19.0 safetensors==0.4.5 && tools/make_tensor_golden.py
"""
import pathlib

import gguf
import numpy as np
import safetensors

OUT = pathlib.Path(__file__).parent.parent / "test/data/tensors"


def ramp(n):
    return (np.arange(n) / 4 - 3).astype("<f4")


def mixed_safetensors():
    whole = np.arange(12) - 3
    parts = {
        "scalar": ("float32", [], ramp(1)),
        "empty": ("float32", [0, 5], ramp(0)),
        "f32": ("float32", [3, 4], ramp(12)),
        "f16": ("float16", [12], ramp(12).astype("<f2")),
        "bf16": ("bfloat16", [2, 2, 3], (ramp(12).view("<u4") >> 16).astype("<u2")),
        "f64": ("float64", [1, 3, 2, 2], ramp(12).astype("<f8")),
        "i32": ("int32", [12], whole.astype("<i4")),
        "i64": ("int64", [4, 3], whole.astype("<i8")),
        "u8": ("uint8", [9], (whole[3:]).astype("u1")),
        "wide": ("int64", [1], np.array([2**31], "<i8")),
    }
    tensors = {name: {"dtype": d, "shape": s, "data": a.tobytes()} for name, (d, s, a) in parts.items()}
    (OUT / "mixed.safetensors").write_bytes(safetensors.serialize(tensors, {"format": "pt", "by": "safetensors"}))


def small_gguf():
    w = gguf.GGUFWriter(OUT / "small.gguf", "llama")
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_uint64("t.u64", 2**63)
    w.add_int64("t.i64", -2**62)
    w.add_float32("t.f32", 0.25)
    w.add_float64("t.f64", 0.1)
    w.add_bool("t.yes", True)
    w.add_bool("t.no", False)
    w.add_string("t.text", "naïve")
    w.add_array("t.words", ["a", "", "three"])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.reals", [0.5, -1.5])
    w.add_array("t.flags", [True, False, True])
    w.add_tensor("f32", ramp(12).reshape(3, 4))
    w.add_tensor("f16", ramp(12).astype("<f2"))
    for kind in ("Q8_0", "Q4_1"):
        t = gguf.GGMLQuantizationType[kind]
        w.add_tensor(kind.lower(), gguf.quants.quantize(ramp(64).reshape(2, 32), t), raw_dtype=t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def written_gguf():
    """What the C writer must write to the byte: the package adds no pair of its own but the architecture."""
    w = gguf.GGUFWriter(OUT / "written.gguf", "llama")
    w.add_uint32("t.u32", 4000000000)
    w.add_float32("t.f32", 0.25)
    w.add_bool("t.yes", True)
    w.add_bool("t.no", False)
    w.add_string("t.text", "naïve")
    w.add_array("t.words", ["a", "", "three"])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.reals", [0.5, -1.5])
    w.add_tensor("f32", ramp(12).reshape(3, 4))
    w.add_tensor("f16", ramp(12).astype("<f2"))
    for name, values in (("bf16", ramp(12)), ("q8_0", ramp(64).reshape(2, 32))):
        t = gguf.GGMLQuantizationType[name.upper()]
        w.add_tensor(name, gguf.quants.quantize(values, t), raw_dtype=t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    mixed_safetensors()
    small_gguf()
    written_gguf()
