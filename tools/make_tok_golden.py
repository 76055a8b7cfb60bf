#!/usr/bin/env python3
"""Writes test/data/tok/: a small tokenizer and the ids that HF's `tokenizers` gives for texts of all kinds.

    pip install tokenizers==0.20.3      (in a virtual environment)
    tools/make_tok_golden.py

tokenizer.json is byte-level BPE of 512 tokens with SmolLM2's pre-tokeniser; cases.json has the texts, and for
each variant what to change in tokenizer.json and the ids: `ids` with special tokens parsed, `plain` where
they are not and that differs, `decoded` where decode(ids) is not the text. Pure ASCII.
"""
import copy
import json
import os
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers import AddedToken

VOCAB = 512
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}

CORPUS = """The old woman lived in a small white house by the harbour, and every morning she walked down to the water.
She didn't talk much; the sailors said that she'd seen forty-one winters there, and that they weren't kind ones.
"What is the name of the island?" asked the boy. "It's called Halla," she answered, "and it's further than you think."
Numbers such as 12, 345 and 6789 are cut into digits. Tabs\tand\n\nlines are kept. Code: for (int i = 0; i < n; i++) sum += a[i];
Question: Who is the author of the book? Answer: The author of the book is not known. You are a helpful assistant.
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Où est la bibliothèque? Привет, мир! 你好,世界。
""".split("\n")

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "a", " a", "the", " the", "The name of the island",
    "Hello world", "  leading and trailing  ", "don't we'll you've I'm she'd they're it's", "DON'T WE'LL it'S",
    "1", " 1", "12", "123456", "3.14159", "a1b2c3", "\u00b2\u00b3\u2460\u2167 \u0664\u0665", "\u00bd cup",
    "foo   bar", "foo\t\tbar", "line one\nline two\n\n\nline five", "trailing newline\n", "x \n\n y",
    "for (int i = 0; i < n; i++) { a[i] += b[i]; }", "!!! ??? ... ---", "e-mail: some.one@example.org",
    "Gr\u00fc\u00dfe aus K\u00f6ln", "e\u0301 \u00e9 n\u0303o", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643",
    "\u4f60\u597d\uff0c\u4e16\u754c", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 emoji", "\U0001d4d0\U0001d4d1 math", "zero\u200bwidth",
    "nbsp\u00a0here\u2003em\u3000ideographic", "mongolian\u180evowel", "next\u0085line\u2028sep\u2029par",
    "\x00nul\x00", "\x01\x02\x07\x1b[0m\x7f", "\ufeffbom", "\uffff\ufffd", "\U0010ffff",
    "<|im_start|>user\nHi<|im_end|>\n", "a<|endoftext|>b", "<|im_start|><|im_start|>", "<|im_start", "<|im_end|",
    "a<sep>b", "<sep><sep>>", "see [NOTE] and [NOTES] here", "caf\u00e9 [NOTE]", "x" * 70, " ".join(["the"] * 40),
    "a  <sep>\u3000\n b [NOTE]\n x[NOTE] [NOTE]y [NOTE].", "<|im_start|> \n a \t<|im_end|> b", "block\u00e9 block lock",
    "\ufb01ne \u2460 \uff21", "Question: Who is the author?\nAnswer: It isn't known.", "\u017fpecial 'S'\u017f 'LL",
]

