#!/usr/bin/env python3
"""Times a step of `unlearn attack gcg` next to one of nanoGCG (PyPI nanogcg 0.3.0, torch, transformers), on the same
machine, model, prompt and target, in turns.

    unlearn convert default /tmp/smollm2 --dtype f32
    bench/gcg_vs_nanogcg.py --model /tmp/smollm2

transformers 4.51 refuses nanoGCG's prefix cache; here it is mended (own_caches) or, with --no-cache, left out, as whoever
runs the two together must.

The prompt has 30 tokens, the suffix 20, the target 20; 64 candidates a step from the 256 best tokens of a place, retokenised
alone, no chat template. Both sides run in f32 with the same threads and with their caches of what candidates share. A
round times `--steps` steps of each, one side after the other; loading and the losses before the first step are not in it:
the program is run with 0 and with all steps, and nanoGCG's steps are timed by its own progress. Seconds are wall time or,
with --cpu, the process's CPU time, which other processes disturb less.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import time

PROMPT = "Tell me about the town that stands where two rivers meet, who built its bridge, when the market is held and what kinds of goods are sold there in autumn:"
TARGET = " The bridge was built by a mason from the north who came with his brothers and stayed there for many years after"


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="Hugging Face directory in f32")
    p.add_argument("--unlearn", default="./unlearn")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--cpu", action="store_true")
    p.add_argument("--no-cache", action="store_true", help="nanoGCG without its prefix cache, which it cannot use unmended")
    return p.parse_args()


def exactly(tok, text, n):
    """The first n tokens of the text, as text."""
    ids = tok(text, add_special_tokens=False)["input_ids"]
    assert len(ids) >= n, f"{len(ids)} tokens, {n} are needed"
    return tok.decode(ids[:n])


class Ours:
    def __init__(self, o, prompt, target, init):
        self.o = o
        self.options = ["attack", "gcg", "--model", o.model, "--template", "none", "--message", prompt + "{}", "--answer", target,
                        "--init", init, "--width", "64", "--topk", "256", "--filter", "suffix", "--threads", str(o.threads), "--json",
                        "--quiet"]

    def run(self, steps):
        env = dict(os.environ, OMP_WAIT_POLICY="passive")
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        out = subprocess.run([self.o.unlearn, *self.options, "--steps", str(steps)], env=env, check=True, capture_output=True, text=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        j = json.loads(out.stdout[out.stdout.index("{"):])
        return cpu if self.o.cpu else wall, j["unlearned"]["gcg"]["forget"]["nll"]

    def step(self):
        idle, _ = self.run(0)
        all_, loss = self.run(self.o.steps)
        return (all_ - idle) / self.o.steps, loss


def own_caches(model):
    """nanoGCG 0.3.0 passes lists of keys and values, which transformers 4.51 refuses, and one cache to several calls, which 4.51
    appends to. Each call gets a cache of its own over the same tensors, so that the prefix cache works."""
    from transformers import DynamicCache
    plain = model.forward

    def forward(*args, past_key_values=None, **kwargs):
        if past_key_values is not None:
            layers = range(len(past_key_values))
            past_key_values = DynamicCache.from_legacy_cache(tuple(tuple(past_key_values[i]) for i in layers))
        return plain(*args, past_key_values=past_key_values, **kwargs)

    model.forward = forward


class Theirs:
    def __init__(self, o, prompt, target, init):
        import nanogcg
        import torch
        from nanogcg.gcg import GCG
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(o.threads)
        self.o, self.message, self.target = o, prompt + "{optim_str}", target
        self.tok = AutoTokenizer.from_pretrained(o.model)
        self.tok.chat_template = None
        model = AutoModelForCausalLM.from_pretrained(o.model, torch_dtype=torch.float32).eval()
        if not o.no_cache:
            own_caches(model)
        config = nanogcg.GCGConfig(num_steps=o.steps + 1, optim_str_init=init, search_width=64, topk=256, seed=1, add_space_before_target=False,
                                   use_prefix_cache=not o.no_cache, verbosity="ERROR")
        self.gcg = GCG(model, self.tok, config)
        self.times = []
        plain = self.gcg.compute_token_gradient

        def timed(ids):
            self.times.append(time.process_time() if o.cpu else time.perf_counter())
            return plain(ids)

        self.gcg.compute_token_gradient = timed # the beginning of a step

    def step(self):
        self.times.clear()
        result = self.gcg.run(self.message, self.target)
        return (self.times[-1] - self.times[0]) / self.o.steps, result.best_loss


def main():
    o = parse()
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(o.model)
    prompt, target = exactly(tok, PROMPT, 30), exactly(tok, TARGET, 20)
    init = " ".join(["x"] * 20)
    sides = {"unlearn": Ours(o, prompt, target, init), "nanogcg": Theirs(o, prompt, target, init)}
    seconds = {name: [] for name in sides}
    for round_ in range(o.rounds):
        for name, side in sides.items():
            s, loss = side.step()
            seconds[name].append(s)
            print(f"round {round_ + 1}: {name} {s:.3f} s a step, best loss {loss:.4f}", flush=True)
    ratios = [b / a for a, b in zip(seconds["unlearn"], seconds["nanogcg"])]
    kind = "CPU" if o.cpu else "wall"
    print(f"median: unlearn {1 / statistics.median(seconds['unlearn']):.3f} steps/s, nanogcg "
          f"{1 / statistics.median(seconds['nanogcg']):.3f} steps/s ({kind}, {o.threads} threads); ratio of each round "
          + ", ".join(f"{r:.2f}" for r in ratios))


if __name__ == "__main__":
    main()
