#!/usr/bin/env python3
"""Writes test/data/metrics/rouge_unicode.json: words of texts in many scripts and ROUGE over them, by the
definition of src/eval/texts.h in plain Python (unicodedata of Python 3.10 or later; no packages)."""
import json
import os
from collections import Counter
from unicodedata import category, normalize

UNSPACED = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF),
            (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3040, 0x312F), (0x31A0, 0x31BF),
            (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xA9E0, 0xA9FF),
            (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF)]


def words(text):
    out, state = [], None
    for c in normalize("NFKC", normalize("NFKD", text).casefold()):
        kind = category(c)[0]
        if kind not in "LMN":
            state = None
        elif kind == "M" and state:
            out[-1] += c
        elif kind != "M" and any(a <= ord(c) <= b for a, b in UNSPACED):
            out.append(c)
            state = "single"
        elif state == "run":
            out[-1] += c
        else:
            out.append(c)
            state = "run"
    return out


def lcs(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        before = row[:]
        for j, y in enumerate(b):
            row[j + 1] = before[j] + 1 if x == y else max(before[j + 1], row[j])
    return row[-1]


def rouge(truth, guess):
    a, b = words(truth), words(guess)
    if not a or not b:
        return 0.0, 0.0, 0.0
    n = lcs(a, b)
    p, r = n / len(b), n / len(a)
    return sum((Counter(a) & Counter(b)).values()) / len(a), r, 2 * p * r / (p + r) if n else 0.0


PAIRS = [
    ("東京です。", "東京です。"),
    ("東京は日本の首都です。", "京都は日本の古い都でした。"),
    ("他出生于1985年，住在北京。", "他1985年生於北京"),
    ("сорок две лодки", "сорок две лодки"),
    ("Её звали Анна Каренина, и она жила в Москве.", "ЕЁ ЗВАЛИ АННА; она жила в Петербурге"),
    ("أحمر وأزرق", "أحمر وأزرق"),
    ("وُلِدَ الكاتب في القاهرة عام ١٩١١.", "ولد الكاتب في القاهرة عام 1911"),
    ("می‌خواهم به تهران بروم", "می خواهم به تهران بروم"),
    ("ผมชื่อสมชาย อยู่กรุงเทพฯ", "ผมอยู่ที่กรุงเทพ"),
    ("서울은 대한민국의 수도이다", "서울은 대한민국의 도시이다"),
    ("दिल्ली भारत की राजधानी है।", "मुंबई भारत की राजधानी नहीं है।"),
    ("ភ្នំពេញជារាជធានី", "ភ្នំពេញជាទីក្រុង"),
    ("မြန်မာနိုင်ငံ", "မြန်မာစာ"),
    ("Η Αθήνα είναι η πρωτεύουσα ΤΗΣ Ελλάδος", "η αθηνα είναι πρωτεύουσα της ελλάδοσ"),
    ("Die Straße heißt Große Gasse.", "die STRASSE heisst grosse Gasse"),
    ("Il s'appelle François, né à Orléans", "il s’appelle Franc\u0327ois ne\u0301 a\u0300 Orle\u0301ans"),
    ("İstanbul'da doğdu", "istanbul'da DOĞDU"),
    ("ﬁne ｆｕｌｌ ｗｉｄｔｈ Ⅻ ½ x²", "fine full width XII 1⁄2 x2"),
    ("ｶﾞｷﾞｸﾞ カタカナ", "ガギグ かたかな"),
    ("iPhone是苹果公司2007年发布的手机", "iPhone 是一部手机"),
    ("The author Basil Mahfouz was born in Kuwait.", "Basil was born in Kuwait City"),
    ("𠀀𠀁 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 😀 ok", "𠀁 unicode 😀😀 OK"),
    ("\u0301 mark first, a\u0000b", "mark\u0301 a b"),
    ("…—!?", "東京"),
    ("", "слово"),
    ("ꯃꯤꯇꯩ ՀԱՅ ქართული Ⴀⴀ ᏣᎳᎩ", "հայ ქართული ⴀⴀ ᏣᎳᎩ"),
]

if __name__ == "__main__":
    path = os.path.join(os.path.dirname(__file__), "..", "test", "data", "metrics", "rouge_unicode.json")
    cases = []
    for truth, guess in PAIRS:
        one, recall, f1 = rouge(truth, guess)
        cases.append({"ground_truth": truth, "generation": guess, "tokens_ground_truth": words(truth),
                      "tokens_generation": words(guess), "rouge1_recall": one, "rougeL_recall": recall, "rougeL_f1": f1})
    with open(path, "w") as f:
        json.dump(cases, f, indent=0, ensure_ascii=False)
        f.write("\n")
