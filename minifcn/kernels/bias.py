"""One number per channel that is added to every pixel; its gradient is the sum of the pixels' gradients."""

import numpy as np

from minifcn.kernels.jit import get_threads
from minifcn.kernels.team import share, team, two
from minifcn.kernels.vector import LANES, load_part, splat, store_part

RUN = 32  # pixels that are added up in float32, in registers, before their sum is added in float64


@team
def add_bias(thread, threads, y, bias):
    """y += bias. Pixels are rows: y is (pixels, C)."""
    begin, end = share(y.shape[0], thread, threads)
    for p in range(begin, end):
        pixel = y[p]
        for c in range(bias.size):
            pixel[c] += bias[c]


def bias_gradient_definition(dy, db):
    """db = the sum over all pixels of dy (..., C)."""
    db[...] = dy.reshape(-1, db.size).sum(axis=0, dtype=np.float64)


def bias_gradient(dy: np.ndarray, db: np.ndarray) -> None:
    """The same."""
    if dy.dtype != np.float32:
        bias_gradient_definition(dy, db)
        return
    sums = np.empty((get_threads(), db.size))
    _pixel_sums(dy.reshape(-1), (dy.size // db.size, db.size), sums)
    add_up(sums, db)


@team
def _pixel_sums(thread, threads, dy, shape, sums):
    pixels, C = two(shape)
    begin, end = share(pixels, thread, threads)
    run, total = np.empty(C, np.float32), sums[thread]
    total[:] = 0
    for p in range(begin, end, RUN):
        for c in range(0, C, LANES):
            there, value = min(LANES, C - c), splat(np.float32(0))
            for at in range(p * C + c, min(p + RUN, end) * C + c, C):
                value = value + load_part(dy, at, there)
            store_part(run, c, value, there)
        for c in range(C):
            total[c] += run[c]


@team
def add_up(thread, threads, sums, db):
    """db = the first numbers of each thread's row of `sums`, added up."""
    begin, end = share(db.size, thread, threads)
    for c in range(begin, end):
        total = sums[0, c]
        for part in range(1, sums.shape[0]):
            total += sums[part, c]
        db[c] = total
