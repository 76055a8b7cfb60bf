#!/usr/bin/env python3
"""Writes test/data/tok/kinds/: tiny tokenizers of every kind, and what the original programs make of texts.

    pip install sentencepiece==0.2.0 tokenizers==0.20.3 transformers==4.45.1 tiktoken==0.8.0 gguf protobuf
    tools/make_tok_kinds.py          (after tools/make_tok_golden.py)

Models are trained by sentencepiece and rewritten as tokenizer.json (transformers' converter), GGUF, llama2.c's
tokenizer.bin, vocab.json with merges.txt, and a tiktoken list. cases.json has the texts, and for each file
`rows` of ids and, where it is not the text, the decoded text. Pure ASCII.
"""
import base64
import io
import json
import os
import struct
import unicodedata

import gguf
import sentencepiece as spm
import tiktoken
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Tokenizer
from transformers import LlamaTokenizer
from transformers.convert_slow_tokenizer import LlamaConverter

from make_tok_golden import BYTES, CORPUS, TEXTS, WORDS

HERE = os.path.dirname(os.path.abspath(__file__))
TOK = os.path.join(HERE, "..", "test", "data", "tok")
OUT = os.path.join(TOK, "kinds")

# A U+2581 in a text is a space to SentencePiece; its programs disagree on what a NUL is.
MORE = ["The  old   woman", "  The woman", "woman  ", "<s>The woman</s>", "a<mask>b <mask> c", "12345 of 6789",
        "\ud55c\uad6d \u4e16\u754c \U0001f600", "\u00e9t\u00e9 na\u00efve", "\t\tthe\n\n  end", "<0x41> <unk>",
        "a aaa aaaaa aaaaaaaaa ooo ooooooooo mmm mmmmm", "the the the the island the water the boy"]
SPM_TEXTS = [t for t in TEXTS + MORE if "\x00" not in t and "\u2581" not in t]

MODELS = {
    "llama": dict(model_type="bpe", vocab_size=420, byte_fallback=True, split_digits=True, remove_extra_whitespaces=False,
                  allow_whitespace_only_pieces=True),
    "gemma": dict(model_type="bpe", vocab_size=420, byte_fallback=True, add_dummy_prefix=False,
                  remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                  user_defined_symbols=["<mask>", "\u2581\u2581", "\u2581\u2581\u2581", "\n\n"]),
    "phrases": dict(model_type="bpe", vocab_size=400, split_by_whitespace=False, remove_extra_whitespaces=False),
    "tidy": dict(model_type="bpe", vocab_size=180),
    "unigram": dict(model_type="unigram", vocab_size=160, remove_extra_whitespaces=False),
    "unigram_bytes": dict(model_type="unigram", vocab_size=400, byte_fallback=True),
}


def train(name, options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter((CORPUS + ["aaaa aa hmmmm oooo oo aaaaaa"]) * 3), model_writer=out, normalization_rule_name="identity",
                                   character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, **options)
    proto = pb.ModelProto.FromString(out.getvalue())
    proto.trainer_spec.ClearField("user_defined_symbols")
    data = proto.SerializeToString()
    with open(os.path.join(OUT, name + ".model"), "wb") as f:
        f.write(data)
    return spm.SentencePieceProcessor(model_proto=data), proto


def rows_of(sp, texts):
    """As a token's text, unk is <unk>; sentencepiece itself prints another sign for it."""
    return [row(text, sp.encode(text), sp.decode(sp.encode(text)).replace(" \u2047 ", "<unk>")) for text in texts]


def row(text, ids, decoded):
    return {"ids": ids} if decoded == text else {"ids": ids, "decoded": decoded}


def write_gguf(path, proto):
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([p.piece.encode() for p in proto.pieces])
    w.add_token_scores([p.score for p in proto.pieces])
    w.add_token_types([p.type for p in proto.pieces])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_llama2c(path, proto):
    texts = [b"<unk>", b"\n<s>\n", b"\n</s>\n"] + [p.piece.replace("\u2581", " ").encode() for p in proto.pieces[3:]]
    with open(path, "wb") as f:
        f.write(struct.pack("<i", max(map(len, texts))))
        for text, piece in zip(texts, proto.pieces):
            f.write(struct.pack("<fi", piece.score, len(text)) + text)


def llama_json(model_path):
    """What transformers makes of the .model, with and without the older normaliser."""
    for legacy in (True, False):
        slow = LlamaTokenizer(model_path, legacy=legacy)
        yield json.loads(LlamaConverter(slow).converted().to_str())


