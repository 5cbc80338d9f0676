"""Convolution by im2col: its value, the gradient of its input, and the gradient of its weights.

With cols = im2col(x) and w as a matrix (kh kw C_in, C_out):

    y = cols w          dx = col2im(dy wᵀ)          dw = colsᵀ dy

Transposed convolution needs nothing of its own: its value is this file's `input_gradient`.

Shapes: x (N, H, W, C_in), w (kh, kw, C_in / groups, C_out), y (N, Ho, Wo, C_out). Each of the `groups` groups
of input channels meets only its own group of output channels.
"""

import math
import threading
from dataclasses import dataclass

import numpy as np

from minifcn.kernels.im2col import col2im, im2col
from minifcn.kernels.matmul import matmul

BAND = 4 << 20  # bytes of patches at a time: they stay in the cache, and memory does not grow with the image


@dataclass(frozen=True)
class Window:
    """Where the kernel stops: (vertical, horizontal) sizes in pixels."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """How many places the kernel has in an image of `size`: floor((n + 2p - d(k - 1) - 1) / s) + 1."""
        h, w = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, self.kernel_size, self.stride, self.padding, self.dilation)
        )
        return h, w

    @property
    def copies(self) -> bool:
        """Whether patches differ from the pixels themselves; a 1x1 kernel at stride 1 sees just the pixels.

        Not if it is dilated: a transposed convolution may then have output padding, pixels that it skips.
        """
        return self != Window((1, 1), groups=self.groups)


def convolve(x: np.ndarray, w: np.ndarray, window: Window, y: np.ndarray) -> None:
    """y += im2col(x) w."""
    for group, cols, at in _patches(x, window, y.shape):
        weights = _group_matrix(w, group, window.groups)
        if window.groups == 1:
            matmul(cols, weights, _rows(y, at))
        else:
            part = np.zeros((cols.shape[0], weights.shape[1]), y.dtype)
            matmul(cols, weights, part)
            _rows(y, at)[:, _slice(group, y.shape[3], window.groups)] += part


def weight_gradient(x: np.ndarray, dy: np.ndarray, window: Window, dw: np.ndarray) -> None:
    """dw += im2col(x)ᵀ dy."""
    for group, cols, at in _patches(x, window, dy.shape):
        part = np.zeros((cols.shape[1], dy.shape[3] // window.groups), dw.dtype)
        matmul(cols.T, _group_channels(_rows(dy, at), group, window.groups), part)
        channels = _slice(group, dy.shape[3], window.groups)
        dw[..., channels] += part.reshape(*dw.shape[:3], -1)


def input_gradient(dy: np.ndarray, w: np.ndarray, window: Window, dx: np.ndarray) -> None:
    """dx += col2im(dy wᵀ)."""
    (kh, kw), C = window.kernel_size, dx.shape[3] // window.groups
    _, Ho, Wo, _ = dy.shape
    for first, rows in _bands(dy.shape, kh * kw * C * dx.itemsize):
        at = slice(first * Wo, (first + rows) * Wo)
        for group in range(window.groups):
            transposed = np.ascontiguousarray(_group_matrix(w, group, window.groups).T)
            upstream = _group_channels(_rows(dy, at), group, window.groups)
            if window.copies or window.groups > 1:
                cols = _scratch((rows, Wo, kh, kw, C), dx.dtype)
                cols[...] = 0
                matmul(upstream, transposed, cols.reshape(rows * Wo, -1))
                col2im(cols, dx, first, Ho, group * C, window.stride, window.padding, window.dilation)
            else:
                matmul(upstream, transposed, _rows(dx, at))


def _patches(x, window, output_shape):
    """Band by band and group by group: the group, its patches as a matrix, and which output pixels they are."""
    (kh, kw), C = window.kernel_size, x.shape[3] // window.groups
    _, Ho, Wo, _ = output_shape
    for first, rows in _bands(output_shape, kh * kw * C * x.itemsize):
        at = slice(first * Wo, (first + rows) * Wo)
        for group in range(window.groups):
            if window.copies or window.groups > 1:
                cols = _scratch((rows, Wo, kh, kw, C), x.dtype)
                im2col(x, cols, first, Ho, group * C, window.stride, window.padding, window.dilation)
                yield group, cols.reshape(rows * Wo, -1), at
            else:
                yield group, _rows(x, at), at


def _bands(output_shape, bytes_per_pixel):
    """Cut the output rows of the batch into bands of about BAND bytes of patches: (first row, rows)."""
    N, Ho, Wo, _ = output_shape
    rows = max(1, BAND // (Wo * bytes_per_pixel))
    for first in range(0, N * Ho, rows):
        yield first, min(rows, N * Ho - first)


_kept = threading.local()


def _scratch(shape, dtype):
    """An array to be filled, in memory that is used again and again: new memory costs more than the filling."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if getattr(_kept, "buffer", np.empty(0)).size < size:
        _kept.buffer = np.empty(size, np.uint8)
    return _kept.buffer[:size].view(dtype).reshape(shape)


def _rows(images, at):
    """The pixels `at` of a batch as the rows of a matrix."""
    return images.reshape(-1, images.shape[3])[at]


def _slice(group, channels, groups):
    return slice(group * channels // groups, (group + 1) * channels // groups)


def _group_channels(matrix, group, groups):
    return np.ascontiguousarray(matrix[:, _slice(group, matrix.shape[1], groups)])


def _group_matrix(w, group, groups):
    """The weights of one group as a matrix (kh kw C_in / groups, C_out / groups)."""
    w = w[..., _slice(group, w.shape[3], groups)]
    return w.reshape(-1, w.shape[3])
