#!/usr/bin/env python3
"""EK-FAC factors of all linear maps of the layers, and scores: unlearn beside kronfluence on the same rows and threads.

usage: ekfac_vs_kronfluence.py UNLEARN MODEL_DIR ROWS.json[l] [N] [THREADS] [LAYERS]
MODEL_DIR: HF directory, F32. Rows are {question, answer}; their texts are joined and every token but the first is scored.
LAYERS: a copy of the model with its first layers alone, for a slow machine.
Prints processor seconds (user and system, so that other processes matter little) of factors and scores of each, of one
epoch of training on the same rows, the peak memory of unlearn, and the correlation of the scores. Needs torch,
transformers, kronfluence."""
import json
import os
import subprocess
import sys
import tempfile
import time

unlearn, model_dir, path = sys.argv[1:4]
n = int(sys.argv[4]) if len(sys.argv) > 4 else 200
threads = int(sys.argv[5]) if len(sys.argv) > 5 else os.cpu_count()
layers = int(sys.argv[6]) if len(sys.argv) > 6 else 0
os.environ['OMP_NUM_THREADS'] = str(threads)

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(threads)
tok = AutoTokenizer.from_pretrained(model_dir)
with open(path) as f:
    rows = json.load(f) if path.endswith('.json') and f.read(1) == '[' and not f.seek(0) else [json.loads(line) for line in open(path)]
rows = (rows * (n // len(rows) + 1))[:n]
ids = [tok(r['question'] + ' ' + r['answer'])['input_ids'] for r in rows]
queries = ids[:2]
work = tempfile.mkdtemp()
if layers:
    model = AutoModelForCausalLM.from_pretrained(model_dir, torch_dtype=torch.float32)
    del model.model.layers[layers:]
    model.config.num_hidden_layers = layers
    model_dir = f'{work}/model'
    model.save_pretrained(model_dir)
    tok.save_pretrained(model_dir)


def write(name, which):
    with open(f'{work}/{name}', 'w') as f:
        for i in which:
            f.write(json.dumps({'ids': i}) + '\n')
    return f'{work}/{name}'




def used(command):
    """Processor seconds and peak MiB of a command."""
    pid = subprocess.Popen(command, stdout=subprocess.DEVNULL).pid
    _, status, u = os.wait4(pid, 0)
    if status:
        sys.exit(f'failed: {" ".join(command)}')
    return u.ru_utime + u.ru_stime, u.ru_maxrss / 1024


tokens = sum(map(len, ids))
print(f'{n} rows, {tokens} tokens, {threads} threads, {layers or "all"} layers', flush=True)
out = f'{work}/scores.jsonl'
score = [unlearn, 'influence', '--quiet', '--model', model_dir, '--query', write('q.jsonl', queries), '--train',
         write('t.jsonl', ids), '--labels', 'data', '--threads', str(threads), '--factors', f'{work}/f.safetensors',
         '--out', out, '--overwrite']
both, peak = used(score)
scores, _ = used(score)
train, _ = used([unlearn, 'train', '--quiet', '--model', model_dir, '--data', f'{work}/t.jsonl', '--batch', '8', '--epochs', '1',
                 '--threads', str(threads), '--ledger', 'none', '--out', f'{work}/trained'])
print(f'unlearn      {both:8.1f} s, of which scores about {scores:.1f}; peak {peak:.0f} MiB', flush=True)
print(f'training     {train:8.1f} s for an epoch; factors take {(both - scores) / train:.2f} times that', flush=True)
ours = [json.loads(line)['score'] for line in open(out)]


class Rows(torch.utils.data.Dataset):
    def __init__(self, which):
        self.longest, self.which = max(map(len, which)), which

    def __len__(self):
        return len(self.which)

    def __getitem__(self, k):
        pad = self.longest - len(self.which[k])
        i = torch.tensor(self.which[k] + [0] * pad)
        mask = torch.tensor([1] * len(self.which[k]) + [0] * pad)
        return {'input_ids': i, 'attention_mask': mask, 'labels': torch.where(mask == 1, i, -100)}


class Language(Task):
    def compute_train_loss(self, batch, model, sample=False):
        z = model(input_ids=batch['input_ids'], attention_mask=batch['attention_mask']).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(z.reshape(-1, z.shape[-1]), batch['labels'][:, 1:].reshape(-1),
                                                 ignore_index=-100, reduction='sum')

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self):
        return [name for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and '.layers.' in name]

    def get_attention_mask(self, batch):
        return batch['attention_mask']


model = AutoModelForCausalLM.from_pretrained(model_dir, torch_dtype=torch.float32, attn_implementation='sdpa')
task = Language()
analyzer = Analyzer('ekfac', prepare_model(model, task), task, cpu=True, output_dir=work + '/kronfluence', disable_tqdm=True,
                    disable_model_save=True)
start = time.process_time()
analyzer.fit_all_factors('f', Rows(ids), per_device_batch_size=8, overwrite_output_dir=True,
                         factor_args=FactorArguments(strategy='ekfac', use_empirical_fisher=True))
fit = time.process_time() - start
start = time.process_time()
analyzer.compute_pairwise_scores('s', 'f', query_dataset=Rows(queries), train_dataset=Rows(ids), per_device_query_batch_size=2,
                                 per_device_train_batch_size=8, overwrite_output_dir=True,
                                 score_args=ScoreArguments(damping_factor=None))
print(f'kronfluence  {fit + time.process_time() - start:8.1f} s, of which factors {fit:.1f}')
theirs = analyzer.load_pairwise_scores('s')['all_modules'].flatten().double()
print(f'correlation of scores {torch.corrcoef(torch.stack([theirs, torch.tensor(ours, dtype=torch.float64)]))[0, 1]:.6f}')
