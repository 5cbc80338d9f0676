"""Kernels that have run, to be run again without Python.

Between two kernels some hundred lines of Python find out what to launch next. Since each kernel leaves nothing of
them in the caches of the processor, they take longer than many a kernel of a small network. But for images of
one size they find the same every time: the same kernels, in the same order, on the same memory. So a recording
notes the launches of a first run, and runs that list again: it is what a CUDA graph is on a GPU.

    recording = Recording()
    with recording:     # runs it, too
        y = f(x)
    x[...] = other
    recording.run()     # y is now f(other)

The list knows addresses. So the memory of all arrays that were made while it was recorded belongs to the recording
(memory.Reserve), and it keeps the other arrays that its kernels use.

It sees kernels alone. What Python and NumPy compute in between must not depend on numbers that change between two
runs, or be asked for by `outside`; code that cannot say so calls `unrecorded`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minifcn.kernels import jit, memory
from minifcn.kernels.crop import copy
from minifcn.kernels.team import here, run_again

# Bytes of arrays that a recording may keep. Where more is computed, Python takes little of the time.
MOST = 1 << 30
PAGE = 1 << 15  # words of arguments that are laid side by side,
LONGEST = 1 << 10  # of which one launch has at most so many

__all__ = ["Recording", "fill_in", "outside", "unrecorded"]


class Recording:
    """A list of launches. `obstacle` says why it cannot be run again, if so."""

    def __init__(self) -> None:
        self.obstacle = "the checked mode runs kernels in Python" if jit.CHECKED else ""
        self._reserve = memory.Reserve(MOST)
        self._threads = jit.get_threads()
        self._kept: list[np.ndarray] = []  # arrays in memory that is not ours
        self._page, self._used = np.empty(0, np.int64), 0
        self._launches: list[tuple[int, int]] = []
        self._parts: list[np.ndarray | Callable] = []  # launches, and what is outside

    def __enter__(self) -> "Recording":
        memory.let_go()  # most of what is kept will not be needed any more
        self._outer, here.recorder = here.recorder, self
        self._reserve.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._reserve.__exit__()
        here.recorder = self._outer
        self._end_part()

    def run(self) -> None:
        """Do it again."""
        for part in self._parts:
            if isinstance(part, np.ndarray):
                run_again(part, self._threads)
            else:
                part()

    def give_up(self, why: str) -> None:
        """It cannot be run again: nothing more is noted, nor kept."""
        self.obstacle = self.obstacle or why
        self._kept, self._launches, self._parts = [], [], []

    # ---------------------------------------------------------------- what a launch tells it

    def room(self) -> int:
        """The address where the next launch may lay down its arguments; 0 if they are not wanted."""
        if self._reserve.exceeded:
            self.give_up(f"it needs more than {MOST >> 20} MB")
        if jit.get_threads() != self._threads:
            self.give_up("the number of threads changes")
        if self.obstacle:
            return 0
        if self._page.size - self._used < LONGEST:
            self._page, self._used = np.empty(PAGE, np.int64), 0
            self._kept.append(self._page)
        return self._page.ctypes.data + 8 * self._used

    def ran(self, room: int, arguments: tuple, meet: int, size: int) -> None:
        """A kernel ran: its arguments take up `size` bytes of that room."""
        if room:
            self._used += -(-size // 8)
            self._launches.append((meet, room))
            arrays = (array for array in arguments if isinstance(array, np.ndarray))
            self._kept += [array for array in arrays if not self._reserve.owns(array)]

    def outside(self, function: Callable) -> np.ndarray | None:
        """Call it, now and in every run. What it returns is copied to one place, for the kernels that follow."""
        result = self._call(function)
        if result is None:
            self._add_part(function)
            return None
        place = memory.empty(result.shape, result.dtype)
        place[...] = result
        self._add_part(lambda: fill_in(place, function(), "what is computed outside"))
        return place

    def _call(self, function):
        here.recorder = None
        self._reserve.__exit__()
        try:
            return function()
        finally:
            self._reserve.__enter__()
            here.recorder = self

    def _add_part(self, function):
        self._end_part()
        if not self.obstacle:
            self._parts.append(function)

    def _end_part(self):
        if self._launches:
            self._parts.append(np.array(self._launches, np.int64))
            self._launches = []


def fill_in(place: np.ndarray, array: np.ndarray, name: str) -> None:
    """Copy the array to its place. ValueError unless both have one shape and type."""
    if (array.shape, array.dtype) != (place.shape, place.dtype):
        wanted, found = (f"{a.dtype} of shape {a.shape}" for a in (place, array))
        raise ValueError(f"{name} must be {wanted}, as when it was recorded; found {found}")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        copy(array.reshape(-1), place.reshape(-1))
    else:
        place[...] = array


def outside(function: Callable) -> Any:
    """What `function` returns, an array or None. If this is being recorded, every run calls it anew."""
    return function() if here.recorder is None else here.recorder.outside(function)


def unrecorded(what: str) -> None:
    """Say that what is going on can only be done by Python."""
    if here.recorder is not None:
        here.recorder.give_up(what)
