#!/usr/bin/env python3
"""Writes test/data/attacks/prompt.json: questions in ciphers, by Python's own string functions.

    tools/make_prompt_golden.py > test/data/attacks/prompt.json
"""
import base64
import json

QUESTIONS = ["Who wrote The Glass Orchard?", "Qui a écrit « L'Été » ?", "Zebra xylophone, 1987: 3 of 5.", "a"]


def leet(s):
    return s.translate({**str.maketrans("aeiost", "431057"), **str.maketrans("AEIOST", "431057")})


def caesar(s, k):
    def move(c):
        for first in "aA":
            if c.isascii() and c.isalpha() and ord(first) <= ord(c) < ord(first) + 26:
                return chr((ord(c) - ord(first) + k) % 26 + ord(first))
        return c
    return "".join(map(move, s))


def noise(s, n):
    out, marks = "", 0
    for i, c in enumerate(s, 1):
        out += c
        if i % n == 0:
            out += "~_."[marks % 3]
            marks += 1
    return out


rows = [{"question": q, "leet": leet(q), "caesar3": caesar(q, 3), "base64": base64.b64encode(q.encode()).decode(),
         "reversed": " ".join(w[::-1] for w in q.split(" ")), "spaced": "   ".join(" ".join(w) for w in q.split(" ")),
         "noise_1": noise(q, 1), "noise_3": noise(q, 3), "noise_7": noise(q, 7)} for q in QUESTIONS]
print(json.dumps(rows, indent=1))
