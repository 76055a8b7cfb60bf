#!/usr/bin/env python3
"""Makes test/data/guard from SHARED/golden2 (guard, decode), which was computed by the authors' code: the rows of a logits rule, greedy
tokens of two-model decoding, embeddings after each corruption with the noise used, greedy tokens after a corrupted prompt.

    tools/make_guard_golden.py ../shared
"""
import json
import shutil
import sys

shared = sys.argv[1] + '/golden2/'
out = 'test/data/guard/'
for name in 'guard/eco.safetensors', 'decode/logits.safetensors':
    shutil.copyfile(shared + name, out + name.split('/')[1])
golden = {}
for key, name in ('eco', 'guard/eco'), ('threshold', 'guard/threshold'), ('search', 'guard/zeroth_order'), ('greedy', 'decode/greedy'):
    with open(shared + name + '.json') as f:
        golden[key] = json.load(f)
with open(shared + 'decode/index.json') as f:
    golden['logits'] = {k: v for k, v in json.load(f)['logits.safetensors'].items() if k != 'tensors'}
golden['greedy'].pop('margins', None)
with open(out + 'golden.json', 'w') as f:
    json.dump(golden, f)
