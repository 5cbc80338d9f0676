"""Batch normalisation: the statistics of each channel, and the passes over all pixels.

Pixels are rows: x is (pixels, C). Every pass reads its arrays once. Sums are kept in float64, each thread's by
itself, and added up in the order of the threads, so that the same number of threads gives the same bits. Only the
few pixels of a RUN are first added up in float32, where vectors of sums stay in registers.
"""

import numpy as np

from minifcn.kernels.bias import RUN
from minifcn.kernels.jit import get_threads
from minifcn.kernels.team import share, team, two
from minifcn.kernels.vector import LANES, fma, load_part, splat, store_part


def moments_definition(x):
    """The mean and the (biased) variance of each channel, in float64."""
    return x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from one pass over x.

    With d = x - the first pixel: mean = first + mean of d, variance = mean of d² - (mean of d)². What the channel's
    numbers have in common is so taken away before anything is squared.
    """
    if x.dtype != np.float32:
        return moments_definition(x)
    sums = np.zeros((get_threads(), 2 * x.shape[1]))
    _sums(x.reshape(-1), x.shape, sums)
    first, second = sums.sum(axis=0).reshape(2, -1) / len(x)
    return x[0] + first, np.maximum(second - first * first, 0)


@team
def _sums(thread, threads, x, shape, sums):
    """sums[thread] = the sums of d, and behind them those of d², over the thread's pixels."""
    pixels, C = two(shape)
    begin, end = share(pixels, thread, threads)
    run, total = np.empty(2 * C, np.float32), sums[thread]
    for p in range(begin, end, RUN):
        for c in range(0, C, LANES):
            there = min(LANES, C - c)
            plain = squared = splat(np.float32(0))
            first = load_part(x, c, there)
            for at in range(p * C + c, min(p + RUN, end) * C + c, C):
                d = load_part(x, at, there) - first
                plain, squared = plain + d, fma(d, d, squared)
            store_part(run, c, plain, there)
            store_part(run, C + c, squared, there)
        for k in range(total.size):
            total[k] += run[k]


@team
def scale_and_shift(thread, threads, x, mean, scale, shift, y, least):
    """y = scale (x - mean) + shift, channel by channel, but nothing less than `least`. A NaN stays a NaN."""
    begin, end = share(x.shape[0], thread, threads)
    for p in range(begin, end):
        pixel, out = x[p], y[p]
        for c in range(x.shape[1]):
            value = scale[c] * (pixel[c] - mean[c]) + shift[c]
            out[c] = least if value < least else value


def gradient_sums_definition(dy, x, mean):
    """(2, C) in float64: of each channel the sums of dy and of dy (x - mean)."""
    dy = dy.astype(np.float64)
    return np.stack([dy.sum(axis=0), (dy * (x - mean)).sum(axis=0)])


def gradient_sums(dy: np.ndarray, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The same."""
    if x.dtype != np.float32:
        return gradient_sums_definition(dy, x, mean)
    sums = np.zeros((get_threads(), 2 * x.shape[1]))
    _gradient_sums(dy.reshape(-1), x.reshape(-1), x.shape, mean, sums)
    return sums.sum(axis=0).reshape(2, -1)


@team
def _gradient_sums(thread, threads, dy, x, shape, mean, sums):
    pixels, C = two(shape)
    begin, end = share(pixels, thread, threads)
    run, total = np.empty(2 * C, np.float32), sums[thread]
    for p in range(begin, end, RUN):
        for c in range(0, C, LANES):
            there = min(LANES, C - c)
            plain = centred = splat(np.float32(0))
            middle = load_part(mean, c, there)
            for at in range(p * C + c, min(p + RUN, end) * C + c, C):
                d = load_part(dy, at, there)
                plain, centred = plain + d, fma(d, load_part(x, at, there) - middle, centred)
            store_part(run, c, plain, there)
            store_part(run, C + c, centred, there)
        for k in range(total.size):
            total[k] += run[k]


@team
def input_gradient(thread, threads, dy, x, mean, scale, slope, shift, dx):
    """dx = scale dy + slope (x - mean) + shift, channel by channel."""
    begin, end = share(x.shape[0], thread, threads)
    for p in range(begin, end):
        upstream, pixel, out = dy[p], x[p], dx[p]
        for c in range(x.shape[1]):
            out[c] = scale[c] * upstream[c] + slope[c] * (pixel[c] - mean[c]) + shift[c]