def unigram_json(proto):
    marks = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": marks,
            "post_processor": None, "decoder": marks, "added_tokens": [],
            "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                      "vocab": [[p.piece, p.score] for p in proto.pieces]}}


def write_json(name, doc, texts):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        json.dump(doc, f, separators=(",", ":"))
        f.write("\n")
    tok = Tokenizer.from_str(json.dumps(doc))
    rows = []
    for text in texts:
        ids = tok.encode(text, add_special_tokens=False).ids
        rows.append(row(text, ids, tok.decode(ids, skip_special_tokens=False)))
    return rows


def byte_symbols():
    """GPT-2's alphabet: symbol of each byte."""
    plain = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(rest)}}


def write_gpt2(base):
    folder = os.path.join(OUT, "gpt2")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump(base["model"]["vocab"], f)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in map(pair, base["model"]["merges"])))
    doc = dict(base, added_tokens=[base["added_tokens"][0]],
               pre_tokenizer=dict(BYTES, use_regex=True))
    tok = Tokenizer.from_str(json.dumps(doc))
    return [row(t, tok.encode(t).ids, tok.decode(tok.encode(t).ids, skip_special_tokens=False)) for t in TEXTS]


def pair(merge):
    return merge.split(" ") if isinstance(merge, str) else merge


def write_tiktoken(base, name, pattern):
    """The bytes, then the merges' tokens in order, as a list of ranks."""
    symbols = byte_symbols()
    words = [bytes([b]) for b in range(256)]
    for merge in base["model"]["merges"]:
        words.append(bytes(symbols[c] for c in "".join(pair(merge))))
    ranks = {w: i for i, w in enumerate(dict.fromkeys(words))}
    with open(os.path.join(OUT, name), "w", encoding="ascii") as f:
        for word, rank in ranks.items():
            f.write(f"{base64.b64encode(word).decode()} {rank}\n")
    enc = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    rows = []
    for text in TEXTS:  # Qwen's code normalises before it calls tiktoken
        ids = enc.encode_ordinary(unicodedata.normalize("NFC", text) if name.startswith("qwen") else text)
        rows.append(row(text, ids, enc.decode(ids)))
    return rows


def main():
    os.makedirs(OUT, exist_ok=True)
    sets = []

    def add(file, texts, rows, lossless, specials=False):
        """`gguf`: how many texts have the same ids through a GGUF; null: it has no keys for this tokenizer. To a
        text that begins with a space llama.cpp adds another, the newer kind of Llama tokenizer does not."""
        same = [t for t in (SPM_TEXTS if texts == "spm" else TEXTS)
                if file != "llama_first.json" or not t.startswith((" ", "<s>"))]
        none = ("tidy.model", "unigram_bytes.model", "llama2c.bin", "unigram.json")
        sets.append({"file": file, "texts": texts, "specials": specials, "lossless": lossless,
                     "gguf": None if file in none else len(same), "rows": rows})

    protos = {}
    for name, options in MODELS.items():
        sp, protos[name] = train(name, options)
        add(name + ".model", "spm", rows_of(sp, SPM_TEXTS), name in ("llama", "gemma"))
        if name == "llama":
            write_gguf(os.path.join(OUT, "llama.gguf"), protos[name])
            write_llama2c(os.path.join(OUT, "llama2c.bin"), protos[name])
            add("llama.gguf", "spm", rows_of(sp, SPM_TEXTS), True)
            add("llama2c.bin", "spm", rows_of(sp, SPM_TEXTS), True)
    for name, doc in zip(("llama.json", "llama_first.json"), llama_json(os.path.join(OUT, "llama.model"))):
        add(name, "spm", write_json(name, doc, SPM_TEXTS), False, True)
    add("unigram.json", "spm", write_json("unigram.json", unigram_json(protos["unigram"]), SPM_TEXTS), False, True)
    with open(os.path.join(TOK, "tokenizer.json"), encoding="utf-8") as f:
        base = json.load(f)
    add("gpt2", "bytes", write_gpt2(base), True, True)
    add("llama3_tiny.tiktoken", "bytes", write_tiktoken(base, "llama3_tiny.tiktoken", WORDS % r"\p{N}{1,3}"), True)
    add("qwen_tiny.tiktoken", "bytes", write_tiktoken(base, "qwen_tiny.tiktoken", WORDS % r"\p{N}"), False)
    with open(os.path.join(OUT, "cases.json"), "w", encoding="utf-8") as f:
        json.dump({"texts": {"spm": SPM_TEXTS, "bytes": TEXTS}, "sets": sets}, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
