#!/usr/bin/env python3
"""test/data/derivatives.safetensors: gradients, Hessian products, Fisher diagonals and five masked
AdamW steps of the tiny model m_cur on the rows of loop/rows, computed by autograd in f64 (reference
set golden2 under $UNLEARN_SHARED), cut to four weights.

usage: make_derivatives_golden.py SHARED OUT   (safetensors, numpy)"""
import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

KEPT = ['model.layers.1.self_attn.q_proj.weight', 'model.layers.0.mlp.down_proj.weight',
        'model.layers.2.input_layernorm.weight', 'lm_head.weight']

shared, path = sys.argv[1:]
golden = shared + '/golden2/'
table = json.load(open(golden + 'locate/masks.json'))
place = {n: (o, int(np.prod(s))) for n, o, s in zip(table['order'], table['offset'], table['shape'])}
out = {f'offset.{n}': np.array([o], np.int32) for n, (o, _) in place.items()}


def keep(name, flat):
    for n in KEPT:
        o, count = place[n]
        out[f'{name}.{n}'] = flat[o:o + count].astype(np.float32)
    out[f'{name}.norm'] = np.array([np.linalg.norm(flat.astype(np.float64))], np.float32)


for file, names in {'locate/gradients': ['grad_forget', 'grad_retain'],
                    'influence/hvp': ['Hv', 'Hg'],
                    'influence/fisher': ['rows_forget', 'gn_diag_retain']}.items():
    tensors = load_file(golden + file + '.safetensors')
    for n in names:
        keep(n, tensors[n])
    if file == 'influence/fisher':
        for n in names:
            out[n + '.sum'] = np.array([tensors[n].astype(np.float64).sum()], np.float32)
masked = load_file(golden + 'locate/masked_adamw.safetensors')
keep('gated', masked['gated.final'])
out['mask'] = masked['mask']
for n in ['loss', 'norm_all', 'norm_masked']:
    out['gated.' + n] = masked['gated.' + n].astype(np.float32)
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, path)
