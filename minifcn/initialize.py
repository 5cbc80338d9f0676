"""First values of the weights: random for layers that learn from scratch, bilinear for upsampling.

And the identity, for layers that are put behind a network which works without them.
"""

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


def identity(
    kernel_size: int,
    in_channels: int,
    out_channels: int,
    groups: int,
    std: float = 0.0,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """The weights (k, k, in_channels, out_channels) of a convolution that passes on what it reads.

    Channel a of the input and b of the output belong to groups ⌊a groups / in⌋ and ⌊b groups / out⌋. In the
    middle of the kernel, w[a, b] = groups / out_channels within a group: the sum of a group is shared out evenly.
    All else is normal noise of mean 0 and deviation `std`. So as many channels as groups, made more and then less
    again, come out as they were. Raises ValueError for an even kernel, or channels that `groups` does not divide.

    Source: Yu & Koltun, Multi-scale context aggregation by dilated convolutions (2016), equations 4 and 5.

    >>> identity(1, 4, 2, groups=2)[0, 0].T
    array([[1., 1., 0., 0.],
           [0., 0., 1., 1.]], dtype=float32)
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {kernel_size}; expected an odd number, which has a middle")
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups is {groups}, which does not divide {in_channels} and {out_channels} channels"
        )
    shape = (kernel_size, kernel_size, in_channels, out_channels)
    w = np.zeros(shape, dtype)
    if std:
        w[...] = np.random.default_rng(rng).normal(0, std, shape)
    a = np.arange(in_channels) * groups // in_channels
    b = np.arange(out_channels) * groups // out_channels
    w[kernel_size // 2, kernel_size // 2][a[:, None] == b] = groups / out_channels
    return w
