"""Local response normalisation: each number divided by a power of what its neighbouring channels have.

A block of pixels at a time: the sums over the window first, and then the powers, whose exp and log are vector
instructions.
"""

import numpy as np

from minifcn.kernels.elementary import exp, log
from minifcn.kernels.jit import kernel
from minifcn.kernels.team import share, team

PIXELS = 64  # in a block


def scales_definition(x, size, alpha, beta, k):
    """s and s^-beta, with s = k + alpha / size · the sum of x² over the `size` channels around each channel."""
    s = k + alpha / size * window_sum(x * x, size)
    return s, s**-beta


def window_sum(x, size):
    """The sum over the channels c - size // 2 … c + size // 2."""
    total = x.copy()
    for shift in range(1, size // 2 + 1):
        total[..., shift:] += x[..., :-shift]
        total[..., :-shift] += x[..., shift:]
    return total


@kernel
def _add_window(x, pixels, C, reach, total):
    """total = the sums over the window, for so many pixels of x."""
    for p in range(pixels):
        at = p * C
        for c in range(C):
            value = np.float32(0)
            for j in range(max(0, c - reach), min(C, c + reach + 1)):
                value += x[at + j]
            total[p * C + c] = value


@team
def scales(thread, threads, x, C, size, alpha, beta, k, s, power):
    """The same for flat float32 arrays of pixels with C channels, for k > 0.

    As s / k is at least 1: s^-beta = k^-beta e^(-beta ln (s / k)).
    """
    pixels, reach = x.size // C, size // 2
    begin, end = share(pixels, thread, threads)
    squares, total = np.empty(PIXELS * C, np.float32), np.empty(PIXELS * C, np.float32)
    slope, first, least = alpha / (size * k), np.float32(k**-beta), np.float32(k)
    for p in range(begin, end, PIXELS):
        count, at = min(PIXELS, end - p), p * C
        for i in range(count * C):
            squares[i] = x[at + i] * x[at + i]
        _add_window(squares, count, C, reach, total)
        for i in range(count * C):
            ratio = 1.0 + slope * np.float64(total[i])
            power[at + i] = first * exp(np.float32(-beta * log(ratio)))
            s[at + i] = least * np.float32(ratio)


@team
def normalize(thread, threads, x, power, y):
    """y = x s^-beta. Flat arrays."""
    begin, end = share(x.size, thread, threads)
    for i in range(begin, end):
        y[i] = x[i] * power[i]


@team
def normalize_backward(thread, threads, dy, x, s, power, C, size, factor, dx):
    """dx = dy s^-beta - factor x · the window's sum of dy x s^-beta / s. Flat arrays."""
    pixels, reach = x.size // C, size // 2
    begin, end = share(pixels, thread, threads)
    parts, total = np.empty(PIXELS * C, np.float32), np.empty(PIXELS * C, np.float32)
    for p in range(begin, end, PIXELS):
        count, at = min(PIXELS, end - p), p * C
        for i in range(count * C):
            parts[i] = dy[at + i] * x[at + i] * power[at + i] / s[at + i]
        _add_window(parts, count, C, reach, total)
        for i in range(count * C):
            dx[at + i] = dy[at + i] * power[at + i] - factor * x[at + i] * total[i]
