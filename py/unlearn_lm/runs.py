"""Runs and evaluations."""
import ctypes as C
import json
from typing import NamedTuple, Tuple

from ._library import CResult, check, lib, take_text, work
from ._rows import is_path, to_jsonl, to_text


class Result(NamedTuple):
    """What a run did. loss: of the last step; NLL per token before and after; nan where there is none."""

    out: str
    steps: int
    tokens: int
    seconds: float
    loss: float
    forget_nll: Tuple[float, float]
    retain_nll: Tuple[float, float]
    finished: bool


class _Object:
    """A run or an evaluation of the library, freed at the end of a with statement."""

    def __init__(self, kind, *arguments):
        self.kind, self.pointer = kind, C.c_void_p()
        check(self.function("new"), C.byref(self.pointer), *arguments)

    def function(self, name):
        return getattr(lib, f"unlearn_{self.kind}_{name}")

    def fill(self, options):
        """None is left out; what is no text, number or path is rows."""
        for name, value in options.items():
            key = name.encode()
            if value is None:
                continue
            if is_path(value) or isinstance(value, (bool, int, float)) or hasattr(value, "item"):
                check(self.function("set"), self.pointer, key, to_text(value).encode())
            else:
                rows = to_jsonl(value)
                check(self.function("rows"), self.pointer, key, rows, len(rows))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.function("free")(self.pointer)


def _run(command, options, progress, log):
    result = CResult()
    with _Object("run", command.encode()) as run:
        run.fill(options)
        work(lambda hooks: check(lib.unlearn_run_start, run.pointer, C.byref(hooks), C.byref(result)), progress, log)
    return Result(to_text(options["out"]), result.steps, result.tokens, result.seconds, result.loss, tuple(result.forget_nll),
                  tuple(result.retain_nll), bool(result.finished))


def forget(model, forget, retain=None, *, out, method="NPO", progress=None, log=None, **options):
    """Makes a model forget, as `unlearn forget` does, and writes the result into the directory `out`.

    model: a path or a name; forget, retain and other data (alternate=, holdout= ...): paths or rows. options: those of
    `unlearn forget --help`. progress(Progress) is called as work is done, log(text, warning) with notes and warnings.
    Ctrl-C leaves a checkpoint in `out`: the same call with resume=True continues."""
    return _run("forget", dict(options, model=model, forget=forget, retain=retain, out=out, method=method), progress, log)


def train(model, data, *, out, progress=None, log=None, **options):
    """Fine-tunes a model, as `unlearn train` does."""
    return _run("train", dict(options, model=model, data=data, out=out), progress, log)


def evaluate(model, *, suite="tofu", progress=None, log=None, **options):
    """Evaluates a model by a suite of metrics, as `unlearn eval` does. Data sets of the suite (forget=, retain= ...): paths or rows.
    A dict: "summary" {metric: value}, "table" {metric: {"value", "low", "high", "rows" ...}}, "eval" the log with every row."""
    text = C.c_void_p()
    with _Object("eval") as evaluation:
        evaluation.fill(dict(options, model=model, suite=suite))
        work(lambda hooks: check(lib.unlearn_eval_start, evaluation.pointer, C.byref(hooks), C.byref(text)), progress, log)
    return json.loads(take_text(text))
