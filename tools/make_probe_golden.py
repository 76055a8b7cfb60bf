#!/usr/bin/env python3
"""test/data/probe: the logit lens of the tiny models llama and llama3_tied, linear probes, activation patching between
tiny models and statistics of membership, from the reference set golden2 under $UNLEARN_SHARED (transformers' models,
scikit-learn at tolerance 1e-12, the released code of arXiv 2605.24614); and a linear probe with fewer rows than
features, fitted here.

usage: make_probe_golden.py SHARED OUT_DIRECTORY   (numpy, safetensors, scikit-learn)"""
import json
import shutil
import sys

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression

shared, out = sys.argv[1:]
golden = shared + '/golden2/probe/'
for model in 'llama', 'llama3_tied':
    shutil.copyfile(golden + f'lens_{model}.safetensors', out + f'/lens_{model}.safetensors')

uds = json.load(open(golden + 'uds.json'))
batch = load_file(shared + '/golden/methods/batches.safetensors')
uds['batch_rows'] = []
for ids, labels, mask in zip(*(batch['forget.' + k] for k in ('input_ids', 'labels', 'attention_mask'))):
    n = int(mask.sum())
    uds['batch_rows'].append({'ids': ids[:n].tolist(), 'labels': labels[:n].tolist()})
json.dump(uds, open(out + '/uds.json', 'w'))

given = load_file(golden + 'linear.safetensors')
tensors = {k: v for k, v in given.items() if k != 'input_ids'}
save_file(tensors, out + '/linear.safetensors')

rng = np.random.default_rng(5)
y = rng.permutation(np.arange(26) % 3).astype(np.int32)
x = (rng.normal(size=(26, 41)) + 1.2 * np.eye(3)[y].repeat(14, 1)[:, :41]).astype(np.float32)
fit = LogisticRegression(C=0.01, tol=1e-12, max_iter=100000).fit(x[:20].astype(np.float64), y[:20])
save_file({'X': x, 'y': y, 'coef': np.ascontiguousarray(fit.coef_, np.float32), 'intercept': fit.intercept_.astype(np.float32),
           'test_proba': fit.predict_proba(x[20:].astype(np.float64)).astype(np.float32)}, out + '/wide.safetensors')
json.dump({'test_accuracy': fit.score(x[20:], y[20:])}, open(out + '/wide.json', 'w'))
