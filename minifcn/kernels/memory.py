"""Arrays in memory that is used again.

The operating system hands out new memory page by page and clears each page at its first use. For a large array that
takes as long as the arithmetic which fills it. A training step needs the same arrays every time; so when an
array of `empty` is no longer used by anyone, its memory is kept for the next one of about its size.

What is kept never exceeds what was once needed at one time: the most that was in use at any moment.

What a kernel needs only while it runs comes from `scratch`: always the same memory, so that it is still in the
cache from the kernel before.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence

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


class _Block:
    """Memory, and the first address in it that vectors like."""

    def __init__(self, size: int):
        self.memory, self.size = np.empty(size, np.uint8), size
        address = self.memory.ctypes.data
        self.address = address + -address % ALIGNMENT


class _Lease:
    """The owner of an array's memory. NumPy keeps it as long as the array or any view of it lives."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: _Block, shape: tuple[int, ...], dtype: np.dtype):
        self.block = block
        data = block.address, False
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": data}

    def __del__(self):
        if _give_back is not None:  # at the very end, when Python has taken the module apart
            _give_back(self.block)


_lock = threading.RLock()  # an array may be let go while this very thread looks for memory
_idle: OrderedDict[int, list[_Block]] = OrderedDict()  # by size; sizes that were used last stand last
_in_use = _kept = _most = 0  # bytes


def _rounded(size: int) -> int:
    """Up to a number of three binary digits, so that arrays of about one size can share memory."""
    step = 1 << max(0, size.bit_length() - 3)
    return -(-size // step) * step


def _room(size: int) -> _Block:
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
            return _Block(size)
        except MemoryError:
            _in_use, _most = before
            raise


def _give_back(block: _Block) -> None:
    global _in_use, _kept
    with _lock:
        _in_use -= block.size
        _kept += block.size
        _idle.setdefault(block.size, []).append(block)
        _idle.move_to_end(block.size)


class _Scratch(threading.local):
    """Each Python thread has its own."""

    memory = np.empty(0, np.float32)
    used = 0  # numbers


_scratch = _Scratch()


class scratch:
    """Flat float32 arrays of these sizes, to be filled, for as long as the `with` lasts. Within it, further
    ones are others.

    >>> with scratch(10, 20) as (a, b):
    ...     a.size, b.size
    (10, 20)
    """

    def __init__(self, *sizes: int):
        self.sizes = sizes

    def __enter__(self) -> list[np.ndarray]:
        step, start = ALIGNMENT // 4, _scratch.used
        self.before, starts = start, []
        for size in self.sizes:
            starts.append(start)
            start += -(-size // step) * step
        if start > _scratch.memory.size:
            # Arrays that are in use keep the old memory alive.
            _scratch.memory = empty(max(2 * _scratch.memory.size, start, LARGE))
        memory, _scratch.used = _scratch.memory, start
        return [memory[at : at + size] for at, size in zip(starts, self.sizes)]

    def __exit__(self, *error: object) -> None:
        _scratch.used = self.before
