#!/usr/bin/env python3
"""test/data/merge: combinations of the tiny models m_ref, m_cur, m_reinforced and a third by MUSE's,
NegMerge's, TIES' and MergeLM's rules, mergekit and PEFT (reference set golden2 under $UNLEARN_SHARED):
512 entries of each result, flat in the order of test/data/locate.safetensors, and the norm of each
tensor; DARE's masks as bytes of bits, least significant first; what combined adapters change of each
weight; the two adapters, as PEFT saved them.

usage: make_merge_golden.py SHARED OUT_DIR   (safetensors, numpy)"""
import os
import shutil
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

shared, to = sys.argv[1:]
golden = shared + '/golden2/arithmetic/'
out = load_file(golden + 'sample.safetensors')
for n, t in load_file(golden + 'masks.safetensors').items():
    out[n] = t.view(np.uint8)
for n, t in load_file(golden + 'lora_delta.safetensors').items():
    if n.split('.')[0] in ('cat', 'cat_negated', 'svd', 'pem_negated'):
        out[n] = t
os.makedirs(to, exist_ok=True)
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, to + '/golden.safetensors')
for name in ('adapter_one', 'adapter_two'):
    shutil.copytree(golden + name, f'{to}/{name}', dirs_exist_ok=True)
