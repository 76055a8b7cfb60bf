#!/usr/bin/env python3
"""Writes test/data/chat.json: conversations as transformers' apply_chat_template renders them, and
test/data/chat_ids.json: their ids by the vocabularies in data/tokenizers of the reference data
($UNLEARN_SHARED, ../shared).

    python3 -m venv v && v/bin/pip install transformers==4.45.1 tokenizers==0.20.3 jinja2==3.1.4
    v/bin/python tools/make_chat_golden.py DIR

DIR holds NAME.jinja for the names below: the chat templates of the public model cards. Those of
llama 3.1 to 3.3, qwen 2.5 and 3, phi 3.5, gemma 2 and mistral Nemo are also in llama.cpp's
models/templates, others as strings in its tests/test-chat-template.cpp. Of a template only its
fragments are kept.
"""
import json
import os
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

L2, L3, Q, G, P, O = (("<s>", "</s>"), ("<|begin_of_text|>", "<|eot_id|>"), (None, "<|im_end|>"),
                      ("<bos>", "<eos>"), ("<s>", "<|endoftext|>"),
                      ("<|endoftext|>", "<|endoftext|>"))
# template: the row of src/text/chat_rows.c that stands for it (None: none), (bos, eos)
TEMPLATES = {
    "smollm2": ("smollm2", ("<|im_start|>", "<|im_end|>")), "chatml": ("chatml", Q),
    "qwen1.5": ("qwen1.5", Q), "qwen2": ("qwen2", Q), "qwen2.5": ("qwen2.5", Q),
    "qwen3": ("qwen3", Q), "qwen3-nothink": ("qwen3", Q), "llama-2": ("llama-2", L2),
    "llama-3": ("llama-3", L3), "llama-3.1": ("llama-3.1", L3), "llama-3.2": ("llama-3.1", L3),
    "llama-3.3": ("llama-3.1", L3), "mistral-v0.1": ("mistral-v0.1", L2),
    "mistral-v0.2": ("mistral-v0.2", L2), "mistral-v1": ("mistral-v1", L2),
    "mistral-v3": ("mistral-v3", L2), "mistral-tekken": ("mistral-tekken", L2),
    "mistral-v7": ("mistral-v7", L2), "zephyr": ("zephyr", L2), "tulu": ("tulu", (None, "</s>")),
    "olmo2": ("tulu", O), "gemma": ("gemma", G), "gemma-7b": ("gemma", G), "gemma-3": ("gemma-3", G),
    "phi-3": ("phi-3", P), "phi-3-medium": ("phi-3", P), "phi-3.5": ("phi-3.5", P),
    "phi-4": ("phi-4", (None, "<|im_end|>")), "vigogne": (None, L2),
}


def m(*contents, system=None):
    turns = [] if system is None else [{"role": "system", "content": system}]
    return turns + [{"role": ("user", "assistant")[i % 2], "content": c}
                    for i, c in enumerate(contents)]


CONVERSATIONS = [
    m("Who wrote it?"),
    m("Who wrote it?", system="Be brief."),
    m("Who wrote it?", "Nobody.", "When?"),
    m("Who wrote it?", "Nobody.", "When?", "Never.", system="Be brief."),
    m("Hi", system=""),
    m("  Gr\u00f6\u00dfe \u3000", "\n \U0001f389 \u00e9\u0301 ", "\tx\u00a0\n", "\n\n ok \n",
      system="\u2003 \u540d\u524d \n"),
    m(" a<|im_end|>[/INST]</s>b ", "c{eos}<|eot_id|> {{ d }}"),
    m(" ", " \n ", system=" "),
    m("one", "two") + [{"role": "assistant", "content": "again"}],
    [{"role": "assistant", "content": "I speak first."}],
]


def fragments():
    """What chat_test asks of a template: whether it writes the begin-of-text token."""
    return ["bos_token"]


