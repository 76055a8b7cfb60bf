"""The package against the command line, on a tiny model. test/python.t runs it: UNLEARN is the program, MODEL a directory."""
import json
import os
import re
import signal
import subprocess
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import unlearn_lm as ul

UNLEARN, MODEL = os.environ["UNLEARN"], os.environ["MODEL"]
FORGET = [{"question": "Where was Ana Ruiz born?", "answer": "In Cadiz."}, {"question": "What does she write?", "answer": "Poems."}]
RETAIN = {"question": ["What is the capital of Spain?", "How many legs has a spider?"], "answer": ["Madrid.", "Eight."]}
HOW = dict(lr=1e-3, epochs=3, max_length=64)
WORDS = ["--lr", "1e-3", "--epochs", "3", "--max-length", "64"]


class Yields:
    """A data set as `datasets` has it: an iterable of dicts."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def command(*words):
    done = subprocess.run([UNLEARN, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def files(tmp_path):
    retain = [dict(zip(RETAIN, r)) for r in zip(*RETAIN.values())]
    return lines(tmp_path / "forget.jsonl", FORGET), lines(tmp_path / "retain.jsonl", retain)


def test_forget_has_the_bits_of_the_command_line(tmp_path, files):
    seen = []
    result = ul.forget(MODEL, Yields(FORGET), RETAIN, out=tmp_path / "a", method="NPO", progress=seen.append,
                       log=lambda text, warning: None, **HOW)
    command("forget", "--quiet", "--ledger", "none", "--model", MODEL, "--method", "NPO", "--forget", files[0], "--retain", files[1],
            "--out", tmp_path / "b", *WORDS)
    bits = [(tmp_path / d / "model.safetensors").read_bytes() for d in "ab"]
    assert bits[0] == bits[1]
    assert bits[0] != Path(MODEL, "model.safetensors").read_bytes()
    assert result.steps > 0 and result.forget_nll[1] != result.forget_nll[0] and not result.finished
    assert any(p.what == "forget" and p.ended for p in seen)
    assert not (tmp_path / "a.rows").exists()


def test_train_from_files(tmp_path, files):
    assert ul.train(MODEL, files[1], out=tmp_path / "t", max_steps=2, log=lambda *_: None).steps == 2


def test_evaluate_has_the_numbers_of_the_command_line(tmp_path, files):
    got = ul.evaluate(MODEL, forget=FORGET, retain=RETAIN, max_new_tokens=4, log=lambda *_: None)
    command("eval", "--quiet", "--ledger", "none", "--model", MODEL, "--forget", files[0], "--retain", files[1], "--max-new-tokens", 4,
            "--out", tmp_path / "e")
    want = {k: json.loads((tmp_path / "e" / f"TOFU_{k.upper()}.json").read_text().replace("NaN", "null")) for k in ("summary", "eval")}
    assert got["summary"] == want["summary"] and got["summary"]
    assert got["eval"] == want["eval"]
    assert got["table"]


def test_logprobs_and_score(files):
    with ul.Model(MODEL) as m:
        mine = m.logprobs(FORGET)
        assert all(a.dtype == np.float32 for a in mine)
        pairs = m.logprobs([(r["question"], r["answer"]) for r in FORGET])
        assert all(np.array_equal(a, b) for a, b in zip(mine, pairs))
        theirs = [json.loads(x) for x in command("score", "--quiet", "--json", "--model", MODEL, "--data", files[0]).splitlines()]
        for a, b in zip(mine, theirs):
            assert np.array_equal(a, np.array(b["logprobs"], np.float32))
        s = m.score(FORGET)[1]
        assert s.row == 1 and s.ids.tolist() == theirs[1]["ids"]
        z = m.logits(s.ids[:-1]).astype(np.float64)
        assert z.shape == (m.vocab,)
        want = s.logprobs[-1]
        assert abs(z[s.labels[-1]] - z.max() - np.log(np.exp(z - z.max()).sum()) - want) < 1e-4


def test_generate(files):
    with ul.Model(MODEL, threads=1) as m:
        mine = m.generate([r["question"] for r in FORGET], max_new_tokens=5)
        rows = [json.loads(x) for x in command("generate", "--quiet", "--json", "--model", MODEL, "--threads", 1, "--data", files[0],
                                               "--max-new-tokens", 5).splitlines()]
        assert mine == [r["text"] for r in rows]
        a = m.answers(FORGET, max_new_tokens=5)
        assert [x.ids.tolist() for x in a] == [r["new_ids"] for r in rows]
        many = m.generate(FORGET, max_new_tokens=3, samples=2, temperature=1.0, seed=7)
        assert [len(x) for x in many] == [2, 2] and many == m.generate(FORGET, max_new_tokens=3, samples=2, temperature=1.0, seed=7)
        assert m.decode(m.encode("Ana Ruiz")) == "Ana Ruiz"
    with pytest.raises(ValueError):
        m.generate(["x"])


def test_errors(tmp_path):
    with pytest.raises(ul.FileMissing) as e:
        ul.Model("/nonexistent")
    assert e.value.code == 3
    with pytest.raises(ul.BadArgument) as e:
        ul.forget(MODEL, FORGET, out=tmp_path / "x", lr="much")
    assert e.value.subject == "lr" and isinstance(e.value, ValueError)
    with pytest.raises(ul.BadArgument, match="did you mean 'epochs'"):
        ul.forget(MODEL, FORGET, RETAIN, out=tmp_path / "x", epoch=3)
    with pytest.raises(ValueError, match="no rows"):
        ul.forget(MODEL, [], out=tmp_path / "x")
    with pytest.raises(ValueError, match="lengths"):
        ul.forget(MODEL, {"question": ["a"], "answer": []}, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_warnings_are_pythons(tmp_path):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ul.train(MODEL, [{"question": "a b", "answer": ""}, *FORGET], out=tmp_path / "w", max_steps=1)
    assert any("answer" in str(w.message) for w in seen)


def test_a_callback_that_raises_ends_the_run(tmp_path):
    def stop(p):
        if p.what == "forget" and p.done >= 1:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ul.forget(MODEL, FORGET, RETAIN, out=tmp_path / "c", progress=stop, log=lambda *_: None, **HOW)


def test_ctrl_c_leaves_a_checkpoint_that_resumes(tmp_path):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with it ignored
    whole = ul.forget(MODEL, FORGET, RETAIN, out=tmp_path / "whole", log=lambda *_: None, lr=1e-3, epochs=40, max_length=64)
    pressed = []

    def press(p):
        if p.what == "forget" and p.done >= 5 and not pressed:
            pressed.append(time.time())
            os.kill(os.getpid(), signal.SIGINT)
        if pressed:
            time.sleep(0.02)  # until the main thread has seen it

    with pytest.raises(KeyboardInterrupt):
        ul.forget(MODEL, FORGET, RETAIN, out=tmp_path / "part", progress=press, log=lambda *_: None, lr=1e-3, epochs=40, max_length=64)
    assert not (tmp_path / "part" / "model.safetensors").exists() and not (tmp_path / "part.rows").exists()
    again = ul.forget(MODEL, FORGET, RETAIN, out=tmp_path / "part", log=lambda *_: None, lr=1e-3, epochs=40, max_length=64, resume=True)
    assert 0 < again.steps < whole.steps  # those after the checkpoint
    bits = [(tmp_path / d / "model.safetensors").read_bytes() for d in ("whole", "part")]
    assert bits[0] == bits[1]


def test_two_threads():
    with ul.Model(MODEL) as m:
        want = m.logprobs(FORGET)
    got = {}

    def one(i):
        with ul.Model(MODEL) as own:
            got[i] = own.logprobs(FORGET)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.array_equal(a, b) for i in range(2) for a, b in zip(got[i], want))


def test_the_document_runs(tmp_path, monkeypatch):
    text = Path(os.environ["DOCUMENT"]).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(Path(MODEL).resolve())
    lines(tmp_path / "retain.jsonl", [dict(zip(RETAIN, r)) for r in zip(*RETAIN.values())])
    names = {}
    for block in blocks:
        exec(compile(block, "doc/python.md", "exec"), names)
    assert names["result"].steps > 0
