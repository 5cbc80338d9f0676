"""Calling a function that somebody is still writing: whatever it does, the caller gets a `Call` to look at.

It gets copies of its arguments, and what it changes in them is noticed. What it prints is kept. NumPy's global
random numbers are as they were. What it raises is caught, `SystemExit` too; only a `KeyboardInterrupt` goes on to
the user, who asked for it. When its time is over, a watching thread raises `TimeLimit` in it: that ends a loop of
Python code, in notebooks and in threads, on every system. It cannot end a single call that is not Python, such as
`time.sleep(1000)` or a product of huge matrices, before that returns; nor a loop that catches `BaseException` again
and again.
"""

import contextlib
import ctypes
import io
import linecache
import os
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LIMIT = 5.0  # seconds; the cases are tiny
COMPILING = 60.0  # for a function that Numba has to compile first
AGAIN = 0.01  # seconds until TimeLimit is raised once more, should the function have swallowed it
ARRIVING = 1000  # steps of a loop, in one of the first of which an exception that is on its way arrives
PRINTED = 2000  # characters that are kept of what a function prints

# Printing and warnings are redirected for the whole process, so one call at a time.
_turn = threading.RLock()


class TimeLimit(BaseException):
    """Raised in a function whose time is over. No `except Exception` catches it."""


@dataclass(frozen=True)
class Raised:
    """An exception: its type, its message, and the line of the function, or of what it called, that raised it."""

    type: str
    message: str
    line: int | None = None
    code: str = ""


@dataclass(frozen=True)
class Call:
    """What came of a call. `result` is None if it raised something or ran out of time."""

    result: Any
    seconds: float
    raised: Raised | None = None
    timed_out: bool = False
    changed: tuple[str, ...] = ()  # names of the arguments that are not what they were
    printed: str = ""


def call(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    digest: Callable[[Any], Any] = lambda value: value,
    limit: float | None = None,
) -> Call:
    """Call `function` with copies of the arguments, in their order, and `digest` with what it returns.

    `limit` is in seconds; LIMIT, unless given, and COMPILING for what Numba compiles.
    `digest` counts as a part of the function: it may ask a strange value what it is, which runs its code.
    """
    given = {name: copied(value) for name, value in arguments.items()}
    if limit is None:
        limit = COMPILING if type(function).__module__.startswith("numba") else LIMIT
    printed, result, raised, seconds = _Printed(), None, None, 0.0
    with _turn:
        random = np.random.get_state()
        watch, began = _Watch(limit), time.perf_counter()
        try:
            with _quietly(printed):
                watch.start()
                try:
                    result = digest(function(*given.values()))
                finally:
                    seconds = time.perf_counter() - began
                    watch.stop()
        except TimeLimit as error:  # its own, or that of a call around this one
            watch.stop()
            raised = None if watch.fired else _raised(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raised = _raised(error)
        finally:
            np.random.set_state(random)
    changed = tuple(name for name, value in arguments.items() if not same(value, given[name]))
    return Call(None if watch.fired else result, seconds, raised, watch.fired, changed, printed.getvalue())


def copied(value: Any) -> Any:
    """Arrays copied, also those in lists, tuples and dictionaries. Other things are as they are."""
    if type(value) is np.ndarray:
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(copied(part) for part in value)
    if type(value) is dict:
        return {key: copied(part) for key, part in value.items()}
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal, number by number; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if type(a) is np.ndarray:
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict:
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    return True


class _Printed(io.TextIOBase):
    """Takes what is printed and keeps the beginning. A function that closes it does no harm."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text[: max(0, PRINTED - len(self.text))]
        return len(text)

    def close(self):
        pass

    def getvalue(self):
        return self.text


@contextlib.contextmanager
def _quietly(printed):
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield


class _Watch:
    """Raises TimeLimit in the thread that started it when `seconds` are over, and again until it is stopped."""

    def __init__(self, seconds):
        self.seconds, self.fired = seconds, False
        self._stopped, self._lock, self._thread = threading.Event(), threading.Lock(), threading.get_ident()

    def start(self):
        threading.Thread(target=self._wait, daemon=True).start()

    def stop(self):
        """From here on nothing is raised any more; what is already on its way arrives here.

        It must arrive: to take it back would leave Python looking for it at every step, and Python 3.11 then never
        gets into a function while somebody traces it, as hypothesis and debuggers do.
        """
        while not self._stopped.is_set():
            with contextlib.suppress(TimeLimit), self._lock:
                self._stopped.set()
        if self.fired:
            with contextlib.suppress(TimeLimit):
                for _ in range(ARRIVING):
                    pass

    def _wait(self):
        pause = self.seconds
        while not self._stopped.wait(pause):
            with self._lock:
                if not self._stopped.is_set():
                    self.fired, pause = True, AGAIN
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._thread), ctypes.py_object(TimeLimit)
                    )


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PATHS = [_PACKAGE, *(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))]
_LIBRARIES = (*(os.path.join(path, "") for path in _PATHS), "<frozen", "<__array_function__")


def _raised(error):
    """The line is the last one that is in nobody's library. The error's own methods may fail, too."""
    try:
        message = str(error)
    except Exception:
        message = ""
    line, code = None, ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith(_LIBRARIES):
            line, code = number, linecache.getline(file, number, frame.f_globals).strip()
    return Raised(type(error).__name__, message, line, code)
