"""Kernels that have run, to be run again without Python.

Between two kernels some hundred lines of Python find out what to launch next. Since each kernel leaves nothing of
them in the caches of the processor, they take longer than many a kernel of a small network. But for images of
one size they find the same every time: the same kernels, in the same order, on the same memory. So a recording
notes the launches of a first run, and runs that list again: it is what a CUDA graph is on a GPU.

    recording = Recording([x])
    with recording:             # runs it, too
        y = f(x)
    recording.run([x2])         # y is now f(x2)

The list knows addresses. So the memory of all arrays that were made while it was recorded belongs to the recording
(memory.Reserve), and it keeps the other arrays that its kernels use. Only the inputs may lie elsewhere the next
time.

It sees kernels alone. What Python and NumPy compute in between must not depend on the inputs, nor on anything that
changes between two runs, or be asked for by `outside`; code that cannot say so calls `unrecorded`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minifcn.kernels import jit, memory
from minifcn.kernels.team import here, run_again

# Bytes of arrays that a recording may keep. Where more is computed, Python takes little of the time.
MOST = 256 << 20
PAGE = 1 << 15  # words of arguments that are laid side by side,
LONGEST = 1 << 10  # of which one launch has at most so many

__all__ = ["Recording", "outside", "unrecorded"]


class Recording:
    """A list of launches on `inputs`, contiguous arrays. `obstacle` says why it cannot be run again, if so."""

    def __init__(self, inputs: Sequence[np.ndarray]):
        self.obstacle = "the checked mode runs kernels in Python" if jit.CHECKED else ""
        self._reserve = memory.Reserve(MOST)
        self._threads = jit.get_threads()
        self._kept: list[np.ndarray] = []  # arrays in memory that is not ours
        self._page, self._used = np.empty(0, np.int64), 0
        self._inputs = [_Input(array) for array in inputs]
        self._launches: list[tuple[int, int]] = []
        self._parts: list[np.ndarray | tuple[Callable, _Input | None]] = []  # launches, and what is outside

    def __enter__(self) -> "Recording":
        memory.let_go()  # most of what is kept will not be needed any more
        self._outer, here.recorder = here.recorder, self
        self._reserve.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._reserve.__exit__()
        here.recorder = self._outer
        self._end_part()
        if self._reserve.exceeded:
            self.obstacle = self.obstacle or f"it needs more than {MOST >> 20} MB"

    def run(self, inputs: Sequence[np.ndarray]) -> None:
        """Do it again on other inputs of the same shapes and types."""
        for known, array in zip(self._inputs, inputs):
            known.move(array)
        for part in self._parts:
            if isinstance(part, np.ndarray):
                run_again(part, self._threads)
            else:
                function, known = part
                if known is None:
                    function()
                else:
                    known.array = None  # whose memory the new one may have
                    known.move(function())

    # ---------------------------------------------------------------- what a launch tells it

    def room(self) -> int:
        """The address where the next launch may lay down its arguments."""
        if self._page.size - self._used < LONGEST:
            self._page, self._used = np.empty(PAGE, np.int64), 0
            self._kept.append(self._page)
        return self._page.ctypes.data + 8 * self._used

    def ran(self, arguments: tuple, meet: int, size: int) -> None:
        """A kernel ran: its arguments lie in the room, `size` bytes that begin with the addresses of arrays."""
        arrays = [array for array in arguments if type(array) is np.ndarray]
        for at, array in enumerate(arrays, start=self._used):
            is_input = any(known.found(self._page, at) for known in self._inputs)
            if not is_input and not self._reserve.owns(array):
                self._kept.append(array)
        self._launches.append((meet, self._page.ctypes.data + 8 * self._used))
        self._used += -(-size // 8)

    def outside(self, function: Callable) -> np.ndarray | None:
        """Call it, now and in every run. If it returns an array, the kernels that follow read the new one."""
        self._end_part()
        here.recorder, reserve = None, self._reserve
        reserve.__exit__()
        try:
            result = function()
        finally:
            reserve.__enter__()
            here.recorder = self
        known = None if result is None else _Input(result)
        if known is not None:
            self._inputs.append(known)
        self._parts.append((function, known))
        return result

    def _end_part(self):
        if self._launches:
            self._parts.append(np.array(self._launches, np.int64))
            self._launches = []


class _Input:
    """An array that may lie elsewhere in the next run, and all places where an address in it was laid down."""

    def __init__(self, array: np.ndarray):
        assert array.flags.c_contiguous
        self.places: list[tuple[np.ndarray, int]] = []
        self.array: np.ndarray | None = array  # so that no other array comes to lie there
        self.address, self.end = array.ctypes.data, array.ctypes.data + array.nbytes

    def found(self, page: np.ndarray, at: int) -> bool:
        """Whether the address at that place is in this array; it is noted then."""
        inside = self.address <= page[at] < self.end
        if inside:
            self.places.append((page, at))
        return bool(inside)

    def move(self, array: np.ndarray) -> None:
        """The array lies there now."""
        address = array.ctypes.data
        for page, at in self.places:
            page[at] += address - self.address
        self.array, self.address = array, address


def outside(function: Callable) -> Any:
    """What `function` returns, an array or None. If this is being recorded, every run calls it anew."""
    return function() if here.recorder is None else here.recorder.outside(function)


def unrecorded(what: str) -> None:
    """Say that what is going on can only be done by Python."""
    if here.recorder is not None:
        here.recorder.obstacle = here.recorder.obstacle or what
