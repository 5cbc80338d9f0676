"""Batch normalisation: the statistics of each channel, and the passes over all pixels.

Pixels are rows: x is (pixels, C). Every pass reads its arrays once. Sums are kept in float64, each thread's by
itself, and added up in the order of the threads, so that the same number of threads gives the same bits.
"""

import numpy as np

from minifcn.kernels.jit import get_threads
from minifcn.kernels.team import share, team


def moments_definition(x):
    """The mean and the (biased) variance of each channel, in float64."""
    return x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from one pass over x.

    With d = x - the first pixel: mean = first + mean of d, variance = mean of d² - (mean of d)². What the channel's
    numbers have in common is so taken away before anything is squared.
    """
    sums = np.zeros((get_threads(), 2, x.shape[1]))
    _sums(x, sums)
    first, second = sums.sum(axis=0) / len(x)
    return x[0] + first, np.maximum(second - first * first, 0)


@team
def _sums(thread, threads, x, sums):
    """sums[thread] = the sums of d and d² over the thread's pixels."""
    begin, end = share(x.shape[0], thread, threads)
    first, plain, squared = x[0], sums[thread, 0], sums[thread, 1]
    for p in range(begin, end):
        pixel = x[p]
        for c in range(x.shape[1]):
            d = np.float64(pixel[c]) - np.float64(first[c])
            plain[c] += d
            squared[c] += d * d


@team
def scale_and_shift(thread, threads, x, mean, scale, shift, y, least):
    """y = scale (x - mean) + shift, channel by channel, but nothing less than `least`. A NaN stays a NaN."""
    begin, end = share(x.shape[0], thread, threads)
    for p in range(begin, end):
        pixel, out = x[p], y[p]
        for c in range(x.shape[1]):
            value = scale[c] * (pixel[c] - mean[c]) + shift[c]
            out[c] = least if value < least else value


def gradient_sums(dy: np.ndarray, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(2, C) in float64: of each channel the sums of dy and of dy (x - mean)."""
    sums = np.zeros((get_threads(), 2, x.shape[1]))
    _gradient_sums(dy, x, mean, sums)
    return sums.sum(axis=0)


@team
def _gradient_sums(thread, threads, dy, x, mean, sums):
    begin, end = share(x.shape[0], thread, threads)
    plain, centred = sums[thread, 0], sums[thread, 1]
    for p in range(begin, end):
        upstream, pixel = dy[p], x[p]
        for c in range(x.shape[1]):
            d = np.float64(upstream[c])
            plain[c] += d
            centred[c] += d * (pixel[c] - mean[c])


@team
def input_gradient(thread, threads, dy, x, mean, scale, slope, shift, dx):
    """dx = scale dy + slope (x - mean) + shift, channel by channel."""
    begin, end = share(x.shape[0], thread, threads)
    for p in range(begin, end):
        upstream, pixel, out = dy[p], x[p], dx[p]
        for c in range(x.shape[1]):
            out[c] = scale[c] * upstream[c] + slope[c] * (pixel[c] - mean[c]) + shift[c]
