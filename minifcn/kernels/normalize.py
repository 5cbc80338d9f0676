"""Batch normalisation: the statistics of each channel, and the passes over all pixels.

Pixels are rows: x is (pixels, C). Every pass reads its arrays once. Sums are kept in float64, each thread's by
itself, and added up in the order of the threads, so that the same number of threads gives the same bits. Only the
few pixels of a RUN are first added up in float32, where vectors of sums stay in registers.
"""

import numpy as np

from minifcn.kernels.bias import RUN
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.team import share, team, two
from minifcn.kernels.vector import LANES, fma, load_part, splat, store_part


def moments_definition(x):
    """The mean and the (biased) variance of each channel, in float64."""
    return x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from one pass over x, rounded to its type.

    With d = x - the first pixel: mean = first + mean of d, variance = mean of d² - (mean of d)². What the channel's
    numbers have in common is so taken away before anything is squared.
    """
    if x.dtype != np.float32:
        mean, variance = moments_definition(x)
        return mean.astype(x.dtype), variance.astype(x.dtype)
    C = x.shape[1]
    sums, mean, variance = np.empty((get_threads(), 2 * C)), np.empty(C, x.dtype), np.empty(C, x.dtype)
    _sums(x.reshape(-1), x.shape, sums)
    _statistics(x.reshape(-1), sums, mean, variance)
    return mean, variance


@team
def _sums(thread, threads, x, shape, sums):
    """sums[thread] = the sums of d, and behind them those of d², over the thread's pixels."""
    pixels, C = two(shape)
    begin, end = share(pixels, thread, threads)
    run, total = np.empty(2 * C, np.float32), sums[thread]
    total[:] = 0
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


@kernel
def _total(sums, c):
    """Both sums of channel c, over all threads."""
    first = second = 0.0
    for part in range(sums.shape[0]):
        first, second = first + sums[part, c], second + sums[part, sums.shape[1] // 2 + c]
    return first, second


@team
def _statistics(thread, threads, x, sums, mean, variance):
    C = mean.size
    begin, end = share(C, thread, threads)
    for c in range(begin, end):
        plain, squared = _total(sums, c)
        plain, squared = plain / (x.size // C), squared / (x.size // C)
        mean[c], variance[c] = x[c] + plain, max(squared - plain * plain, 0.0)


@team
def scale_and_shift(thread, threads, x, mean, variance, eps, weight, bias, y, least):
    """y = weight (x - mean) / √(variance + eps) + bias, channel by channel, but nothing less than `least`. A NaN
    stays a NaN."""
    begin, end = share(x.shape[0], thread, threads)
    scale = (weight / np.sqrt(variance + eps)).astype(x.dtype)
    for p in range(begin, end):
        pixel, out = x[p], y[p]
        for c in range(x.shape[1]):
            value = scale[c] * (pixel[c] - mean[c]) + bias[c]
            out[c] = least if value < least else value


@team
def remember(thread, threads, running, batch, factor, momentum):
    """Running averages, moved by `momentum` towards `factor` times what a batch has."""
    begin, end = share(running.size, thread, threads)
    for c in range(begin, end):
        running[c] += momentum * (factor * batch[c] - running[c])


def gradient_sums_definition(dy, x, mean):
    """In float64: of each channel the sum of dy, and behind all of these that of dy (x - mean)."""
    dy = dy.astype(np.float64)
    return np.concatenate([dy.sum(axis=0), (dy * (x - mean)).sum(axis=0)])


def gradient_sums(dy: np.ndarray, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The same, a row for each thread's share of the pixels."""
    if x.dtype != np.float32:
        return gradient_sums_definition(dy, x, mean)[None]
    sums = np.empty((get_threads(), 2 * x.shape[1]))
    _gradient_sums(dy.reshape(-1), x.reshape(-1), x.shape, mean, sums)
    return sums


@team
def _gradient_sums(thread, threads, dy, x, shape, mean, sums):
    pixels, C = two(shape)
    begin, end = share(pixels, thread, threads)
    run, total = np.empty(2 * C, np.float32), sums[thread]
    total[:] = 0
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
def parameter_gradients(thread, threads, sums, variance, eps, dweight, dbias):
    """dweight = the sum of dy (x - mean) / √(variance + eps), dbias = the sum of dy, from `gradient_sums`."""
    C = dbias.size
    begin, end = share(C, thread, threads)
    for c in range(begin, end):
        plain, centred = _total(sums, c)
        dbias[c], dweight[c] = plain, centred / np.sqrt(variance[c] + eps)


@team
def input_gradient(thread, threads, dy, x, mean, variance, eps, weight, sums, of_batch, dx):
    """dx, given the `gradient_sums`, if mean and variance are of x itself (`of_batch`), or constants."""
    begin, end = share(x.shape[0], thread, threads)
    pixels, C = x.shape
    deviation = np.sqrt(variance + np.float64(eps))
    scale = (weight / deviation).astype(x.dtype)
    slope, shift = np.zeros(C, x.dtype), np.zeros(C, x.dtype)
    for c in range(C if of_batch else 0):
        plain, centred = _total(sums, c)
        through = np.float64(scale[c]) / pixels  # of the rounded scale, so that one pixel cancels to 0
        slope[c], shift[c] = -through * centred / (deviation[c] * deviation[c]), -through * plain
    for p in range(begin, end):
        upstream, pixel, out = dy[p], x[p], dx[p]
        for c in range(C):
            out[c] = scale[c] * upstream[c] + slope[c] * (pixel[c] - mean[c]) + shift[c]
