#!/usr/bin/env python3
"""Writes test/data/tok/added.json: what transformers makes of tokenizers whose tokens and settings lie in several files.

    pip install transformers==4.51.3 tokenizers==0.21.1 sentencepiece==0.2.0 protobuf==5.29.3 tiktoken==0.8.0
    tools/make_tok_added.py          (after tools/make_tok_kinds.py)

A case is a tokenizer of test/data/tok (`base`), keys of its tokenizer.json that are replaced (`patch`), and the files
beside it. `rows`: ids of each text as AutoTokenizer gives them without special tokens; `front` and `back`: what it puts
around them; ids of the special tokens (null: none) and the size with all tokens; `walk` is the test's. Pure ASCII.
"""
import json
import os
import shutil
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer  # noqa: E402

TOK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "data", "tok")
MODEL, GEMMA, GPT2, LLAMA, BYTES, UNIGRAM = ("kinds/llama.model", "kinds/gemma.model", "kinds/gpt2", "kinds/llama.json",
                                            "tokenizer.json", "kinds/unigram.json")
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
TEXTS = ["<x>the woman<y> a</s>b  <x> the", " island<s>", "x<z> <y>  the<|endoftext|>it's 123 e\u0301", "womanthe woman y"]


def token(content, **flags):
    plain = dict(lstrip=False, rstrip=False, single_word=False, normalized=False, special=True)
    return {"content": content, **plain, **flags}


def config(cls, **keys):
    return {CONFIG: {"tokenizer_class": cls, **keys}}


def decoder(*tokens):
    return {"added_tokens_decoder": {str(i): t for i, t in tokens}}


def template(single, **ids):
    parts = [{"Sequence": {"id": p, "type_id": 0}} if p == "A" else {"SpecialToken": {"id": p, "type_id": 0}} for p in single]
    specials = {k: {"id": k, "ids": [v], "tokens": [k]} for k, v in ids.items()}
    return {"type": "TemplateProcessing", "single": parts, "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": specials}


