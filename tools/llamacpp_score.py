#!/usr/bin/env python3
"""What llama.cpp makes of token ids, for test/llamacpp.t: tools/llamacpp_score.py MODEL.gguf < rows > answers.

A row is {"ids": [...]} or {"text": "..."}, which is tokenised without anything in front. The answer holds the
ids and, for ids 1, 2, ..., "logp": the log-probability after the ids before; "top": the likeliest id there;
"gap": how far the id's logit is below that of the likeliest. All in f32 but what the weights' type does to the
activations that meet them. llama-cpp-python 0.3.x.
"""
import ctypes
import json
import sys

import llama_cpp as lc
import numpy as np

F32, FLASH_OFF = 0, 0


def tokenize(vocab, text):
    b = text.encode()
    ids = (lc.llama_token * (len(b) + 8))()
    n = lc.llama_tokenize(vocab, b, len(b), ids, len(ids), False, True)
    return ids[:n]


def logits_of(ctx, ids, n_vocab):
    lc.llama_memory_clear(lc.llama_get_memory(ctx), True)
    batch = lc.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, t in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = t, i, 1, 1
        batch.seq_id[i][0] = 0
    if lc.llama_decode(ctx, batch):
        sys.exit("llama_decode failed")
    out = np.stack([np.ctypeslib.as_array(lc.llama_get_logits_ith(ctx, i), (n_vocab,)).copy()
                    for i in range(len(ids))]).astype(np.float64)
    lc.llama_batch_free(batch)
    return out


def answer(ids, z):
    z, at = z[:-1], np.arange(len(ids) - 1)
    top, own = z.max(axis=1), z[at, ids[1:]]
    total = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return {"ids": list(ids), "logp": (own - total).tolist(), "top": z.argmax(axis=1).tolist(),
            "gap": (top - own).tolist()}


def main():
    quiet = lc.llama_log_callback(lambda level, text, data: None)
    lc.llama_log_set(quiet, ctypes.c_void_p(0))
    lc.llama_backend_init()
    how = lc.llama_model_default_params()
    how.n_gpu_layers = 0
    model = lc.llama_model_load_from_file(sys.argv[1].encode(), how)
    if not model:
        sys.exit(f"llama.cpp does not load {sys.argv[1]}")
    vocab = lc.llama_model_get_vocab(model)
    params = lc.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_threads, params.n_threads_batch = 256, 256, 256, 1, 1
    params.type_k = params.type_v = F32
    params.flash_attn_type = FLASH_OFF
    ctx = lc.llama_init_from_model(model, params)
    for line in sys.stdin:
        row = json.loads(line)
        if "ids" in row:
            print(json.dumps(answer(row["ids"], logits_of(ctx, row["ids"], lc.llama_vocab_n_tokens(vocab)))))
        else:
            print(json.dumps({"ids": list(tokenize(vocab, row["text"]))}))


if __name__ == "__main__":
    main()