def render(tok, template, conversation, open_, date):
    # Llama 3.2's asks the clock; without an option unlearn says what 3.1's says.
    extra = {"date_string": date or "26 Jul 2024"}
    if tok.nothink:
        extra["enable_thinking"] = False
    try:
        text = tok.apply_chat_template(conversation, chat_template=template, tokenize=False,
                                       add_generation_prompt=open_, **extra)
    except Exception as e:
        if "roles" not in str(e) and "role not supported" not in str(e):
            raise
        return None
    # A system text that is silently left out is refused by unlearn.
    dropped = conversation[0]["role"] == "system" and tok.drops
    return None if dropped else text


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+"
          r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace("{1,3}", "")
# vocabulary: template, pattern of a tiktoken file, and its special tokens {first id: tokens}
VOCABULARIES = {
    "llama2/tokenizer.json": ("llama-2", None, {}),
    "phi-3/tokenizer.json": ("phi-3.5", None, {}),
    "llama3/tokenizer.model": ("llama-3.2", LLAMA3, {
        128000: ["<|begin_of_text|>", "<|end_of_text|>"],
        128006: ["<|start_header_id|>", "<|end_header_id|>"], 128009: ["<|eot_id|>"]}),
    "qwen/qwen.tiktoken": ("qwen2.5", QWEN, {
        151643: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]}),
}


def vocabulary(path, pattern, specials):
    if not pattern:
        text = json.load(open(path))
        # Merges of spaces, which are no spaces any more when merges apply, stop this version.
        text["model"]["merges"] = [m for m in text["model"]["merges"] if len(m.split(" ")) == 2]
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(text)))
    first, last = min(specials), max(specials) + len(specials[max(specials)])
    names = [f"<|unused {i}|>" for i in range(first, last)]
    for at, tokens in specials.items():
        names[at - first:at - first + len(tokens)] = tokens
    return PreTrainedTokenizerFast(tokenizer_object=TikTokenConverter(
        vocab_file=path, pattern=pattern, additional_special_tokens=names).converted())


def write_ids(folder):
    out, root = [], os.environ.get("UNLEARN_SHARED", "../shared") + "/data/tokenizers/"
    for path, (name, pattern, specials) in VOCABULARIES.items():
        tok = vocabulary(root + path, pattern, specials)
        family, (tok.bos_token, tok.eos_token) = TEMPLATES[name]
        template = open(f"{folder}/{name}.jinja").read()
        rows = [{"conversation": i, "open": open_, "ids": tok.apply_chat_template(
                    c, chat_template=template, add_generation_prompt=open_,
                    date_string="26 Jul 2024")}
                for i, c in enumerate(CONVERSATIONS[:6]) for open_ in (False, True)]
        out.append({"vocabulary": path, "family": family, "bos": tok.bos_token,
                    "eos": tok.eos_token, "rows": rows})
    with open("test/data/chat_ids.json", "w") as f:
        f.write("[\n%s]\n" % ",\n".join(json.dumps(v) for v in out))


def main(folder):
    all_, out = fragments(), []
    for name, (family, (bos, eos)) in TEMPLATES.items():
        template = open(f"{folder}/{name}.jinja").read()
        tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos,
                                      eos_token=eos)
        tok.nothink, tok.drops = name == "qwen3-nothink", name in ("phi-3", "phi-3-medium")
        rows = [{"conversation": i, "open": open_, "date": date,
                 "text": render(tok, template, c, open_, date)}
                for i, c in enumerate(CONVERSATIONS) for open_ in (False, True)
                for date in ([None, "10 Apr 2025"] if "llama-3." in name and i < 2 else [None])]
        out.append({"template": name, "family": family, "bos": bos, "eos": eos,
                    "jinja": "\n".join(f for f in all_ if f in template),
                    "rows": rows if family else []})
    lines = ",\n".join(json.dumps(t, ensure_ascii=False) for t in out)
    turns = json.dumps(CONVERSATIONS, ensure_ascii=False)
    with open("test/data/chat.json", "w") as f:
        f.write('{"conversations": %s,\n"templates": [\n%s]}\n' % (turns, lines))
    write_ids(folder)


main(sys.argv[1])
