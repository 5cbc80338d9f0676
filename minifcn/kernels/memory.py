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
import mmap
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

LARGE = 1 << 16  # bytes; the allocator of NumPy serves smaller arrays as well
HUGE = 4 << 20  # bytes from which on huge pages are worth it
ALIGNMENT = 64  # bytes in a cache line: a vector that lies across two of them takes two reads


def empty(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> np.ndarray:
    """As numpy.empty: an array whose numbers are anything, to be filled."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype, reserve = np.dtype(dtype), _here.reserve
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    if reserve is None:
        block: _Block | _Part = _take(_rounded(size) + ALIGNMENT)
    else:
        block = reserve.take(-(-size // ALIGNMENT) * ALIGNMENT)
    return np.asarray(_Lease(block, shape, dtype))


class _Block:
    """Memory, and the first address in it that vectors like."""

    reserve = None  # it is everyone's

    def __init__(self, size: int):
        # From the operating system, since the allocator behind NumPy may keep what is let go; in huge pages, as
        # NumPy asks for, where there are such: fewer have to be cleared.
        try:
            pages = mmap.mmap(-1, size)
        except OSError as error:
            raise MemoryError(f"no memory for an array of {size:,} bytes") from error
        if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a system that has none
                pages.madvise(mmap.MADV_HUGEPAGE)
        self.memory, self.size = np.frombuffer(pages, np.uint8), size
        address = self.memory.ctypes.data
        self.address = address + -address % ALIGNMENT


class _Lease:
    """The owner of an array's memory. NumPy keeps it as long as the array or any view of it lives."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: "_Block | _Part", shape: tuple[int, ...], dtype: np.dtype):
        self.block = block
        data = block.address, False
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": data}

    def __del__(self):
        if _give_back is None:  # at the very end, when Python has taken the module apart
            return
        if self.block.reserve is None:
            _give_back(self.block)
        else:
            self.block.reserve.give_back(self.block)


_lock = threading.RLock()  # an array may be let go while this very thread looks for memory
_idle: OrderedDict[int, list[_Block]] = OrderedDict()  # by size; sizes that were used last stand last
_in_use = _kept = _most = 0  # bytes


def _rounded(size: int) -> int:
    """Up to a number of three binary digits, so that arrays of about one size can share memory."""
    step = 1 << max(0, size.bit_length() - 3)
    return -(-size // step) * step


def _take(size: int) -> _Block:
    global _in_use, _kept, _most
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


def let_go() -> None:
    """Give back to the operating system what is kept."""
    global _kept
    with _lock:
        _idle.clear()
        _kept = 0


def _give_back(block: _Block) -> None:
    global _in_use, _kept
    with _lock:
        _in_use -= block.size
        _kept += block.size
        _idle.setdefault(block.size, []).append(block)
        _idle.move_to_end(block.size)


class Reserve:
    """Memory for one user alone: arrays that are made within `with reserve:` lie in it, but for scratch.

    What was used for one of them can be used for the next, but by nobody else as long as the reserve lives, or any
    array in it. Of more than `most` bytes there is no reserve: what goes beyond is as any other memory, and
    `exceeded` says so.
    """

    CHUNK = 64 << 20  # bytes that are asked for at a time; the operating system gives only what is written to

    def __init__(self, most: int):
        self.most, self.size, self.exceeded = most, 0, False
        self._chunks: list[_Block] = []
        self._free: list[tuple[int, int]] = []  # from which address to which, in ascending order
        self._returned: deque[_Part] = deque()  # what belongs there, too

    def __enter__(self) -> "Reserve":
        self._outer, _here.reserve = _here.reserve, self
        return self

    def __exit__(self, *error: object) -> None:
        _here.reserve = self._outer

    def owns(self, array: np.ndarray) -> bool:
        """Whether the array lies in this memory."""
        owner: object = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        return isinstance(owner, _Lease) and owner.block.reserve is self

    def take(self, size: int) -> "_Block | _Part":
        """The first place that is large enough: so the arrays stay close to each other."""
        with _lock:
            self._merge()
            for k, (begin, end) in enumerate(self._free):
                if end - begin >= size:
                    self._free[k : k + 1] = [(begin + size, end)] if begin + size < end else []
                    return _Part(begin, size, self)
            chunk = max(self.CHUNK, size)
            if self.size + chunk > self.most:
                self.exceeded = True
                return _take(_rounded(size) + ALIGNMENT)
            self.size += chunk
            self._chunks.append(_Block(chunk + ALIGNMENT))
            begin = self._chunks[-1].address
            self._free = sorted([*self._free, (begin, begin + chunk)])
            return self.take(size)

    def give_back(self, part: "_Part") -> None:
        """It may come at any moment, even in the middle of `take`: when Python looks for garbage."""
        self._returned.append(part)

    def _merge(self):
        while self._returned:
            part = self._returned.popleft()
            merged: list[tuple[int, int]] = []
            for begin, end in sorted([*self._free, (part.address, part.address + part.size)]):
                if merged and merged[-1][1] == begin:
                    begin = merged.pop()[0]
                merged.append((begin, end))
            self._free = merged


class _Part(NamedTuple):
    """What an array has of a reserve."""

    address: int
    size: int
    reserve: Reserve


class _Here(threading.local):
    """Each Python thread has its own."""

    reserve: Reserve | None = None
    scratch = np.empty(0, np.float32)
    used = 0  # numbers of the scratch


_here = _Here()


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
        step, start = ALIGNMENT // 4, _here.used
        self.before, starts = start, []
        for size in self.sizes:
            starts.append(start)
            start += -(-size // step) * step
        if start > _here.scratch.size:
            # Arrays that are in use keep the old memory alive.
            reserve, _here.reserve = _here.reserve, None
            _here.scratch = empty(max(start, LARGE))
            _here.reserve = reserve
        memory, _here.used = _here.scratch, start
        return [memory[at : at + size] for at, size in zip(starts, self.sizes)]

    def __exit__(self, *error: object) -> None:
        _here.used = self.before
