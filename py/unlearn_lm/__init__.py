"""Unlearning, evaluation and inference of language models, on libunlearn.

    import unlearn_lm as ul
    ul.forget("my-model", forget=rows, retain="retain.jsonl", out="unlearned", method="NPO")
    ul.evaluate("unlearned", forget=rows)["summary"]
    ul.Model("unlearned").generate(["Where was Ana Ruiz born?"])

Options have the names of the command line's (`unlearn forget --help`), with underscores, and the same options give the same
bits. Data are paths, or rows: a list of dicts, a dict of columns, or anything that yields dicts, such as a `datasets.Dataset`."""
from ._library import (AccessDenied, BadArgument, BadFile, Busy, Error, FileMissing, Interrupted, NoSpace, NotFinite,
                       OutOfMemory, Progress, version)
from .model import Answer, Model, Scored
from .runs import Result, evaluate, forget, train

__version__ = version()
__all__ = ["AccessDenied", "Answer", "BadArgument", "BadFile", "Busy", "Error", "FileMissing", "Interrupted", "Model", "NoSpace",
           "NotFinite", "OutOfMemory", "Progress", "Result", "Scored", "evaluate", "forget", "train", "version"]
