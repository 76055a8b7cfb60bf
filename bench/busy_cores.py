#!/usr/bin/env python3
"""Speed alone and beside one busy process per core, for several ways of waiting, in one run.

    bench/busy_cores.py [--program ./unlearn] [--rounds 3] [--threads 2] [NAME=VALUE ...]

Ways: as the program comes, spinning (GOMP_SPINCOUNT=300000, libgomp's own choice), OMP_WAIT_POLICY=passive, and
each NAME=VALUE given (GOMP_SPINCOUNT=200). Jobs: fine-tuning SmolLM2 on demo data (its later steps), greedy
generation of one row (the tokens after the first few). Rounds go through all of them in turn, so that what else the
machine does falls on all alike; figures are medians of tokens/s. `alone` is also given as a part of the fastest way
alone, `beside` as a part of the same way alone. What other processes took of the cores during the runs alone is
printed: above a few per cent the figures tell little.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPIN = {"GOMP_SPINCOUNT": "300000"}
BUSY = ["sh", "-c", "while :; do :; done"]


def environment(extra, threads):
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    return dict(env, OMP_NUM_THREADS=str(threads), **extra)


def busy_ticks():
    """Of all cores, of any process: user, nice, system, irq, softirq, steal."""
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return sum(fields[:3]) + sum(fields[5:8])


def train(program, directory, env):
    out = os.path.join(directory, "out")
    subprocess.run(["rm", "-rf", out], check=True)
    subprocess.run([program, "train", "--model", "default", "--data", f"{directory}/rows.jsonl", "--batch", "2",
                    "--locate", "lora", "--save-adapter", "--max-steps", "3", "--quiet", "--overwrite", "--out", out],
                   check=True, env=env, stdout=subprocess.DEVNULL)
    steps = [json.loads(line) for line in open(f"{out}/train.jsonl")]
    return sum(s["tokens"] for s in steps[1:]) / (steps[-1]["seconds"] - steps[0]["seconds"])


def generate(program, directory, env):
    seconds, tokens = [], []
    for most in (4, 28):
        start = time.monotonic()
        done = subprocess.run([program, "generate", "--model", "default", "--data", f"{directory}/prompt.jsonl",
                               "--max-new-tokens", str(most), "--json", "--quiet"],
                              check=True, env=env, capture_output=True, text=True)
        seconds.append(time.monotonic() - start)
        tokens.append(len(json.loads(done.stdout.splitlines()[0])["new_ids"]))
    return (tokens[1] - tokens[0]) / (seconds[1] - seconds[0])


def measure(job, program, directory, env, beside):
    """Tokens/s, and the share of all cores that other processes took."""
    others = [subprocess.Popen(BUSY) for _ in range(os.cpu_count() if beside else 0)]
    before, own, start = busy_ticks(), os.times(), time.monotonic()
    try:
        speed = job(program, directory, env)
    finally:
        for p in others:
            p.kill()
            p.wait()
    hz = os.sysconf("SC_CLK_TCK") * (time.monotonic() - start) * os.cpu_count()
    now = os.times()
    mine = (now.children_user + now.children_system - own.children_user - own.children_system)
    return speed, (busy_ticks() - before - mine * os.sysconf("SC_CLK_TCK")) / hz


def processor():
    lines = [x.split(":")[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")]
    return f"{lines[0]}, {len(lines)} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=f"{ROOT}/unlearn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("ways", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_args()
    ways = {"as it comes": {}, "spinning": SPIN, "passive": {"OMP_WAIT_POLICY": "passive"}}
    ways.update({w: dict([w.split("=", 1)]) for w in args.ways})
    jobs = {"fine-tuning": train, "generation": generate}
    speeds = {(j, w, b): [] for j in jobs for w in ways for b in (False, True)}
    taken = []
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{ROOT}/demo/data/people.jsonl") as rows, open(f"{directory}/rows.jsonl", "w") as f:
            f.writelines(list(rows)[:16])
        with open(f"{directory}/prompt.jsonl", "w") as f:
            f.write('{"question": "Tell me about the sea."}\n')
        for round_ in range(args.rounds):
            for job, way, beside in speeds:
                env = environment(ways[way], args.threads)
                speed, others = measure(jobs[job], args.program, directory, env, beside)
                speeds[job, way, beside].append(speed)
                taken += [] if beside else [others]
                print(f"round {round_ + 1} of {args.rounds}: {job}, {way}, {'beside' if beside else 'alone'}: "
                      f"{speed:.1f} tokens/s, others {100 * others:.0f} %", flush=True)
    middle = {k: statistics.median(v) for k, v in speeds.items()}
    print(f"\n{processor()}, {args.threads} threads; others took {100 * statistics.median(taken):.0f} % of the cores "
          "in the runs alone\n")
    print("| tokens/s | way | alone | of the fastest | beside | of alone |\n|---|---|---|---|---|---|")
    for job in jobs:
        best = max(middle[job, w, False] for w in ways)
        for way in ways:
            alone, beside = middle[job, way, False], middle[job, way, True]
            print(f"| {job} | {way} | {alone:.1f} | {alone / best:.3f} | {beside:.1f} | {beside / alone:.2f} |")


main()
