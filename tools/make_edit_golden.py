#!/usr/bin/env python3
"""test/data/edit: what ROME, MEMIT and AlphaEdit do to the tiny model m_cur, by the authors' code in f64 (reference set golden2 under
$UNLEARN_SHARED), and an erasure (delta on the MLP's output that lowers the probability of an answer) by PyTorch in f64.

usage: make_edit_golden.py SHARED M_CUR OUT_DIR   (torch, transformers, safetensors)"""
import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

shared, model_dir, to = sys.argv[1:]
golden = shared + '/golden2/editing/'
rome, memit, alpha = (load_file(golden + n + '.safetensors') for n in ('rome', 'memit', 'alphaedit'))
requests = json.load(open(golden + 'requests.json'))

save_file({'covariance.1': rome['covariance'].float()}, to + '/moments_rome.safetensors')
save_file({f'covariance.{l}': memit[f'covariance.{l}'].float() for l in (0, 1)}, to + '/moments.safetensors')
f32 = lambda d: {k: v.float().contiguous() for k, v in d.items()}
save_file(f32({k: v for k, v in rome.items() if k != 'covariance' and not (k.startswith('empty') and 'weight' in k)}), to + '/rome.safetensors')
save_file(f32({k: v for k, v in memit.items() if 'covariance' not in k}), to + '/memit.safetensors')
save_file(f32({k: v for k, v in alpha.items() if k[0] != 'P'}), to + '/alphaedit.safetensors')

# --- erasure: loss = exp(-NLL of the answer) + kl + decay, every step is taken ---
answer, layer, steps, lr, clamp, decay, kl_factor = [61, 12, 40], 1, 12, 0.1, 4.0, 0.005, 0.0625
request = dict(requests['requests'][0], answer=answer)
m = AutoModelForCausalLM.from_pretrained(model_dir, torch_dtype=torch.float32, attn_implementation='eager').double().eval()
for p in m.parameters():
    p.requires_grad_(False)
delta = torch.zeros(m.config.hidden_size, dtype=torch.float64, requires_grad=True)
state = {}


def hook(module, args, output):
    if 'v0' not in state:
        state['v0'] = output[0, state['at']].detach().clone()
    output = output.clone()
    output[0, state['at']] += delta
    return output


m.model.layers[layer].mlp.register_forward_hook(hook)


def logits(ids, at):
    state['at'] = at
    return m(torch.tensor([ids])).logits[0].log_softmax(-1)


optimiser, losses, first = torch.optim.Adam([delta], lr=lr), [], None
for it in range(steps):
    nll = 0
    for c in requests['contexts']:
        ids = c + request['ids'] + answer
        lp = logits(ids, len(c) + request['lookup'])
        nll = nll - sum(lp[len(ids) - len(answer) + j - 1, a] for j, a in enumerate(answer)) / len(answer)
    nll = nll / len(requests['contexts'])
    now = logits(request['kl_ids'], request['kl_lookup'])[request['kl_lookup']]
    first = now.detach() if first is None else first
    kl = kl_factor * (now.exp() * (now - first)).sum()
    wd = decay * torch.sqrt((delta * delta).sum() + 1e-300) / state['v0'].norm() ** 2
    loss = torch.exp(-nll) + kl + wd
    losses.append([loss.item(), torch.exp(-nll).item(), kl.item(), wd.item()])
    if it == steps - 1:
        break
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    with torch.no_grad():
        most = clamp * state['v0'].norm()
        if delta.norm() > most:
            delta.mul_(most / delta.norm())
save_file(f32({'refusal.delta': delta.detach(), 'refusal.losses': torch.tensor(losses)}), to + '/erase.safetensors')
requests['requests'][0] = request
json.dump(requests, open(to + '/requests.json', 'w'), indent=1)
requests['requests'] = requests['requests'][:1]
json.dump(requests, open(to + '/one.json', 'w'), indent=1)
