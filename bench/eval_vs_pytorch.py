#!/usr/bin/env python3
"""Times `unlearn eval` next to the evaluation loop that OpenUnlearning runs, on the same machine, model and rows.

    unlearn convert default /tmp/smollm2 --dtype f32
    bench/eval_vs_pytorch.py --model /tmp/smollm2 --data ../shared/data/tofu --rows 40

The loop is plain transformers in f32: a forward pass over right-padded batches of 8 for each metric (probability of the
answer, the paraphrase and each wrong answer; exact memorisation; extraction strength), and greedy generation from
left-padded batches of 8. Both sides are given the same threads. Seconds are those of the work, without loading a model;
tokens are counted without padding, each pass for itself, and are the same for both, so that tokens/s compare work done.
--holdout adds the membership attacks: four more passes over the forget and the holdout set, and a backward a row.
Needs torch and transformers (4.45 to 4.51) and the program.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH = 8


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="Hugging Face directory in f32")
    p.add_argument("--data", required=True, help="directory with TOFU's files")
    p.add_argument("--unlearn", default="./unlearn")
    p.add_argument("--rows", type=int, default=40, help="of each data set")
    p.add_argument("--new-tokens", type=int, default=64)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--holdout", action="store_true", help="membership attacks too")
    return p.parse_args()


FILES = {"forget": ("forget01_perturbed", 0), "retain": ("retain_perturbed", 0), "real-authors": ("real_authors_perturbed", 0),
         "world-facts": ("world_facts_perturbed", 0)}
HOLDOUT = ("retain90", 3560)


class Loop:
    """The evaluation as the peer does it; seconds and tokens by part."""

    def __init__(self, o):
        torch.set_num_threads(o.threads)
        self.o = o
        self.tok = AutoTokenizer.from_pretrained(o.model)
        self.model = AutoModelForCausalLM.from_pretrained(o.model, torch_dtype=torch.float32).eval()
        self.eos = self.tok.eos_token_id
        self.seconds, self.tokens = {}, {}

    def ids(self, question, answer=None):
        turns = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": question}]
        prompt = self.tok.apply_chat_template(turns, tokenize=True, add_generation_prompt=True)
        if answer is None:
            return prompt
        turns.append({"role": "assistant", "content": answer})
        return prompt, self.tok.apply_chat_template(turns, tokenize=True)

    def padded(self, seqs, left):
        longest = max(map(len, seqs))
        ids, mask = torch.full((len(seqs), longest), self.eos), torch.zeros(len(seqs), longest, dtype=torch.long)
        for i, s in enumerate(seqs):
            at = slice(longest - len(s), longest) if left else slice(0, len(s))
            ids[i, at], mask[i, at] = torch.tensor(s), 1
        return ids, mask

    def add(self, part, start, tokens):
        self.seconds[part] = self.seconds.get(part, 0) + time.perf_counter() - start
        self.tokens[part] = self.tokens.get(part, 0) + tokens

    @torch.no_grad()
    def score(self, part, pairs):
        """Log-probabilities of the answers' tokens and whether each is the first choice."""
        start, tokens = time.perf_counter(), 0
        for at in range(0, len(pairs), BATCH):
            both = [self.ids(q, a) for q, a in pairs[at:at + BATCH]]
            ids, mask = self.padded([w for _, w in both], left=False)
            labels = ids.masked_fill(mask == 0, -100)
            for i, (prompt, _) in enumerate(both):
                labels[i, :len(prompt)] = -100
            logits = self.model(input_ids=ids, attention_mask=mask).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none")
            (loss.sum(-1) / (labels[:, 1:] != -100).sum(-1)).tolist()
            if part != "probabilities":
                (logits.argmax(-1) == labels[:, 1:]).tolist()
            tokens += int(mask.sum())
        self.add(part, start, tokens)

    @torch.no_grad()
    def generate(self, questions):
        start, tokens = time.perf_counter(), 0
        for at in range(0, len(questions), BATCH):
            ids, mask = self.padded([self.ids(q) for q in questions[at:at + BATCH]], left=True)
            out = self.model.generate(input_ids=ids, attention_mask=mask, do_sample=False, temperature=None, top_p=None,
                                      max_new_tokens=self.o.new_tokens, pad_token_id=self.eos, use_cache=True)
            for row in out[:, ids.shape[1]:].tolist():
                tokens += row.index(self.eos) + 1 if self.eos in row else len(row)
        self.add("generation", start, tokens)

    def gradient(self, pairs):
        start, tokens = time.perf_counter(), 0
        for q, a in pairs:
            prompt, whole = self.ids(q, a)
            ids = torch.tensor([whole])
            labels = ids.clone()
            labels[:, :len(prompt)] = -100
            self.model.zero_grad()
            self.model(input_ids=ids, labels=labels).loss.backward()
            torch.stack([p.grad.norm() for p in self.model.parameters()]).mean().item()
            tokens += len(whole)
        self.model.zero_grad()
        self.add("gradient norms", start, tokens)


