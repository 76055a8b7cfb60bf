#!/usr/bin/env python3
"""Encoding speed of this program beside HF's `tokenizers`, one thread each, in turns, on the same files.

    make build/release/bench/tokenize_bench && pip install tokenizers==0.20.3
    bench/tokenize_vs_hf.py TEXT TOKENIZER...

Both take the whole text at once; processor time, the best of several runs. `tokenizers` reads the tokenizer.json that
tokenize_bench saves, and must give as many ids.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402  (reads the variable)

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release", "bench", "tokenize_bench")
ROUNDS = 3


def ours(tokenizer, path, folder):
    out = subprocess.run([BENCH, tokenizer, path, folder], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"encode ([\d.]+)", out)[1]), int(re.search(r"(\d+) ids", out)[1])


def theirs(tok, text, size):
    start = time.process_time()
    n = len(tok.encode_batch_fast([text], add_special_tokens=False)[0].ids)
    return size / (time.process_time() - start) / 1e6, n


def main():
    path = sys.argv[1]
    with open(path, encoding="utf-8", newline="") as f:
        text = f.read()
    size = len(text.encode())
    for tokenizer in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as folder:
            a = b = 0.0
            for _ in range(ROUNDS):
                speed, n = ours(tokenizer, path, folder)
                a = max(a, speed)
                tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
                for _ in range(2):
                    speed, m = theirs(tok, text, size)
                    b = max(b, speed)
                if n != m:
                    sys.exit(f"{tokenizer}: {n} ids, tokenizers has {m}")
        print(f"{tokenizer}: {a:.1f} MB/s, tokenizers {b:.1f} MB/s, ratio {a / b:.1f}")


if __name__ == "__main__":
    main()
