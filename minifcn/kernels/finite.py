"""Is every number finite? In one pass over all threads, without an array of answers."""

import numpy as np

from minifcn.kernels.jit import get_threads
from minifcn.kernels.team import share, team

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
    if x.dtype != np.float32 or x.size < LARGE or not x.flags.c_contiguous:
        return all_finite_definition(x)
    largest = np.zeros(get_threads(), np.int32)
    _largest(x.reshape(-1).view(np.int32), largest)
    return bool(largest.max() < np.float32(np.inf).view(np.int32))


@team
def _largest(thread, threads, bits, largest):
    begin, end = share(bits.size, thread, threads)
    bits, mine = bits[begin:end], np.int32(0)
    for i in range(bits.size):
        mine = max(mine, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    largest[thread] = mine