def rows_of(o, file, first):
    text = open(os.path.join(o.data, file + ".json")).read()
    rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.splitlines()]
    return rows[first:first + o.rows]


def run_loop(o):
    loop = Loop(o)
    for name, (file, first) in FILES.items():
        rows = rows_of(o, file, first)
        loop.score("probabilities", [(r["question"], r["answer"]) for r in rows])
        if "paraphrased_answer" in rows[0]:
            loop.score("probabilities", [(r["question"], r["paraphrased_answer"]) for r in rows])
        for j in range(len(rows[0]["perturbed_answer"])):
            loop.score("probabilities", [(r["question"], r["perturbed_answer"][j]) for r in rows])
        loop.generate([r["question"] for r in rows])
    forget = [(r["question"], r["answer"]) for r in rows_of(o, *FILES["forget"])]
    for _ in ("exact memorisation", "extraction strength"):
        loop.score("memorisation", forget)
    if o.holdout:
        both = forget + [(r["question"], r["answer"]) for r in rows_of(o, *HOLDOUT)]
        for _ in ("loss", "zlib", "min-k", "min-k++"):
            loop.score("attacks", both)
        loop.gradient(both)
    return loop


def run_unlearn(o):
    """Seconds by phase, as the program notes them."""
    files = dict(FILES, **({"holdout": HOLDOUT} if o.holdout else {}))
    command = [o.unlearn, "eval", "--model", o.model, "--compat", "system_turn",
               "--threads", str(o.threads), "--max-new-tokens", str(o.new_tokens)]
    for name, (file, first) in files.items():
        command += ["--" + name, "%s[%d:%d]" % (os.path.join(o.data, file + ".json"), first, first + o.rows)]
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(command + ["--overwrite", "--out", out], capture_output=True, text=True, check=True,
                              env=dict(os.environ, OMP_NUM_THREADS=str(o.threads)))
    return {what: float(s) for what, s in re.findall(r"^(\w+): \d+ sequences in ([0-9.]+) s", done.stderr, re.M)}


def main():
    o = parse()
    ours, loop = run_unlearn(o), run_loop(o)
    scored = [p for p in ("probabilities", "memorisation", "attacks") if p in loop.seconds]
    parts = [("teacher-forced passes", "score", scored), ("generation", "answer", ["generation"])]
    if o.holdout:
        parts.append(("gradient norms", "gradient", ["gradient norms"]))
    print("%-24s %9s %10s %10s %10s %10s %7s" % ("part", "tokens", "loop s", "tokens/s", "unlearn s", "tokens/s", "ratio"))
    total = [0, 0, 0]
    for name, phase, of in parts:
        tokens, theirs = sum(loop.tokens[p] for p in of), sum(loop.seconds[p] for p in of)
        for i, x in enumerate((tokens, theirs, ours[phase])):
            total[i] += x
        print_part(name, tokens, theirs, ours[phase])
    print_part("all", *total)


def print_part(name, tokens, theirs, ours):
    print("%-24s %9d %10.1f %10.0f %10.1f %10.0f %6.1fx" % (name, tokens, theirs, tokens / theirs, ours, tokens / ours, theirs / ours))


main()
