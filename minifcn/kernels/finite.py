"""Is every number finite? In one pass over all threads, without an array of answers."""

from collections.abc import Iterable

import numpy as np

from minifcn.kernels.jit import get_threads
from minifcn.kernels.recording import unrecorded
from minifcn.kernels.team import share, team

INFINITY = np.float32(np.inf).view(np.int32)
LARGE = 1 << 16  # numbers: from here on it is worth waking the threads


def all_finite_definition(x: np.ndarray) -> bool:
    """True if no number of x is NaN or infinite."""
    return bool(np.isfinite(x).all())


def all_finite(x: np.ndarray) -> bool:
    """The same; fast for large contiguous arrays of float32.

    Without their sign, the bits of a float read as an integer are in the order of the numbers, and infinity comes
    after all numbers, NaN after infinity. So the largest of these integers tells; and the maximum of integers is
    vector instructions, which that of floats, with their NaN, is not.
    """
    unrecorded("a question whether all is finite")
    if x.dtype != np.float32 or x.size < LARGE or not x.flags.c_contiguous:
        return all_finite_definition(x)
    return are_finite(finite_marks([x]))


def finite_marks(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """For each contiguous array marks that tell `are_finite` whether all of its numbers are finite."""
    flat = [array.reshape(-1) for array in arrays]
    marks = np.empty((len(flat), get_threads()), np.int32)
    for x, mark in zip(flat, marks):
        if x.dtype == np.float32:
            _largest(x.view(np.int32), mark)
        else:
            mark[:] = 0 if all_finite_definition(x) else INFINITY
    return marks


def are_finite(marks: np.ndarray) -> bool:
    """Whether all numbers of the arrays are finite that the marks are of."""
    return bool(marks.max(initial=0) < INFINITY)


@team
def _largest(thread, threads, bits, largest):
    begin, end = share(bits.size, thread, threads)
    bits, mine = bits[begin:end], np.int32(0)
    for i in range(bits.size):
        mine = max(mine, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    largest[thread] = mine
