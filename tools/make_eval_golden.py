#!/usr/bin/env python3
"""Writes reference figures for the tests of eval/: intervals, rates, BLEU, n-grams.

    tools/make_eval_golden.py        writes test/data/metrics/{intervals,tpr,bleu,ngrams}.json

Needs numpy 2.1.3, scipy 1.14.1, scikit-learn 1.5.2, sacrebleu 2.6.0. n-gram figures are plain Python.
"""
import json
import math
import os
from collections import Counter

import numpy as np
import sacrebleu
from scipy.stats import beta
from sklearn.metrics import roc_auc_score, roc_curve

DIR = os.path.join(os.path.dirname(__file__), "..", "test", "data", "metrics")


def write(name, value):
    with open(os.path.join(DIR, name + ".json"), "w") as f:
        json.dump(value, f, indent=0)
        f.write("\n")


def bootstrap(v, draws, level, seed):
    """Means of resamples by MT19937: place = u32 * n / 2^32; numpy's linear percentiles."""
    u32 = np.random.RandomState(seed).randint(0, 2**32, size=(draws, len(v)), dtype=np.uint32)
    means = np.asarray(v)[(u32.astype(np.uint64) * np.uint64(len(v))) >> np.uint64(32)].mean(axis=1)
    return list(np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))


def intervals():
    rng = np.random.RandomState(5)
    means = []
    for n, draws, level in [(1, 10, .95), (2, 100, .9), (7, 1000, .95), (40, 2000, .95), (400, 500, .99)]:
        v = list(np.round(rng.gamma(1.0, 1.0, n), 6))
        low, high = bootstrap(v, draws, level, 17)
        means.append({"values": v, "draws": draws, "level": level, "seed": 17, "low": low, "high": high})
    rates = []
    for k, n in [(0, 1), (1, 1), (0, 40), (40, 40), (3, 40), (1, 2), (250, 400), (1, 10000), (9973, 10000), (73, 817)]:
        for level in (.9, .95, .999):
            tail = (1 - level) / 2  # binomtest(k, n).proportion_ci finds the same ends to 1e-7 only
            low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
            high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
            rates.append({"k": k, "n": n, "level": level, "low": low, "high": high})
    return {"means": means, "rates": rates}


def tpr_at(zero, one, most):
    fpr, rate, _ = roc_curve([0] * len(zero) + [1] * len(one), zero + one, drop_intermediate=False)
    return float(rate[fpr <= most].max())


def drawn_again(zero, one, draws, level, seed, figure):
    """The percentiles of a figure of both samples drawn again, zero first, from one stream."""
    stream = np.random.RandomState(seed)
    values = []
    for _ in range(draws):
        take = []
        for v in (zero, one):
            u32 = stream.randint(0, 2**32, size=len(v), dtype=np.uint32).astype(np.uint64)
            take.append([v[int(i)] for i in (u32 * np.uint64(len(v))) >> np.uint64(32)])
        values.append(figure(*take))
    return [float(x) for x in np.quantile(values, [(1 - level) / 2, (1 + level) / 2])]


def tpr():
    rng = np.random.RandomState(6)
    cases = []
    for n0, n1, digits in [(1, 1, 3), (40, 40, 3), (400, 400, 4), (100, 37, 1), (250, 300, 1), (99, 99, 5), (100, 100, 5)]:
        zero = list(np.round(rng.normal(0, 1, n0), digits))
        one = list(np.round(rng.normal(1.5, 1, n1), digits))
        again = (zero, one, 100, .9, 3)
        auc = drawn_again(*again, lambda a, b: roc_auc_score([0] * len(a) + [1] * len(b), a + b))
        for most in (0.01, 0.1):
            cases.append({"label0": zero, "label1": one, "most": most, "tpr": tpr_at(zero, one, most), "draws": 100,
                          "level": .9, "seed": 3, "auc_interval": auc,
                          "tpr_interval": drawn_again(*again, lambda a, b: tpr_at(a, b, most))})
    return cases


HAND = [
    ("", ""), ("", "words"), ("words", ""), ("a", "a"), ("a b", "a b"), ("a b c d e", "a b c d e"),
    ("the cat sat on the mat", "the the the the the the"), ("Hello, world!", "Hello world"),
    ("It cost $3.50, or 1,000.5 pounds (about).", "It costs $3.50 or 1,000.5 pounds (about)."),
    ("well-known 20-year-old e-mail", "well-known 20-year-old email"), ("a.b. c.. d,e", "a . b . c . . d , e"),
    ("&quot;quoted&quot; &amp; &lt;tag&gt;", '"quoted" & <tag>'), ("line one\nline two", "line one line two"),
    ("hyphen-\nated", "hyphenated"), ("naïve café — “quoted”", "naive café “quoted”"), (" spaced   out ", "spaced out"),
    ("日本語のテキスト。", "日本語のテキスト"), ("a/b\\c^d_e`f{g|h}~i", "a / b \\ c ^ d _ e ` f { g | h } ~ i"),
    ("one two three four", "four three two one"), ("x y z", "x y z and then some more words that follow"),
    (".5 5. 5.5 -5 5-", ".5 5. 5.5 - 5 5 -"), ("don't can't", "don't can ' t"), ("<skipped>now", "now"),
]


def bleu():
    with open(os.path.join(DIR, "rouge.json")) as f:
        pairs = HAND + [(c["ground_truth"], c["generation"]) for c in json.load(f)[::5]]
    cases = []
    for truth, guess in pairs:
        s = sacrebleu.sentence_bleu(guess, [truth])
        cases.append({"truth": truth, "guess": guess, "bleu": s.score / 100})
    parts = [pairs[:23], pairs[23:], pairs[3:9]]
    corpora = [{"truth": [t for t, _ in p], "guess": [g for _, g in p],
                "bleu": sacrebleu.corpus_bleu([g for _, g in p], [[t for t, _ in p]]).score / 100} for p in parts]
    return {"sentences": cases, "corpora": corpora}


def ngrams():
    rng = np.random.RandomState(7)
    cases = []
    for na, nb, n, words in [(30, 40, 1, 5), (30, 40, 2, 4), (60, 60, 3, 3), (200, 150, 10, 1), (3, 9, 4, 9), (0, 5, 1, 3), (50, 0, 2, 6)]:
        a = [int(x) for x in rng.randint(0, words, na)]
        b = [int(x) for x in rng.randint(0, words, nb)]
        ca, cb = (Counter(tuple(v[i:i + n]) for i in range(len(v) - n + 1)) for v in (a, b))
        total = sum(ca.values())
        cases.append({"a": a, "b": b, "n": n, "n_a": total, "n_b": sum(cb.values()), "common": sum((ca & cb).values()),
                      "b_in_a": sum(k for g, k in cb.items() if g in ca), "distinct_a": len(ca),
                      "entropy_a": -sum(k / total * math.log2(k / total) for k in ca.values())})
    return cases


write("intervals", intervals())
write("tpr", tpr())
write("bleu", bleu())
write("ngrams", ngrams())
