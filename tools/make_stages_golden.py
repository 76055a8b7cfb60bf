#!/usr/bin/env python3
"""Adds to test/data/survey/ what PyTorch computes of the methods that begin with stages: random_mapping, kga.

    pip install torch==2.4.1 transformers==4.51.3 safetensors==0.4.5 numpy==2.1.3
    python3 tools/make_stages_golden.py

Models m_cur, m_ref, m_reinforced on survey/batches, f64. loss; of every gradient the L2 norm and 128 entries at
flat index floor(j n / 128). kga also has `gap`: the mean over the scored rows of the alternate batch of
KL(p_ref || p_reinforced).
"""
import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

DATA = "test/data/survey"
MODELS = "test/data/models"
ENTRIES = 128
MASK64 = (1 << 64) - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK64
    return x ^ x >> 31


def vector(token, width, seed=0, noise=4):
    """N(0,1)^width of the program's noise stream for this token: Box-Muller over MT19937."""
    stream = (mix((mix(noise << 32 | seed) + token) & MASK64)) & 0xFFFFFFFF
    u = np.random.RandomState(stream)._bit_generator.random_raw(2 * width).astype(np.float64).reshape(-1, 2)
    return (np.sqrt(-2 * np.log((u[:, 0] + 1) * 2.0**-32)) * np.cos(2 * np.pi * u[:, 1] * 2.0**-32)).astype(np.float32)


def open_model(name):
    return AutoModelForCausalLM.from_pretrained(f"{MODELS}/{name}", attn_implementation="eager").double()


def batch(tensors, role):
    return [torch.from_numpy(tensors[f"{role}.{part}"]).long() for part in ("input_ids", "attention_mask", "labels")]


def states(model, ids, mask):
    """[layers, real tokens, width]: after each layer, without the final norm."""
    kept = []
    hooks = [layer.register_forward_hook(lambda m, i, o: kept.append(o[0])) for layer in model.model.layers]
    model(input_ids=ids, attention_mask=mask)
    for hook in hooks:
        hook.remove()
    return torch.stack([h[mask.bool()] for h in kept])


def scored(model, ids, mask, labels):
    """[rows, V] log-probabilities where a label is predicted."""
    logp = torch.log_softmax(model(input_ids=ids, attention_mask=mask).logits, -1)
    return logp[:, :-1][labels[:, 1:] != -100]


def kl(a, b):
    return (a.exp() * (a - b)).sum(-1).mean()


def save(name, model, loss, more=None):
    out = {"loss": np.array([loss.item()], np.float32), **(more or {})}
    model.zero_grad()
    loss.backward()
    for key, p in model.named_parameters():
        g = (p.grad if p.grad is not None else torch.zeros_like(p)).reshape(-1).numpy()
        out["sample." + key] = g[np.arange(ENTRIES) * g.size // ENTRIES].astype(np.float32)
        out["norm." + key] = np.array([np.linalg.norm(g)], np.float32)
    save_file(out, f"{DATA}/{name}.safetensors")
    print(name, loss.item(), {k: v.item() for k, v in (more or {}).items()})


def random_mapping(cur, ref, tensors):
    ids, mask, _ = batch(tensors, "forget")
    h = states(cur, ids, mask)
    r = torch.from_numpy(np.stack([vector(i, h.shape[-1]) for i in ids[mask.bool()].tolist()])).double()
    turn = (1 - torch.nn.functional.cosine_similarity(h, r[None], -1)).mean()
    ids, mask, _ = batch(tensors, "retain")
    with torch.no_grad():
        still = states(ref, ids, mask)
    save("random_mapping", cur, turn + ((states(cur, ids, mask) - still) ** 2).mean())


def kga(cur, ref, reinforced, tensors, gap=0.5):
    with torch.no_grad():
        learnt = scored(reinforced, *batch(tensors, "forget"))
        retain = scored(ref, *batch(tensors, "retain"))
        new = batch(tensors, "alternate")
        measured = kl(scored(ref, *new), scored(reinforced, *new))
    loss = (kl(scored(cur, *batch(tensors, "forget")), learnt) - gap).abs()
    save("kga", cur, loss + kl(retain, scored(cur, *batch(tensors, "retain"))),
         {"gap": np.array([measured.item()], np.float32)})


def main():
    tensors = load_file(f"{DATA}/batches.safetensors")
    cur, ref, reinforced = open_model("m_cur"), open_model("m_ref"), open_model("m_reinforced")
    random_mapping(cur, ref, tensors)
    kga(cur, ref, reinforced, tensors)


if __name__ == "__main__":
    main()
