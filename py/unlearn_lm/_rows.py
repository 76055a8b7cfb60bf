"""Data as the library takes it: rows to JSON Lines, option values to text."""
import json
import os
from collections.abc import Mapping


def is_path(data):
    return isinstance(data, (str, os.PathLike))


def _plain(value):
    """What json does not know: numpy's numbers and arrays, tensors."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"a row holds a {type(value).__name__}, which is no JSON")


def _each(data):
    if isinstance(data, Mapping):  # columns
        columns = {name: list(values) for name, values in data.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different lengths: {lengths}")
        yield from (dict(zip(columns, row)) for row in zip(*columns.values()))
    else:
        yield from data


def to_jsonl(data, fields=("question", "answer")):
    """Rows as UTF-8 JSON Lines. A row that is a text or a tuple has these fields."""
    lines = []
    for row in _each(data):
        if isinstance(row, str):
            row = {fields[0]: row}
        elif isinstance(row, (tuple, list)):
            row = dict(zip(fields, row))
        lines.append(json.dumps(dict(row), default=_plain) + "\n")
    if not lines:
        raise ValueError("there are no rows")
    return "".join(lines).encode()


def to_text(value):
    """An option's value as the command line has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (str, int, float)):
        return value if isinstance(value, str) else repr(value)
    if hasattr(value, "item"):
        return to_text(value.item())
    raise TypeError(f"a {type(value).__name__} is no value of an option")
