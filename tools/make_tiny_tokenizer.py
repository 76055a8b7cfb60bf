#!/usr/bin/env python3
"""Writes demo/tiny/: the tokenizer and configuration of a model small enough to train from nothing.

    pip install tokenizers==0.20.3      (in a virtual environment)
    tools/make_tiny_tokenizer.py

Byte-level BPE of about a thousand tokens, trained on the demo's corpus, with the special tokens and the
pre-tokeniser of SmolLM2; and a llama of 0.9 million parameters with a plain ChatML template.
"""
import json
import os

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 1000
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
    "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None,
    "max_position_embeddings": 512, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
    "initializer_range": 0.05, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "torch_dtype": "float32", "use_cache": True,
}
GENERATION = {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def texts(value):
    """Every string of the corpus, whatever the field."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def read_corpus(demo):
    for name in ("people.jsonl", "world_facts.jsonl"):
        with open(os.path.join(demo, "data", name), encoding="utf-8") as lines:
            for line in lines:
                yield from texts(json.loads(line))
    yield "system\nuser\nassistant\nYou are a helpful assistant."


def train(corpus):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    assert tok.get_vocab_size() == VOCAB and [tok.token_to_id(s) for s in SPECIAL] == [0, 1, 2]
    return tok


def tokenizer_config():
    added = {str(i): {"content": s, "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False, "special": True} for i, s in enumerate(SPECIAL)}
    return {"added_tokens_decoder": added, "bos_token": SPECIAL[1], "eos_token": SPECIAL[2],
            "pad_token": SPECIAL[0], "unk_token": SPECIAL[0], "chat_template": CHAT,
            "clean_up_tokenization_spaces": False, "model_max_length": 512,
            "tokenizer_class": "PreTrainedTokenizerFast"}


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
        out.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main():
    demo = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo")
    folder = os.path.join(demo, "tiny")
    os.makedirs(folder, exist_ok=True)
    write(folder, "tokenizer.json", json.loads(train(read_corpus(demo)).to_str()))
    write(folder, "tokenizer_config.json", tokenizer_config())
    write(folder, "config.json", CONFIG)
    write(folder, "generation_config.json", GENERATION)


if __name__ == "__main__":
    main()
