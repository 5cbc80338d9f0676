"""Parts of arrays: cut out, or set into zeros; and arrays filled with one number, one per channel, or others."""

import numpy as np

from minifcn.kernels.team import four, share, team


def crop(x: np.ndarray, offset: tuple[int, int, int, int], y: np.ndarray) -> None:
    """y[n, i, j, c] = x[n, i, j, c counted from `offset` on], and 0 where that is beyond the borders of x.

    A negative offset sets x into zeros.
    """
    _crop(x.reshape(-1), x.shape, offset, y.reshape(-1), y.shape)


def crop_definition(x, offset, y):
    """The same, number by number."""
    for place in np.ndindex(y.shape):
        source = tuple(np.add(place, offset))
        y[place] = x[source] if all(0 <= k < n for k, n in zip(source, x.shape)) else 0


@team
def _crop(thread, threads, x, shape, offset, y, y_shape):
    (N, H, W, C), (first, top, left, channel) = four(shape), four(offset)
    rows, columns, channels = y_shape[1], y_shape[2], y_shape[3]
    begin, end = share(y_shape[0] * rows, thread, threads)
    j_from, j_to = max(0, -left), min(columns, W - left)
    c_from, c_to = max(0, -channel), min(channels, C - channel)
    whole = c_to - c_from == channels == C  # pixels of one row then lie side by side in both
    for job in range(begin, end):
        n, h, to = job // rows + first, job % rows + top, job * columns * channels
        there = 0 <= n < N and 0 <= h < H and j_from < j_to and c_from < c_to
        if not there or not whole or j_to - j_from < columns:
            for k in range(to, to + columns * channels):
                y[k] = 0
        if there:
            at, to = ((n * H + h) * W + j_from + left) * C + c_from + channel, to + j_from * channels + c_from
            runs, run = (1, (j_to - j_from) * C) if whole else (j_to - j_from, c_to - c_from)
            for r in range(runs):
                for k in range(run):
                    y[to + r * channels + k] = x[at + r * C + k]


@team
def fill(thread, threads, y, value):
    """y = value. A flat array."""
    begin, end = share(y.size, thread, threads)
    for k in range(begin, end):
        y[k] = value


@team
def fill_pixels(thread, threads, y, values):
    """Every pixel of y = values, one for each channel. Pixels are rows: y is (pixels, C)."""
    begin, end = share(y.shape[0], thread, threads)
    for p in range(begin, end):
        pixel = y[p]
        for c in range(values.size):
            pixel[c] = values[c]


@team
def copy(thread, threads, x, y):
    """y = x. Flat arrays."""
    begin, end = share(y.size, thread, threads)
    for k in range(begin, end):
        y[k] = x[k]
