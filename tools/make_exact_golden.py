#!/usr/bin/env python3
"""test/data/exact.json: what exact removal and DP-SGD are compared with. The accountant's table is computed by opacus (its
analysis of Renyi differential privacy, in f64); the certified removals (sum form, Newton in f64, checked there against
certified-removal's code), the mixture of three models and the rows' gradient norms are cut from the reference set golden2
under $UNLEARN_SHARED, computed in f64 from the F32 checkpoints.

usage: make_exact_golden.py SHARED OUT   (opacus, numpy, scipy, safetensors; torch is not needed)"""
import importlib.util
import json
import os
import sys

from safetensors.numpy import load_file

shared, path = sys.argv[1:]
golden = shared + '/golden2/exact/'
opacus = os.path.dirname(importlib.util.find_spec('opacus').origin)
spec = importlib.util.spec_from_file_location('rdp', opacus + '/accountants/analysis/rdp.py')
rdp = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rdp)

orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
table = []
for q, sigma, steps, delta in [(0.0042666666666666667, 1.1, 14100, 1e-5), (0.01, 1.1, 10000, 1e-5), (0.1, 0.8, 200, 1e-5),
                               (0.02, 0.7, 1000, 1e-5), (1.0, 5.0, 10, 1e-6), (0.5, 2.0, 50, 1e-4), (0.001, 0.5, 2000, 1e-6),
                               (0.3, 12.0, 400, 1e-3), (0.9, 1.0, 3, 1e-2)]:
    one = rdp.compute_rdp(q=q, noise_multiplier=sigma, steps=1, orders=orders)
    epsilon, order = rdp.get_privacy_spent(orders=orders, rdp=one * steps, delta=delta)
    pick = [0, 10, 34, 69, 98, 99, 119, 150]
    table.append({'q': q, 'sigma': sigma, 'steps': steps, 'delta': delta, 'epsilon': float(epsilon), 'order': float(order),
                  'alpha': [orders[k] for k in pick], 'rdp': [float(one[k]) for k in pick]})

certified = load_file(golden + 'certified.safetensors')
mixture = load_file(golden + 'sisa_aggregate.safetensors')
dp = load_file(golden + 'dpsgd.safetensors')
out = {'accountant': table,
       'certified': {k: certified[k].ravel().tolist() for k in ['X', 'y', 'b', 'w0', 'w_after', 'residual', 'epsilon']}
       | {'bound': certified['bound'][:, 0].tolist(), 'n': 40, 'd': 6, 'lambda': 0.01, 'sigma': 1, 'delta': 1e-4},
       'mixture': mixture['seq_nll_token_mixture'].tolist(),
       'dp': {'row_norm': dp['row_norm'].tolist(), 'factor': dp['factor'].tolist(), 'clip': 0.7,
              'clipped_sum_norm': float(dp['clipped_sum_norm'][0])}}
json.dump(out, open(path, 'w'))
