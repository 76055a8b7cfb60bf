#!/usr/bin/env python3
"""test/data/probe: the logit lens of the tiny models llama and llama3_tied, causal tracing, linear probes and activation patching between
tiny models, from the reference set golden2 under $UNLEARN_SHARED (transformers' models,
scikit-learn at tolerance 1e-12, the released code of arXiv 2605.24614); a linear probe with fewer rows than features, and
exposures of canaries by SciPy's skew normal.

usage: make_probe_golden.py SHARED OUT_DIRECTORY   (numpy, safetensors, scikit-learn, scipy)"""
import json
import shutil
import sys

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.integrate import quad
from scipy.stats import skew, skewnorm
from sklearn.linear_model import LogisticRegression

shared, out = sys.argv[1:]
golden = shared + '/golden2/probe/'
for model in 'llama', 'llama3_tied':
    shutil.copyfile(golden + f'lens_{model}.safetensors', out + f'/lens_{model}.safetensors')
shutil.copyfile(golden + 'tracing.safetensors', out + '/tracing.safetensors')

uds = json.load(open(golden + 'uds.json'))
batch = load_file(shared + '/golden/methods/batches.safetensors')
uds['batch_rows'] = []
for ids, labels, mask in zip(*(batch['forget.' + k] for k in ('input_ids', 'labels', 'attention_mask'))):
    n = int(mask.sum())
    uds['batch_rows'].append({'ids': ids[:n].tolist(), 'labels': labels[:n].tolist()})

# Guidance by the logits of m_ref before and m_cur after, of the same rows.
before, after = (batch['forget.logits_' + k].astype(np.float64) for k in ('ref', 'cur'))
guided = {}
for w in 0, 0.5, 1, 3:
    nll, labels, hits, prob, exact = 0, 0, 0, 0, 0
    for i, row in enumerate(uds['batch_rows']):
        at = [t for t in range(1, len(row['ids'])) if row['labels'][t] != -100]
        b, a = before[i, [t - 1 for t in at]], after[i, [t - 1 for t in at]]
        y = [row['labels'][t] for t in at]
        z = b + w * (b - a)
        logp = (z - np.log(np.exp(z).sum(1, keepdims=True)))[range(len(at)), y]
        allowed = np.where(b - b.max(1, keepdims=True) >= np.log(0.1), z, -np.inf)
        hit = allowed.argmax(1) == y
        nll, labels, hits = nll - logp.sum(), labels + len(at), hits + hit.sum()
        prob, exact = prob + np.exp(logp.mean()) / 3, exact + hit.all() / 3
    guided[f'{w:g}'] = {'nll': nll / labels, 'prob': prob, 'hits': float(hits / labels), 'exact': float(exact)}
uds['guided'] = guided
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

cases = []
for shape, n in ('gamma', 60), ('normal', 40), ('left', 50):
    v = {'gamma': rng.gamma(3, 2, n), 'normal': rng.normal(20, 3, n), 'left': -rng.gamma(2, 2, n)}[shape].round(4)
    g = max(-0.99 * 0.99527174643115598, min(0.99 * 0.99527174643115598, skew(v)))
    s, r = abs(g) ** (2 / 3), ((4 - np.pi) / 2) ** (2 / 3)
    delta = np.sign(g) * np.sqrt(np.pi / 2 * s / (s + r))
    scale = v.std() / np.sqrt(1 - 2 * delta ** 2 / np.pi)
    fit = dict(a=delta / np.sqrt(1 - delta ** 2), loc=v.mean() - scale * delta * np.sqrt(2 / np.pi), scale=scale)
    for loss in v.mean(), v.min() - 0.2 * v.std(), v.min() - 2 * v.std():
        tail = quad(lambda x: skewnorm.pdf(x, **fit), -np.inf, loss, epsabs=0, epsrel=1e-10, limit=500)[0]
        if tail > 1e-200:
            cases.append({'loss': float(loss), 'candidates': v.tolist(), 'estimate': float(-np.log2(tail)),
                          'exposure': float(np.log2(n + 1) - np.log2(1 + (v < loss).sum()))})
json.dump(cases, open(out + '/exposure.json', 'w'))
