#!/usr/bin/env python3
"""Generation and prompts from a GGUF, `unlearn` and llama.cpp (llama-cpp-python 0.3) in turns, on one thread.

    bench/generate_vs_llamacpp.py --model M.gguf [--rounds 5] [--tokens 128] [--prompt 512] [--unlearn ./unlearn]

Both continue the same 16 ids greedily one token at a time, at batch 1, and read the same prompt. Each program runs twice a round,
with few tokens and with many; what is compared is the difference, so that loading does not count. Times are user seconds
of the process, which other processes of the machine disturb less than the clock; the table has medians of the rounds.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

PEER = """
import sys
from llama_cpp import Llama
path, prompt, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
m = Llama(path, n_ctx=prompt + tokens + 8, n_threads=1, n_threads_batch=1, verbose=False)
m.eval([(i * 37) % 40000 + 100 for i in range(prompt)])
for k in range(tokens):
    m.eval([m.sample(temp=0)])
"""


def run(command, env):
    """User seconds and peak memory in MiB of a command."""
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)}: exit status {child.returncode}")
    return max(usage.ru_utime, 1e-9), usage.ru_maxrss / 1024


def ids(n):
    return [(i * 37) % 40000 + 100 for i in range(n)]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", required=True)
    p.add_argument("--unlearn", default="./unlearn")
    p.add_argument("--python", default=sys.executable, help="interpreter that has llama_cpp")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tokens", type=int, default=128)
    p.add_argument("--prompt", type=int, default=512)
    o = p.parse_args()
    env = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    with tempfile.TemporaryDirectory() as d:
        rows = {}
        for n in (16, o.prompt):
            rows[n] = os.path.join(d, f"{n}.jsonl")
            with open(rows[n], "w") as f:
                print(json.dumps({"prompt_ids": ids(n)}), file=f)

        def ours(prompt, tokens):
            return run([o.unlearn, "generate", "--model", o.model, "--data", rows[prompt], "--threads", "1",
                        "--max-new-tokens", str(tokens)], env)

        def peer(prompt, tokens):
            return run([o.python, "-c", PEER, o.model, str(prompt), str(tokens)], env)

        rates = {name: {"decode": [], "prompt": [], "memory": []} for name in ("unlearn", "llama.cpp")}
        for _ in range(o.rounds):
            for name, f in (("unlearn", ours), ("llama.cpp", peer)):
                few, _ = f(16, 4)
                many, memory = f(16, 4 + o.tokens)
                long, _ = f(o.prompt, 4)
                rates[name]["decode"].append(o.tokens / (many - few))
                rates[name]["prompt"].append((o.prompt - 16) / (long - few))
                rates[name]["memory"].append(memory)
    print(f"{o.model}: one thread, medians of {o.rounds} rounds, by user seconds")
    for what, unit in (("decode", "tokens/s"), ("prompt", "tokens/s"), ("memory", "MiB")):
        a, b = (statistics.median(rates[name][what]) for name in rates)
        print(f"{what:8} unlearn {a:7.1f} {unit}   llama.cpp {b:7.1f}   ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