VARIANTS = [
    ("smollm", {}, {}),
    ("gpt2", {"pre_tokenizer": {**BYTES, "use_regex": True}}, {}),
    ("llama3", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": WORDS % r"\p{N}{1,3}"}, "behavior": "Isolated", "invert": False}, BYTES]}},
     {"ignore_merges": True}),
    ("qwen2", {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": WORDS % r"\p{N}"}, "behavior": "Isolated", "invert": False}, BYTES]}}, {}),
    ("kept", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"\w+|[^\w\s]+"}, "behavior": "Removed", "invert": True}, BYTES]}}, {}),
    ("dropped", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "."}, "behavior": "Removed", "invert": False},
        {"type": "Digits", "individual_digits": False}, BYTES]}}, {}),
    ("prefix", {"pre_tokenizer": {**BYTES, "use_regex": True, "add_prefix_space": True}}, {}),
    ("falcon", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"}, {**BYTES, "use_regex": True},
        {"type": "Digits", "individual_digits": False},
        {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": False}]}}, {}),
    ("previous", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"\s|n"}, "behavior": "MergedWithPrevious", "invert": False},
        {"type": "Punctuation", "behavior": "MergedWithNext"}, BYTES]}}, {}),
    ("next", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "o"}, "behavior": "Contiguous", "invert": True},
        {"type": "Split", "pattern": {"Regex": r"[te]"}, "behavior": "MergedWithNext", "invert": True}, BYTES]}}, {}),
    ("normal", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFKC"},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"},
        {"type": "Replace", "pattern": {"String": "the"}, "content": "a"}, {"type": "Prepend", "prepend": "-"}]}}, {}),
    ("nfd", {"normalizer": {"type": "NFD"}}, {}),
    ("marks", {"normalizer": {"type": "Prepend", "prepend": "b"}, "added_tokens": [
        {"id": i, "content": s, "single_word": False, "lstrip": i == 2, "rstrip": i == 1, "normalized": False,
         "special": True} for i, s in enumerate(SPECIAL)] + [
        {"id": 512, "content": "<sep>", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False, "special": False},
        {"id": 513, "content": "[NOTE]", "single_word": True, "lstrip": False, "rstrip": True, "normalized": False, "special": False},
        {"id": 514, "content": "lock", "single_word": True, "lstrip": True, "rstrip": False, "normalized": True, "special": False}]},
     {}),
    # Without the two last tokens: where ids have holes, HF's reader numbers added tokens anew.
    ("gaps", {"added_tokens": [
        {"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True} for i, s in enumerate(SPECIAL)]},
     {"unk_token": "<|endoftext|>", "drop": ["q", "\u00c3", "\u010a"]}),
]


def train():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS * 3, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tok.add_tokens([AddedToken("<sep>", normalized=False), AddedToken("[NOTE]", normalized=True)])
    return json.loads(tok.to_str())


def apply(base, change, model):
    doc = copy.deepcopy(base)
    doc.update(change)
    drop = model.get("drop", [])
    m = doc["model"]
    m.update({k: v for k, v in model.items() if k != "drop"})
    m["vocab"] = {k: v for k, v in m["vocab"].items() if not set(k) & set(drop) or k in SPECIAL}
    m["merges"] = [x for x in m["merges"] if not set("".join(x)) & set(drop)]
    return doc


def row(tok, text):
    tok.encode_special_tokens = False
    ids = tok.encode(text, add_special_tokens=False).ids
    tok.encode_special_tokens = True
    plain = tok.encode(text, add_special_tokens=False).ids
    decoded = tok.decode(ids, skip_special_tokens=False)
    out = {"ids": ids}
    if plain != ids:
        out["plain"] = plain
    if decoded != text:
        out["decoded"] = decoded
    return out


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "data", "tok")
    os.makedirs(folder, exist_ok=True)
    base = train()
    rng = random.Random(7)
    texts = TEXTS + ["".join(rng.choice(" ab\u00e9\u4e16'\n1.<|>") for _ in range(rng.randint(1, 40))) for _ in range(12)]
    variants = []
    for name, change, model in VARIANTS:
        tok = Tokenizer.from_str(json.dumps(apply(base, change, model)))
        variants.append({"name": name, "change": change, "model": model, "rows": [row(tok, t) for t in texts]})
    config = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0], "chat_template": CHAT,
              "tokenizer_class": "PreTrainedTokenizerFast"}
    for name, value in (("tokenizer.json", base), ("tokenizer_config.json", config),
                        ("cases.json", {"texts": texts, "variants": variants})):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            json.dump(value, out, separators=(",", ":"))
            out.write("\n")


if __name__ == "__main__":
    main()
