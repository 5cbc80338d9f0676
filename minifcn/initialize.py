"""First values of the weights: random for layers that learn from scratch, bilinear for upsampling."""

import math

import numpy as np
from numpy.typing import DTypeLike


def he(
    shape: tuple[int, ...], fan_in: int, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Normal weights of mean 0 and standard deviation √(2 / fan_in).

    `fan_in` is the number of inputs that one output adds up, kh · kw · C_in for a convolution. A ReLU halves
    the mean square of what passes; the 2 makes up for it, so that the signal keeps its size from layer to
    layer. The dtype is float32 or float64 (else TypeError). Raises ValueError if `fan_in` is not positive.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015, section 2.2.

    >>> w = he((3, 3, 16, 32), fan_in=3 * 3 * 16, rng=np.random.default_rng(0))
    >>> print(f"{w.std():.2f}", w.dtype)   # √(2 / 144) = 0.12
    0.12 float32
    """
    if fan_in < 1:
        raise ValueError(f"fan_in must be positive, found {fan_in}")
    w = np.empty(shape, dtype)
    rng.standard_normal(dtype=w.dtype, out=w)
    w *= math.sqrt(2.0 / fan_in)
    return w


def bilinear_1d(kernel_size: int) -> np.ndarray:
    """The triangle w_i = 1 - |i - c| / f for i = 0..k-1, where c = (k - 1) / 2 and f = ⌈k / 2⌉; float64.

    Its sum is f. A transposed convolution of stride s with k = 2s - (s mod 2), so that f = s, interpolates
    linearly. Raises ValueError if `kernel_size` is not positive.

    >>> bilinear_1d(4)
    array([0.25, 0.75, 0.75, 0.25])
    """
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be positive, found {kernel_size}")
    f = (kernel_size + 1) // 2
    return 1.0 - np.abs(np.arange(kernel_size) - (kernel_size - 1) / 2) / f


def bilinear(kernel_size: int, channels: int, dtype: DTypeLike = np.float32) -> np.ndarray:
    """The weights (k, k, channels, channels) of a transposed convolution that interpolates bilinearly.

    Each channel is upsampled by itself: w[:, :, c, c] is the outer product of `bilinear_1d` with itself, all
    else is 0. Raises ValueError if `kernel_size` or `channels` is not positive.

    Source: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015,
    section 3.3.

    >>> bilinear(3, channels=1)[:, :, 0, 0]
    array([[0.25, 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 0.25]], dtype=float32)
    """
    if channels < 1:
        raise ValueError(f"channels must be positive, found {channels}")
    line = bilinear_1d(kernel_size)
    w = np.zeros((kernel_size, kernel_size, channels, channels), dtype)
    each = np.arange(channels)
    w[:, :, each, each] = np.outer(line, line)[:, :, None]
    return w
