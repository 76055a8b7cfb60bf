#!/usr/bin/env python3
"""test/data/locate.safetensors: masks of the tiny model m_cur on the rows of loop/rows by the authors'
code (OPTML-Group/WAGLE, OPTML-Group/Unlearn-Saliency, locuslab/wanda), Fisher diagonals, SURE's
neurons, activations, attributions and causal tracing (reference set golden2 under $UNLEARN_SHARED).
Masks are bytes of bits, least significant first, flat in the order of the model's parameters.

usage: make_locate_golden.py SHARED OUT   (safetensors, numpy)"""
import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

shared, path = sys.argv[1:]
golden = shared + '/golden2/'
out = {}
masks = json.load(open(golden + 'locate/masks.json'))
for name, words in load_file(golden + 'locate/mask_bits.safetensors').items():
    m = masks['masks'][name]
    out['bits.' + name] = words.view(np.uint8)
    figures = [m.get(k, 0) for k in ('k', 'threshold', 'next', 'within_1e_4', 'kept')]
    out['figures.' + name] = np.array(figures, np.float64)
for n, o in zip(masks['order'], masks['offset']):
    out['offset.' + n] = np.array([o], np.int32)
out['pair'] = load_file(golden + 'locate/gradients.safetensors')['pair']
for n, t in load_file(golden + 'locate/wanda.safetensors').items():
    out[n] = t.view(np.uint8) if t.dtype == np.int32 else t
selected = load_file(golden + 'influence/ssd.safetensors')['selected']
out['ssd.selected'] = selected.view(np.uint8)
for n, t in load_file(golden + 'neurons/sure.safetensors').items():
    out['sure.' + n] = t.view(np.uint8) if t.dtype == np.int32 else t
projection = load_file(golden + 'locate/projection.safetensors')
for n, t in projection.items():
    out['projection.' + n] = t
for file in ('activations', 'integrated', 'tracing'):
    for n, t in load_file(golden + f'neurons/{file}.safetensors').items():
        out[f'{file}.{n}'] = t
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, path)
