"""Arrays in memory that is used again.

The operating system hands out new memory page by page and clears each page at its first use. For a large array that
takes as long as the arithmetic which fills it. A training step needs the same arrays every time; so when an
array of `empty` is no longer used by anyone, its memory is kept for the next one of about its size.

What is kept never exceeds what was once needed at one time: the most that was in use at any moment.

What a kernel needs only while it runs comes from `scratch`: always the same memory, so that it is still in the
cache from the kernel before.
"""

import contextlib
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

LARGE = 1 << 16  # bytes; the allocator of NumPy serves smaller arrays as well
ALIGNMENT = 64  # bytes in a cache line: a vector that lies across two of them takes two reads


def empty(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> np.ndarray:
    """As numpy.empty: an array whose numbers are anything, to be filled."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_room(size), shape, dtype))


class _Lease:
    """The owner of an array's memory. NumPy keeps it as long as the array or any view of it lives."""

    def __init__(self, memory: np.ndarray, shape: tuple[int, ...], dtype: np.dtype):
        self.memory = memory
        address = memory.ctypes.data
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address + -address % ALIGNMENT, False),
        }

    def __del__(self):
        if _give_back is not None:  # at the very end, when Python has taken the module apart
            _give_back(self.memory)


_lock = threading.RLock()  # an array may be let go while this very thread looks for memory
_idle: OrderedDict[int, list[np.ndarray]] = OrderedDict()  # by size; sizes that were used last stand last
_in_use = _kept = _most = 0  # bytes


def _rounded(size: int) -> int:
    """Up to a number of three binary digits, so that arrays of about one size can share memory."""
    step = 1 << max(0, size.bit_length() - 3)
    return -(-size // step) * step


def _room(size: int) -> np.ndarray:
    global _in_use, _kept, _most
    size = _rounded(size) + ALIGNMENT
    with _lock:
        before = _in_use, _most
        _in_use += size
        _most = max(_most, _in_use)
        if _idle.get(size):
            _kept -= size
            return _idle[size].pop()
        while _in_use + _kept > _most:  # of what is kept, let go what was of no use for longest
            oldest = next(iter(_idle))
            if _idle[oldest]:
                _idle[oldest].pop()
                _kept -= oldest
            else:
                del _idle[oldest]
        try:
            return np.empty(size, np.uint8)
        except MemoryError:
            _in_use, _most = before
            raise


def _give_back(memory: np.ndarray) -> None:
    global _in_use, _kept
    with _lock:
        _in_use -= memory.size
        _kept += memory.size
        _idle.setdefault(memory.size, []).append(memory)
        _idle.move_to_end(memory.size)


class _Scratch(threading.local):
    """Each Python thread has its own."""

    memory = np.empty(0, np.float32)
    used = 0  # numbers


_scratch = _Scratch()


@contextlib.contextmanager
def scratch(*sizes: int) -> Iterator[list[np.ndarray]]:
    """Flat float32 arrays of these sizes, to be filled, for as long as the `with` lasts. Within it, further
    ones are others.

    >>> with scratch(10, 20) as (a, b):
    ...     a.size, b.size
    (10, 20)
    """
    step = ALIGNMENT // 4
    starts = [_scratch.used]
    for size in sizes:
        starts.append(starts[-1] + -(-size // step) * step)
    if starts[-1] > _scratch.memory.size:
        # Arrays that are in use keep the old memory alive.
        _scratch.memory = empty(max(2 * _scratch.memory.size, starts[-1], LARGE))
    before, _scratch.used = _scratch.used, starts[-1]
    try:
        yield [_scratch.memory[start : start + size] for start, size in zip(starts, sizes)]
    finally:
        _scratch.used = before
