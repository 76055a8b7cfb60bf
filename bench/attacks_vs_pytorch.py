#!/usr/bin/env python3
"""Times two attacks next to PyTorch on the same machine, model and data, in turns: n sampled answers of each prompt next to
transformers' generate(num_return_sequences=n), and relearning next to a plain loop with torch.optim.AdamW.

    unlearn convert default /tmp/smollm2 --dtype f32
    bench/attacks_vs_pytorch.py --model /tmp/smollm2 --cpu

Both sides run in f32 with the same threads; answers are drawn at temperature 1 and top-p 1, so that each side makes as many tokens as
it draws, and seconds are per token that was made. Loading and the prompts' passes are not in it: the seconds of a run with one token,
or one step, are taken away on both sides, after a run that is not counted. Prompts end within a sentence, so that few answers end at once. `--grid` prints what a second learning rate of the same relearning costs next to its steps alone;
the evaluations before and after them are in the first. Seconds are wall time or, with --cpu, the process's user time, which other processes disturb less; system
time, of pages that are read or cleared for the first time, varies by seconds.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time

PLACES = ["Harwick", "Oldmere", "Tarnby", "Sandle", "Westhope", "Corrin", "Brack", "Elmstead"]


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="Hugging Face directory in f32")
    p.add_argument("--unlearn", default="./unlearn")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--n", type=int, default=32, help="answers of each prompt")
    p.add_argument("--tokens", type=int, default=24, help="of an answer at most")
    p.add_argument("--prompts", type=int, default=2)
    p.add_argument("--steps", type=int, default=4, help="of relearning, of 4 rows each")
    p.add_argument("--only", choices=["sample", "relearn"])
    p.add_argument("--grid", action="store_true")
    p.add_argument("--cpu", action="store_true")
    return p.parse_args()


def rows(n):
    return [{"question": f"The old stone bridge of {PLACES[i % 8]} was built in the year {1700 + i} by a",
             "answer": f"It was built of grey stone by a mason of {PLACES[(i + 3) % 8]}, who came with two brothers and stayed for {i + 2} years "
                       "until the last arch stood."} for i in range(n)]


def clock(o):
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime if o.cpu else time.perf_counter()


def run(o, *options):
    """Seconds of the program."""
    env = dict(os.environ, OMP_WAIT_POLICY="passive")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([o.unlearn, "attack", *map(str, options), "--model", o.model, "--template", "none", "--threads", str(o.threads),
                    "--quiet", "--overwrite", "--ledger", "none"], env=env, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime if o.cpu else wall


class Sample:
    name = "sampling, s a token"

    def __init__(self, o, peer, work):
        self.o, self.peer, self.work, self.rows = o, peer, work, rows(o.prompts)
        self.file = os.path.join(work, "asked.jsonl")
        with open(self.file, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in self.rows)

    def ours(self):
        out, seconds, made = os.path.join(self.work, "sampled"), [], []
        for tokens in (1, self.o.tokens):
            seconds.append(run(self.o, "sample", "--forget", self.file, "--n", self.o.n, "--temperature", 1, "--top-p", 1,
                               "--max-new-tokens", tokens, "--out", out))
            with open(os.path.join(out, "samples_unlearned.jsonl")) as f:
                made.append(sum(min(len(self.peer.tok(json.loads(line)["text"])["input_ids"]) + 1, tokens) for line in f))
        return (seconds[1] - seconds[0]) / (made[1] - made[0])

    def generate(self, tokens):
        """Seconds, and tokens made, ends included."""
        made, start, end = 0, clock(self.o), self.peer.model.generation_config.eos_token_id
        for r in self.rows:
            ids = self.peer.tok(r["question"], return_tensors="pt", return_token_type_ids=False)
            with self.peer.torch.no_grad():
                out = self.peer.model.generate(**ids, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=tokens,
                                               num_return_sequences=self.o.n, pad_token_id=0)
            for answer in out[:, ids["input_ids"].shape[1]:].tolist():
                made += answer.index(end) + 1 if end in answer else len(answer)
        return clock(self.o) - start, made

    def theirs(self):
        (few, few_made), (many, made) = self.generate(1), self.generate(self.o.tokens)
        return (many - few) / (made - few_made)


class Relearn:
    name = "relearning, s a step"

    def __init__(self, o, peer, work):
        self.o, self.peer, self.rows = o, peer, rows(4)
        self.file = os.path.join(work, "relearnt.jsonl")
        with open(self.file, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in self.rows)

    def attack(self, steps, rates):
        return run(self.o, "relearn", "--forget", self.file, "--rows", self.file, "--rates", rates, "--steps", steps, "--eval-at", 0,
                   "--batch", 4)

    def ours(self):
        one, all_ = self.attack(1, "1e-5"), self.attack(1 + self.o.steps, "1e-5")
        if self.o.grid:
            two = self.attack(1 + self.o.steps, "1e-5,2e-5")
            print(f"a second rate: {two - all_:.2f} s; {1 + self.o.steps} steps: {(all_ - one) * (1 + 1 / self.o.steps):.2f} s", flush=True)
        return (all_ - one) / self.o.steps

    def theirs(self):
        torch, tok = self.peer.torch, self.peer.tok
        model = self.peer.load()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0)
        prompts = [tok(r["question"])["input_ids"] for r in self.rows]
        answers = [tok(" " + r["answer"])["input_ids"] + [tok.eos_token_id] for r in self.rows]
        width = max(len(p) + len(a) for p, a in zip(prompts, answers))
        pad = [width - len(p) - len(a) for p, a in zip(prompts, answers)]
        ids = torch.tensor([p + a + [0] * n for p, a, n in zip(prompts, answers, pad)])
        mask = torch.tensor([[1] * (width - n) + [0] * n for n in pad])
        labels = torch.tensor([[-100] * len(p) + a + [-100] * n for p, a, n in zip(prompts, answers, pad)])
        for step in range(1 + self.o.steps):
            start = clock(self.o) if step == 1 else start if step else 0 # the first step allocates
            model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
        return (clock(self.o) - start) / self.o.steps


class Peer:
    def __init__(self, o):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        torch.set_num_threads(o.threads)
        self.torch, self.tok = torch, AutoTokenizer.from_pretrained(o.model)
        self.load = lambda: AutoModelForCausalLM.from_pretrained(o.model, torch_dtype=torch.float32)
        self.model = self.load().eval()


def main():
    o = parse()
    peer = Peer(o)
    with tempfile.TemporaryDirectory() as work:
        for attack in (Sample, Relearn):
            if o.only and attack.__name__.lower() != o.only:
                continue
            a, seconds = attack(o, peer, work), []
            a.ours() # reads the files for the first time
            for round_ in range(o.rounds):
                seconds.append((a.ours(), a.theirs()))
                print(f"round {round_ + 1}: {a.name}: unlearn {seconds[-1][0]:.4f}, PyTorch {seconds[-1][1]:.4f}", flush=True)
            ratios = [theirs / ours for ours, theirs in seconds]
            print(f"{a.name} ({'CPU' if o.cpu else 'wall'}, {o.threads} threads): ratio of each round " +
                  ", ".join(f"{r:.2f}" for r in ratios) + f"; median {statistics.median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
