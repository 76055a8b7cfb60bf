"""A model that is open for reading."""
import ctypes as C
from typing import NamedTuple, Optional

import numpy as np

from ._library import CAnswer, CGeneration, CScored, check, lib, take_text, work
from ._rows import to_jsonl, to_text


class Scored(NamedTuple):
    """One sequence: its token ids, those that are scored, and their log-probabilities. row: which one it is of."""

    row: int
    ids: np.ndarray
    labels: np.ndarray
    logprobs: np.ndarray


class Answer(NamedTuple):
    """One generated answer; text is None without a tokenizer."""

    row: int
    sample: int
    ids: np.ndarray
    text: Optional[str]


def _array(pointer, n, dtype):
    return np.ctypeslib.as_array(pointer, (n,)).astype(dtype, copy=True) if n else np.empty(0, dtype)


def _ids(ids):
    ids = np.ascontiguousarray(ids, dtype=np.intc).reshape(-1)
    return ids, ids.ctypes.data_as(C.POINTER(C.c_int))


class Model:
    """Opens the model at a path, or of a name ("default"). options: `unlearn score --help`, "model and text", "conversations".
    It is closed by close(), at the end of a with statement, or with the object. One thread at a time."""

    def __init__(self, model, *, log=None, **options):
        self._pointer, self._session, self._room = C.c_void_p(), C.c_void_p(), 0
        words = [w.encode() for name, value in options.items() if value is not None for w in (name, to_text(value))]
        array = (C.c_char_p * (len(words) + 1))(*words, None)
        pointer = C.c_void_p()
        work(lambda hooks: check(lib.unlearn_engine_open, C.byref(pointer), to_text(model).encode(), array, C.byref(hooks)),
             None, log)
        self._pointer = pointer

    def close(self):
        if self._session:
            lib.unlearn_session_free(self._session)
        if self._pointer:
            lib.unlearn_engine_close(self._pointer)
        self._session, self._pointer, self._room = C.c_void_p(), C.c_void_p(), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_pointer", None):
            self.close()

    def _open(self):
        if not self._pointer:
            raise ValueError("the model is closed")
        return self._pointer

    @property
    def vocab(self):
        return lib.unlearn_engine_vocab(self._open())

    @property
    def positions(self):
        return lib.unlearn_engine_positions(self._open())

    def encode(self, text):
        """Token ids of plain text."""
        ids, n = C.POINTER(C.c_int)(), C.c_int()
        check(lib.unlearn_engine_encode, self._open(), text.encode(), C.byref(ids), C.byref(n))
        try:
            return _array(ids, n.value, np.int64)
        finally:
            lib.unlearn_free(ids)

    def decode(self, ids):
        """Text of token ids, without special tokens."""
        ids, pointer = _ids(ids)
        text = C.c_void_p()
        check(lib.unlearn_engine_decode, self._open(), pointer, len(ids), C.byref(text))
        return take_text(text)

    def score(self, rows, *, progress=None, log=None):
        """A Scored for every answer of rows: (question, answer) pairs, dicts with these fields, or {"ids", "labels"}."""
        text, pointer = to_jsonl(rows), C.c_void_p()
        work(lambda hooks: check(lib.unlearn_score, self._open(), text, len(text), C.byref(hooks), C.byref(pointer)), progress, log)
        out, c = [], CScored()
        for i in range(lib.unlearn_scores_count(pointer)):
            lib.unlearn_scores_get(pointer, i, C.byref(c))
            out.append(Scored(c.row, _array(c.ids, c.n_ids, np.int64), _array(c.labels, c.n, np.int64),
                              _array(c.logprobs, c.n, np.float32)))
        lib.unlearn_scores_free(pointer)
        return out

    def logprobs(self, rows, **how):
        """The log-probabilities of every answer's tokens, a list of float32 arrays."""
        return [s.logprobs for s in self.score(rows, **how)]

    def answers(self, prompts, *, max_new_tokens=200, samples=1, temperature=0.0, top_p=1.0, seed=0, stop=None, progress=None,
                log=None):
        """An Answer for every sample of every prompt: texts, dicts with "question", or {"prompt_ids"}."""
        text, pointer = to_jsonl(prompts), C.c_void_p()
        how = CGeneration(max_new_tokens, samples, temperature, top_p, seed, stop.encode() if stop else None)
        work(lambda hooks: check(lib.unlearn_generate, self._open(), text, len(text), C.byref(how), C.byref(hooks),
                                 C.byref(pointer)), progress, log)
        out, a = [], CAnswer()
        for i in range(lib.unlearn_answers_count(pointer)):
            lib.unlearn_answers_get(pointer, i, C.byref(a))
            out.append(Answer(a.row, a.sample, _array(a.ids, a.n, np.int64), a.text.decode() if a.text is not None else None))
        lib.unlearn_answers_free(pointer)
        return out

    def generate(self, prompts, **how):
        """The texts of the answers: one for each prompt, for samples=n a list of n for each."""
        answers, n = self.answers(prompts, **how), how.get("samples", 1)
        texts = [a.text for a in answers]
        return texts if n == 1 else [texts[i:i + n] for i in range(0, len(texts), n)]

    def _open_session(self, room):
        session = C.c_void_p()
        check(lib.unlearn_session_new, C.byref(session), self._open(), 1, room)
        lib.unlearn_session_free(self._session)
        self._session, self._room = session, room

    def logits(self, ids):
        """The logits [vocab] after a sequence of token ids; what it has in common with the last one is not computed again."""
        ids, pointer = _ids(ids)
        if len(ids) > self._room:
            self._open_session(min(self.positions, max(256, 2 * len(ids))))
        out = np.empty(self.vocab, np.float32)
        self._open()
        check(lib.unlearn_session_sync, self._session, 0, pointer, len(ids), out.ctypes.data_as(C.POINTER(C.c_float)))
        return out
