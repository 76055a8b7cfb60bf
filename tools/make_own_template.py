#!/usr/bin/env python3
"""Writes test/data/own_template.json: questions and answers as token ids by transformers'
apply_chat_template, where nobody gives a system message and the checkpoint's template decides.

    unlearn convert default smollm2 --dtype bf16
    python3 tools/make_own_template.py smollm2        (transformers 4.51.3)

Each entry has a chat template for the tokenizer of test/data/tok, or none: then it is of SmolLM2
(the folder), as its file has it. Rows: `prompt_ids`, the question with the answer's opening, and
`ids`, the conversation up to the token that ends the answer.
"""
import json
import sys

from transformers import AutoTokenizer

TURNS = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
         "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TEMPLATES = {
    "a default system message": "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nAnswer as Ann would.<|im_end|>\n' }}"
                                "{% endif %}" + TURNS,
    "none": TURNS,
    "the begin token, trimmed questions": "{{ bos_token }}" + TURNS.replace("m['content']", "m['content'] | trim"),
    "instructions in the question": "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' ~ m.content ~ ' [/INST]' }}"
                                    "{% elif m.role == 'assistant' %}{{ ' ' ~ m.content ~ eos_token }}{% endif %}{% endfor %}",
    "a date in a system turn of its own": "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"
                                          "{{ '<|im_start|>system\nToday: ' + date_string + '\n\n' }}{% if messages[0].role == 'system' %}"
                                          "{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}{{ '<|im_end|>\n' }}" + TURNS,
}
ROWS = [("Who wrote 'The Book'?", "Nobody did."), ("  When? ", "In 1969, at noon."), ("Größe?", "Ein Meter.")]


def entry(name, tok, template):
    rows = []
    for question, answer in ROWS:
        ask = [{"role": "user", "content": question}]
        prompt = tok.apply_chat_template(ask, chat_template=template, add_generation_prompt=True)
        ids = tok.apply_chat_template(ask + [{"role": "assistant", "content": answer}], chat_template=template)
        end = len(ids) - ids[::-1].index(tok.eos_token_id)
        rows.append({"question": question, "answer": answer, "prompt_ids": prompt, "ids": ids[:end]})
    return {"name": name, "template": template, "rows": rows}


def main(smollm2):
    tok = AutoTokenizer.from_pretrained("test/data/tok")
    out = [entry(name, tok, template) for name, template in TEMPLATES.items()]
    out.append(entry("SmolLM2", AutoTokenizer.from_pretrained(smollm2), None))
    with open("test/data/own_template.json", "w") as f:
        f.write("[\n%s]\n" % ",\n".join(json.dumps(o, ensure_ascii=False) for o in out))


main(sys.argv[1])
