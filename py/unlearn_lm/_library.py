"""libunlearn by ctypes: its functions and structs (unlearn.h), errors as exceptions, and long calls that can be interrupted."""
import ctypes as C
import os
import threading
import warnings
from pathlib import Path
from typing import NamedTuple


class Error(Exception):
    """What libunlearn reports. `code`: its number (unlearn.h); `subject`: the option that is wrong or missing, or None."""

    code = 1

    def __init__(self, message, subject=None):
        super().__init__(message)
        self.subject = subject


class OutOfMemory(Error, MemoryError):
    code = 2


class FileMissing(Error):
    code = 3


class AccessDenied(Error):
    code = 4


class NoSpace(Error):
    code = 5


class BadFile(Error, ValueError):
    code = 6


class BadArgument(Error, ValueError):
    code = 7


class NotFinite(Error, ArithmeticError):
    code = 8


class Busy(Error):
    code = 9


class Interrupted(Error):
    code = 10


_errors = {k.code: k for k in (Error, OutOfMemory, FileMissing, AccessDenied, NoSpace, BadFile, BadArgument, NotFinite, Busy,
                               Interrupted)}


class Progress(NamedTuple):
    """What a progress callback gets."""

    what: str
    done: int
    total: int
    tokens: float
    seconds: float
    ended: bool


# --- unlearn.h ---


class CError(C.Structure):
    _fields_ = [("code", C.c_int), ("message", C.c_char * 512), ("subject", C.c_char * 64)]


class CProgress(C.Structure):
    _fields_ = [("what", C.c_char_p), ("done", C.c_long), ("total", C.c_long), ("tokens", C.c_double), ("seconds", C.c_double),
                ("ended", C.c_int)]


LINE = C.CFUNCTYPE(None, C.c_void_p, C.c_int, C.c_char_p)
PROGRESS = C.CFUNCTYPE(None, C.c_void_p, C.POINTER(CProgress))


class CHooks(C.Structure):
    _fields_ = [("line", LINE), ("progress", PROGRESS), ("ctx", C.c_void_p), ("interrupt", C.POINTER(C.c_int))]


class CResult(C.Structure):
    _fields_ = [("steps", C.c_long), ("tokens", C.c_long), ("seconds", C.c_double), ("loss", C.c_double),
                ("forget_nll", C.c_double * 2), ("retain_nll", C.c_double * 2), ("finished", C.c_int)]


class CScored(C.Structure):
    _fields_ = [("row", C.c_int), ("n_ids", C.c_int), ("ids", C.POINTER(C.c_int)), ("n", C.c_int),
                ("labels", C.POINTER(C.c_int)), ("logprobs", C.POINTER(C.c_float))]


class CGeneration(C.Structure):
    _fields_ = [("max_new_tokens", C.c_int), ("samples", C.c_int), ("temperature", C.c_double), ("top_p", C.c_double),
                ("seed", C.c_uint), ("stop", C.c_char_p)]


class CAnswer(C.Structure):
    _fields_ = [("row", C.c_int), ("sample", C.c_int), ("n", C.c_int), ("ids", C.POINTER(C.c_int)), ("text", C.c_char_p)]


