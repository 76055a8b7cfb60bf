#!/usr/bin/env python3
"""test/data/edit: what ROME, MEMIT and AlphaEdit do to the tiny model m_cur, by the authors' code in f64 (reference set golden2 under
$UNLEARN_SHARED), and, by PyTorch in f64, searches for a delta on the MLP's output that lowers the probability of an answer, raises
the entropy of what layers know, or moves the answer away from both ends of their ranking.

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

# --- erasure, and what layers know: every step is taken ---
answer, layer, steps, lr, clamp, decay, kl_factor, rank = [61, 12, 40], 1, 12, 0.1, 4.0, 0.005, 0.0625, 60
request = dict(requests['requests'][0], answer=answer)
m = AutoModelForCausalLM.from_pretrained(model_dir, torch_dtype=torch.float32, attn_implementation='eager').double().eval()
for p in m.parameters():
    p.requires_grad_(False)
state = {}


def hook(module, args, output):
    if 'v0' not in state:
        state['v0'] = output[0, state['at']].detach().clone()
    output = output.clone()
    output[0, state['at']] += state['delta']
    return output


m.model.layers[layer].mlp.register_forward_hook(hook)


def run(ids, at):
    state['at'] = at
    return m(torch.tensor([ids]), output_hidden_states=True)


def erase():
    """exp(-NLL of the answer)"""
    nll = 0
    for c in requests['contexts']:
        ids = c + request['ids'] + answer
        lp = run(ids, len(c) + request['lookup']).logits[0].log_softmax(-1)
        nll = nll - sum(lp[len(ids) - len(answer) + j - 1, a] for j, a in enumerate(answer)) / len(answer)
    return torch.exp(-nll / len(requests['contexts']))


def seen_by_layers(value):
    """The mean of a function of softmax(head(norm(h_l))) at the last token, over layers and prompts. The last of HF's hidden states is
    after the final norm already."""
    values = []
    for c in requests['contexts']:
        states = run(c + request['ids'], len(c) + request['lookup']).hidden_states
        for l in range(layer, len(m.model.layers)):
            h = states[l + 1][0, -1]
            h = h if l + 1 == len(m.model.layers) else m.model.norm(h)
            values.append(value(m.lm_head(h).softmax(-1)))
    return torch.stack(values).mean()


def margin(p):
    a = p[answer[0]]
    return torch.relu(a - p.topk(rank).values[-1]) + torch.relu(p.topk(rank, largest=False).values[-1] - a)


goals = {'erase': erase,
         'entropy': lambda: seen_by_layers(lambda p: (p * p.log()).sum()),
         'margin': lambda: seen_by_layers(margin)}
for name, goal in goals.items():
    state.pop('v0', None)
    delta = state['delta'] = torch.zeros(m.config.hidden_size, dtype=torch.float64, requires_grad=True)
    optimiser, losses, first = torch.optim.Adam([delta], lr=lr), [], None
    for it in range(steps):
        value = goal()
        now = run(request['kl_ids'], request['kl_lookup']).logits[0].log_softmax(-1)[request['kl_lookup']]
        first = now.detach() if first is None else first
        kl = kl_factor * (now.exp() * (now - first)).sum()
        wd = decay * torch.sqrt((delta * delta).sum() + 1e-300) / state['v0'].norm() ** 2
        losses.append([(value + kl + wd).item(), value.item(), kl.item(), wd.item()])
        if it == steps - 1:
            break
        optimiser.zero_grad()
        (value + kl + wd).backward()
        optimiser.step()
        with torch.no_grad():
            most = clamp * state['v0'].norm()
            if delta.norm() > most:
                delta.mul_(most / delta.norm())
    save_file(f32({'refusal.delta': delta.detach(), 'refusal.losses': torch.tensor(losses)}), f'{to}/{name}.safetensors')
requests['requests'][0] = request
json.dump(requests, open(to + '/requests.json', 'w'), indent=1)
requests['requests'] = requests['requests'][:1]
json.dump(requests, open(to + '/one.json', 'w'), indent=1)
