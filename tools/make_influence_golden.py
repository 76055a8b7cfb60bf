#!/usr/bin/env python3
"""test/data/influence.safetensors: Gauss-Newton products, solutions, SSD, Kronecker factors and influence
scores of the tiny model m_cur on the rows of loop/rows, computed by autograd in f64 and by kronfluence
1.0.1 (reference set golden2 under $UNLEARN_SHARED), cut to what the test compares: 512 entries of each
flat vector, two linear maps.

usage: make_influence_golden.py SHARED OUT   (safetensors, numpy)"""
import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

MAPS = ['model.layers.1.self_attn.k_proj', 'model.layers.0.mlp.down_proj']

shared, path = sys.argv[1:]
golden = shared + '/golden2/'
table = json.load(open(golden + 'locate/masks.json'))
index = json.load(open(golden + 'influence/index.json'))
out = {f'offset.{n}': np.array([o], np.int32) for n, o in zip(table['order'], table['offset'])}
d = sum(int(np.prod(s)) for s in table['shape'])
at = np.arange(512) * d // 512


def read(name):
    return load_file(f'{golden}influence/{name}.safetensors')


out['GNv'] = read('hvp')['GNv'][at]
solve = read('solve')
for n in ['x', 'xr', 'gn_x', 'newton', 'influence']:
    out[n] = solve[n + '_sample']
for n in ['gn_x_sample_iter5', 'gn_residual']:
    out[n] = solve[n]
lissa = read('lissa')
out['lissa'], out['lissa.order'] = lissa['sample_step30'] / index['lissa.safetensors']['scale'], lissa['order']
out['ssd'] = read('ssd')['final'][at]
for n, v in index['solve.safetensors']['nll'].items():
    out['nll.' + n] = np.array([v['forget'], v['retain']])
factors = read('kfac_factors')
out['sampled_labels'] = factors['sampled_labels']
for m in MAPS:
    for n in ['A', 'S', 'lambda', 'ihvp0']:
        out[f'{n}.{m}'] = factors[f'{n}.{m}']
for n, v in read('influence_scores').items():
    if not n.startswith('module.') or n[7:] in MAPS:
        out['score.' + n] = v
save_file({k: np.ascontiguousarray(v if v.dtype == np.int32 else v.astype(np.float32)) for k, v in out.items()}, path)