FAST, X, Y = "PreTrainedTokenizerFast", token("<x>"), token("<y>", special=False, rstrip=True)
SEP = [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]
LONE = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
CASES = [
    ("decoder of a model", MODEL, config("LlamaTokenizer", **decoder((420, X), (421, Y))), {}),
    ("not in the order of ids", MODEL, config("LlamaTokenizer", **decoder((500, Y), (450, X))), {}),
    ("an id that is taken", MODEL, config("LlamaTokenizer", **decoder((300, X), (421, Y))), {}),
    ("normalised", MODEL, config("LlamaTokenizer", **decoder((420, token("woman", special=False, normalized=True)))), {}),
    ("a single word", MODEL, config("LlamaTokenizer", **decoder((420, token("woman", single_word=True)), (421, X))), {}),
    ("white space", MODEL, config("LlamaTokenizer", **decoder((420, token("<y>", lstrip=True, rstrip=True)), (421, X))), {}),
    ("eos is added", MODEL, config("LlamaTokenizer", eos_token="<x>", add_eos_token=True, **decoder((420, X))), {}),
    ("added_tokens.json", MODEL, {**config("LlamaTokenizer"), ADDED: {"<y>": 421, "<x>": 420},
                                  MAP: {"additional_special_tokens": ["<x>"]}}, {}),
    ("named alone", MODEL, config("LlamaTokenizer", pad_token="[PAD]", additional_special_tokens=["<y>", "<x>"]), {}),
    ("a map over a config", MODEL, {**config("LlamaTokenizer", eos_token="</s>"), MAP: {"eos_token": "<s>", "pad_token": "<y>"}}, {}),
    ("legacy", MODEL, config("LlamaTokenizer", legacy=True), {}),
    ("not legacy", MODEL, config("LlamaTokenizer", legacy=False, **decoder((420, X))), {}),
    ("no space in front", MODEL, config("LlamaTokenizer", add_prefix_space=False, **decoder((420, X))), {}),
    ("neither", MODEL, config("LlamaTokenizer", legacy=False, add_prefix_space=False), {}),
    ("no bos", MODEL, config("LlamaTokenizerFast", add_bos_token=False), {}),
    ("gemma", GEMMA, config("GemmaTokenizer", bos_token="<s>", eos_token="</s>", **decoder((420, X), (421, token("<y>", special=False)))), {}),
    ("vocab.json", GPT2, config("GPT2Tokenizer", eos_token="<x>", **decoder((512, X), (513, Y))), {}),
    ("vocab.json, added", GPT2, {**config("GPT2Tokenizer"), ADDED: {"<x>": 600, "<y>": 520},
                                 MAP: {"eos_token": {**token("<y>", lstrip=True, normalized=True)}}}, {}),
    ("vocab.json, bos and space", GPT2, config("GPT2Tokenizer", add_bos_token=True, add_prefix_space=True), {}),
    ("vocab.json of Qwen2", GPT2, config("Qwen2Tokenizer", **decoder((512, X))), {}),
    ("flags of two files", LLAMA, config(FAST, **decoder((2, token("</s>", rstrip=True)), (420, X))), {}),
    ("flags where a token is named", LLAMA, {**config(FAST, eos_token={
        "__type": "AddedToken", **token("</s>", rstrip=True, normalized=True, special=False)}),
                                             MAP: {"bos_token": token("<x>", lstrip=True)}}, {}),
    ("flags of a list and of a name", LLAMA, config(FAST, eos_token={
        "__type": "AddedToken", **token("<y>", rstrip=False, lstrip=True)}, **decoder((420, X), (421, Y))), {}),
    ("a gap", LLAMA, config(FAST, **decoder((500, X))), {}),
    ("a special token that was plain", LLAMA, config(FAST, eos_token="the", extra_special_tokens={"image_token": "<y>"}), {}),
    ("special tokens are split", LLAMA, config(FAST, split_special_tokens=True), {}),
    ("the class knows better", LLAMA, config("LlamaTokenizer", add_bos_token=False, add_eos_token=True),
     {"post_processor": template("A")}),
    ("the class knows less", LLAMA, config(FAST, add_bos_token=True, bos_token="<s>"), {}),
    ("a template", LLAMA, config(FAST), {"post_processor": template(["<s>", "A", "</s>"], **{"<s>": 1, "</s>": 2})}),
    ("a template in a sequence", LLAMA, config(FAST, eos_token="</s>"), {"post_processor": {
        "type": "Sequence", "processors": SEP + [template(["</s>", "A"], **{"</s>": 2})]}}),
    ("as RoBERTa", BYTES, config(FAST), {"post_processor": {
        "type": "RobertaProcessing", "sep": ["<|im_end|>", 2], "cls": ["<|im_start|>", 1], "trim_offsets": True,
        "add_prefix_space": False}}),
    ("GPT-NeoX", BYTES, config("GPTNeoXTokenizer", add_bos_token=True), {"post_processor": None}),
    ("a space as ByteLevel has it", BYTES, config(FAST), {"pre_tokenizer": LONE}),
    ("a space as the config has it", BYTES, config(FAST, add_prefix_space=True),
     {"pre_tokenizer": dict(LONE, add_prefix_space=False)}),
    ("added to BPE", BYTES, config(FAST, pad_token="<pad>", **decoder((514, X), (515, Y))), {}),
    ("added to unigram", UNIGRAM, config(FAST, **decoder((160, X), (161, token("<y>", special=False, normalized=True)))), {}),
]

WALKED = ("decoder of a model", "not legacy", "vocab.json", "as RoBERTa")  # every allocation fails once


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
        json.dump(value, out)


def make(folder, base, files, patch):
    source = os.path.join(TOK, base)
    if os.path.isdir(source):
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(os.path.join(source, name), folder)
    elif base.endswith(".model"):
        shutil.copy(source, os.path.join(folder, "tokenizer.model"))
    else:
        with open(source, encoding="utf-8") as f:
            write(folder, "tokenizer.json", {**json.load(f), **patch})
    for name, value in files.items():
        write(folder, name, value)


def around(tok, ids):
    """The id in front of a text and the one behind it."""
    whole = tok("the")["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i:i + len(ids)] == ids)
    sides = whole[:at], whole[at + len(ids):]
    assert all(len(s) < 2 for s in sides)
    return [s[0] if s else None for s in sides]


def main():
    sets = []
    for name, base, files, patch in CASES:
        with tempfile.TemporaryDirectory() as folder:
            make(folder, base, files, patch)
            tok = AutoTokenizer.from_pretrained(folder)
        encode = lambda text: tok(text, add_special_tokens=False)["input_ids"]  # noqa: E731
        front, back = around(tok, encode("the"))
        sets.append({"name": name, "walk": name in WALKED, "base": base, "patch": patch, "files": files, "size": len(tok), "front": front,
                     "back": back, "bos": tok.bos_token_id, "eos": tok.eos_token_id, "pad": tok.pad_token_id,
                     "unk": tok.unk_token_id, "rows": [encode(text) for text in TEXTS]})
    with open(os.path.join(TOK, "added.json"), "w", encoding="utf-8") as out:
        out.write('{"texts": %s, "sets": [\n' % json.dumps(TEXTS))
        out.write(",\n".join(json.dumps(s, separators=(",", ":")) for s in sets) + "\n]}\n")


if __name__ == "__main__":
    main()