_E, _H, _P, _OUT = C.POINTER(CError), C.POINTER(CHooks), C.c_void_p, C.POINTER(C.c_void_p)
_INTS, _FLOATS, _TEXT, _INT = C.POINTER(C.c_int), C.POINTER(C.c_float), C.c_char_p, C.c_int
_functions = {
    "version": (_TEXT, []),
    "free": (None, [_P]),
    "run_new": (_INT, [_OUT, _TEXT, _E]),
    "run_set": (_INT, [_P, _TEXT, _TEXT, _E]),
    "run_rows": (_INT, [_P, _TEXT, _TEXT, C.c_size_t, _E]),
    "run_start": (_INT, [_P, _H, C.POINTER(CResult), _E]),
    "run_free": (None, [_P]),
    "eval_new": (_INT, [_OUT, _E]),
    "eval_set": (_INT, [_P, _TEXT, _TEXT, _E]),
    "eval_rows": (_INT, [_P, _TEXT, _TEXT, C.c_size_t, _E]),
    "eval_start": (_INT, [_P, _H, _OUT, _E]),
    "eval_free": (None, [_P]),
    "engine_open": (_INT, [_OUT, _TEXT, C.POINTER(_TEXT), _H, _E]),
    "engine_close": (None, [_P]),
    "engine_vocab": (_INT, [_P]),
    "engine_positions": (_INT, [_P]),
    "engine_encode": (_INT, [_P, _TEXT, C.POINTER(_INTS), _INTS, _E]),
    "engine_decode": (_INT, [_P, _INTS, _INT, _OUT, _E]),
    "score": (_INT, [_P, _TEXT, C.c_size_t, _H, _OUT, _E]),
    "scores_count": (_INT, [_P]),
    "scores_get": (None, [_P, _INT, C.POINTER(CScored)]),
    "scores_free": (None, [_P]),
    "generate": (_INT, [_P, _TEXT, C.c_size_t, C.POINTER(CGeneration), _H, _OUT, _E]),
    "answers_count": (_INT, [_P]),
    "answers_get": (None, [_P, _INT, C.POINTER(CAnswer)]),
    "answers_free": (None, [_P]),
    "session_new": (_INT, [_OUT, _P, _INT, _INT, _E]),
    "session_sync": (_INT, [_P, _INT, _INTS, _INT, _FLOATS, _E]),
    "session_free": (None, [_P]),
}


def _load():
    path = os.environ.get("UNLEARN_LIBRARY") or Path(__file__).with_name("libunlearn.so")
    library = C.CDLL(str(path))
    for name, (result, arguments) in _functions.items():
        function = getattr(library, "unlearn_" + name)
        function.restype, function.argtypes = result, arguments
    return library


lib = _load()


def version():
    """The library's version."""
    return lib.unlearn_version().decode()


# --- calls ---


def check(function, *arguments):
    """Calls a function whose last parameter is the error, and raises it."""
    e = CError()
    if function(*arguments, C.byref(e)):
        raise _errors.get(e.code, Error)(e.message.decode(errors="replace"), e.subject.decode() or None)


def take_text(pointer):
    """A text that is the caller's, as str."""
    try:
        return C.cast(pointer, C.c_char_p).value.decode()
    finally:
        lib.unlearn_free(pointer)


def _warn(warning, text):
    if warning:
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def work(function, progress=None, log=None):
    """Calls function(hooks) in a thread of its own, so that Ctrl-C reaches this one, stops the work at its next step and is raised
    again then. So is what a callback raises. log(text, warning): notes and warnings; without it warnings are Python's."""
    stop, failures, lines, done = C.c_int(0), [], [], threading.Event()

    def guarded(callback, *arguments):
        try:
            callback(*arguments)
        except BaseException as failure:  # it would be lost in ctypes
            failures.append(failure)
            stop.value = 1

    def on_line(_, warning, text):
        text = text.decode(errors="replace")
        if log:
            guarded(log, text, bool(warning))
        else:
            lines.append((warning, text))

    def on_progress(_, p):
        if progress:
            p = p.contents
            guarded(progress, Progress(p.what.decode(), p.done, p.total, p.tokens, p.seconds, bool(p.ended)))

    hooks = CHooks(LINE(on_line), PROGRESS(on_progress), None, C.pointer(stop))
    failed = []

    def run():
        try:
            function(hooks)
        except BaseException as failure:
            failed.append(failure)
        finally:
            done.set()

    threading.Thread(target=run, daemon=True).start()
    pressed = None
    while not done.is_set():
        try:
            done.wait(0.2)
        except KeyboardInterrupt as interrupt:
            stop.value, pressed = 1, interrupt
    for line in lines:
        _warn(*line)
    if pressed:
        raise pressed
    for failure in failures or failed:
        raise failure
