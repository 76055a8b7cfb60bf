#!/usr/bin/env python3
"""What other repositories call NPO and SimNPO, in PyTorch: losses and gradients for test/data.

torch 2.4.1, transformers 4.51.3, safetensors 0.8.0; f32 models in eager attention, losses in f64, one thread.

    tools/make_npo_golden.py [REPOSITORY]

survey/NAME.safetensors: on the models and batches of test/data, the loss with the token mean of the retain data
beside it, of every gradient the L2 norm and 128 entries at flat index floor(j n / 128).
made_up.safetensors: on logits made of sines (B 2, T 6, V 128), of every form the loss and d loss / d logits.
"""
import os
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = os.path.join(sys.argv[1] if len(sys.argv) > 1 else ".", "test", "data")


def token_means(z, labels):
    """[B] mean of -log p over the labels of each row."""
    c = F.cross_entropy(z[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none")
    return c.sum(1) / (labels[:, 1:] != -100).sum(1)


def npo_token_mean(z, ref, labels, beta=0.1):
    return -(2 / beta) * F.logsigmoid(beta * (token_means(z, labels) - token_means(ref, labels))).mean()


def scored(x, labels):
    """[R,V] rows that predict a label."""
    return x[:, :-1][labels[:, 1:] != -100]


def npo_raw_logits(z, ref, labels, beta=0.1):
    return -(2 / beta) * F.logsigmoid(beta * (scored(ref, labels) - scored(z, labels))).mean()


def npo_raw_logits_wide(z, ref, labels, beta=0.1):
    return -(2 / beta) * F.logsigmoid(beta * (ref - z)).mean()


def simnpo_raw_logits(z, ref, labels, beta=0.7, delta=0.5):
    return -(2 / beta) * F.logsigmoid(beta * (-scored(z, labels) - delta)).mean()


FORMS = [npo_token_mean, npo_raw_logits, npo_raw_logits_wide, simnpo_raw_logits]


def on_models():
    batches = load_file(os.path.join(ROOT, "survey", "batches.safetensors"))
    models = [AutoModelForCausalLM.from_pretrained(os.path.join(ROOT, "models", name), attn_implementation="eager",
                                                   torch_dtype=torch.float32).eval() for name in ("m_cur", "m_ref")]

    def logits(model, role):
        ids, mask = (batches[f"{role}.{part}"].long() for part in ("input_ids", "attention_mask"))
        return model(input_ids=ids, attention_mask=mask).logits.double()

    labels = {role: batches[f"{role}.labels"].long() for role in ("forget", "retain")}
    with torch.no_grad():
        ref = logits(models[1], "forget")
    for form in FORMS:
        models[0].zero_grad()
        forget = form(logits(models[0], "forget"), ref, labels["forget"])
        retain = F.cross_entropy(logits(models[0], "retain")[:, :-1].transpose(1, 2), labels["retain"][:, 1:])
        (forget + retain).backward()
        out = {"loss": forget + retain, "forget_loss": forget}
        for name, p in models[0].named_parameters():
            flat = p.grad.reshape(-1)
            out["sample." + name] = flat[torch.arange(128) * flat.numel() // 128]
            out["norm." + name] = flat.double().norm()
        save(os.path.join("survey", form.__name__), out)


def on_sines():
    b, t, v = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (2, 6, 128)), indexing="ij")
    cur, ref = 2 * torch.sin(0.7 * b + 1.3 * t + 0.9 * v + 0.1), 2 * torch.cos(0.5 * b + 1.1 * t + 0.8 * v)
    labels = torch.tensor([[-100, -100, 3, 5, 1, 6], [-100, 2, 4, 0, -100, -100]])
    out = {}
    for form in FORMS:
        z = cur.clone().requires_grad_()
        loss = form(z, ref, labels)
        loss.backward()
        out[form.__name__ + ".loss"], out[form.__name__ + ".dz"] = loss, z.grad
        print(f"{form.__name__}: {loss.item():.15g}")
    save("made_up", out)


def save(name, tensors):
    save_file({k: x.detach().float().reshape(x.shape or (1,)).contiguous() for k, x in tensors.items()},
              os.path.join(ROOT, name + ".safetensors"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    on_models()
    on_sines()
