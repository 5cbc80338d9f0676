"""im2col: the patches under a sliding kernel as the rows of a matrix; and col2im, its transpose.

A convolution is then one matrix product: with cols = im2col(x) and w as a matrix (kh kw C_in, C_out),

    y = cols w          dx = col2im(dy wᵀ)          dw = colsᵀ dy

im2col copies every pixel to each of the kh kw places where the kernel meets it. col2im goes the other way and adds
what comes together, because the gradient of a copy is a sum. Transposed convolution needs nothing of its own: its
value is this file's `input_gradient`.

This is the plain way: any kernel, stride, padding, dilation and groups, float32 and float64. The patches are
made band by band of output rows, counted through the whole batch (row r is row r % Ho of image r // Ho), so
that they never need more memory than a band.

Shapes: x (N, H, W, C_in), w (kh, kw, C_in / groups, C_out), y (N, Ho, Wo, C_out). Each of the `groups` groups of
input channels meets only its own group of output channels.

Source: Chellapilla, Puri & Simard, High performance convolutional neural networks for document processing
(2006), section 2.
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.bias import bias_gradient
from minifcn.kernels.crop import fill, fill_pixels
from minifcn.kernels.matmul import matmul
from minifcn.kernels.recording import unrecorded
from minifcn.kernels.rectify import rectify, rectify_backward
from minifcn.kernels.team import share, team, two

BAND = 4 << 20  # bytes of patches at a time, so that they stay in the cache,
PIXELS = 256  # but at least so many pixels: for each band all weights are read


def im2col_definition(x, kernel_size, stride, padding, dilation):
    """cols[n, i, j, u, v, c] = x[n, i s + u d - p, j s + v d - p, c], and 0 outside the image."""
    (N, H, W, C), (kh, kw), (sh, sw), (ph, pw), (dh, dw) = x.shape, kernel_size, stride, padding, dilation
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    Ho = (H + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    Wo = (W + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    cols = np.empty((N, Ho, Wo, kh, kw, C), x.dtype)
    for u in range(kh):
        for v in range(kw):
            rows = slice(u * dh, u * dh + sh * (Ho - 1) + 1, sh)
            columns = slice(v * dw, v * dw + sw * (Wo - 1) + 1, sw)
            cols[:, :, :, u, v] = padded[:, rows, columns]
    return cols


@team
def im2col(thread, threads, x, cols, first_row, Ho, first_channel, stride, padding, dilation):
    """Fill cols (rows, Wo, kh, kw, C) with the patches of the output rows from `first_row` on.

    C may be less than the channels of x: then it is the group of channels from `first_channel` on.
    """
    H, W = x.shape[1], x.shape[2]
    rows, Wo, kh, kw, C = cols.shape
    (sh, sw), (ph, pw), (dh, dw) = two(stride), two(padding), two(dilation)
    begin, end = share(rows, thread, threads)
    for r in range(begin, end):
        n, i = divmod(first_row + r, Ho)
        for j in range(Wo):
            for u in range(kh):
                h = i * sh + u * dh - ph
                for v in range(kw):
                    w = j * sw + v * dw - pw
                    if 0 <= h < H and 0 <= w < W:
                        pixel = x[n, h, w, first_channel:]
                        for c in range(C):
                            cols[r, j, u, v, c] = pixel[c]
                    else:
                        for c in range(C):
                            cols[r, j, u, v, c] = 0


@team
def col2im(thread, threads, cols, x, first_row, Ho, first_channel, stride, padding, dilation):
    """Add cols (rows, Wo, kh, kw, C) to the pixels of x that im2col copied them from.

    A thread owns rows of x and fetches what belongs there, so no two threads add to one pixel. A pixel's sum has
    the same order, and so the same bits, however the work is cut into bands and threads.
    """
    H, W = x.shape[1], x.shape[2]
    rows, Wo, kh, kw, C = cols.shape
    (sh, sw), (ph, pw), (dh, dw) = two(stride), two(padding), two(dilation)
    first_image, last_image = first_row // Ho, (first_row + rows - 1) // Ho
    begin, end = share((last_image - first_image + 1) * H, thread, threads)
    for q in range(begin, end):
        n, h = first_image + q // H, q % H
        for u in range(kh - 1, -1, -1):  # so i ascends, as it does from band to band
            i, remainder = divmod(h + ph - u * dh, sh)
            r = n * Ho + i - first_row
            if remainder == 0 and 0 <= i < Ho and 0 <= r < rows:
                for j in range(Wo):
                    for v in range(kw):
                        w = j * sw + v * dw - pw
                        if 0 <= w < W:
                            for c in range(C):
                                x[n, h, w, first_channel + c] += cols[r, j, u, v, c]


# ---------------------------------------------------------------- the three products


def convolve(x, w, bias, window, y, relu=False):
    """y = im2col(x) w + bias; of that max(0, y) with `relu`."""
    if bias is None:
        fill(y.reshape(-1), 0)
    else:
        fill_pixels(y.reshape(-1, y.shape[3]), bias)
    for group, cols, at in _patches(x, window, y.shape):
        weights = _group_matrix(w, group, window.groups)
        if window.groups == 1:
            matmul(cols, weights, _rows(y, at))
        else:
            part = np.zeros((cols.shape[0], weights.shape[1]), y.dtype)
            matmul(cols, weights, part)
            _rows(y, at)[:, _slice(group, y.shape[3], window.groups)] += part
    if relu:
        rectify(y.reshape(-1), y.reshape(-1))


def weight_gradient(x, dy, window, dw, db=None):
    """dw = im2col(x)ᵀ dy, and db, if it is given, the sum of dy over all pixels."""
    fill(dw.reshape(-1), 0)
    for group, cols, at in _patches(x, window, dy.shape):
        upstream = _group_channels(_rows(dy, at), group, window.groups)
        if window.groups == 1:
            matmul(cols.T, upstream, dw.reshape(-1, dw.shape[3]))
        else:
            part = np.zeros((cols.shape[1], dy.shape[3] // window.groups), dw.dtype)
            matmul(cols.T, upstream, part)
            dw[..., _slice(group, dy.shape[3], window.groups)] += part.reshape(*dw.shape[:3], -1)
    if db is not None:
        bias_gradient(dy, db)


def input_gradient(dy, w, window, dx, gate=None):
    """dx = col2im(dy wᵀ); 0 where the array `gate` is not positive."""
    (kh, kw), C = window.kernel_size, dx.shape[3] // window.groups
    _, Ho, Wo, _ = dy.shape
    fill(dx.reshape(-1), 0)
    for first, rows in _bands(dy.shape, kh * kw * C * dx.itemsize):
        at = slice(first * Wo, (first + rows) * Wo)
        for group in range(window.groups):
            transposed = _group_matrix(w, group, window.groups).T
            upstream = _group_channels(_rows(dy, at), group, window.groups)
            if window.copies or window.groups > 1:
                cols = memory.empty((rows, Wo, kh, kw, C), dx.dtype)
                matmul(upstream, transposed, cols.reshape(rows * Wo, -1), add=False)
                col2im(cols, dx, first, Ho, group * C, window.stride, window.padding, window.dilation)
            else:
                matmul(upstream, transposed, _rows(dx, at))
    if gate is not None:
        rectify_backward(dx.reshape(-1), gate.reshape(-1), dx.reshape(-1))


def _patches(x, window, output_shape):
    """Band by band and group by group: the group, its patches as a matrix, and which output pixels they are."""
    (kh, kw), C = window.kernel_size, x.shape[3] // window.groups
    _, Ho, Wo, _ = output_shape
    for first, rows in _bands(output_shape, kh * kw * C * x.itemsize):
        at = slice(first * Wo, (first + rows) * Wo)
        for group in range(window.groups):
            if window.copies or window.groups > 1:
                cols = memory.empty((rows, Wo, kh, kw, C), x.dtype)
                im2col(x, cols, first, Ho, group * C, window.stride, window.padding, window.dilation)
                yield group, cols.reshape(rows * Wo, -1), at
            else:
                yield group, _rows(x, at), at


def _bands(output_shape, bytes_per_pixel):
    """Cut the output rows of the batch into bands of about BAND bytes of patches: (first row, rows)."""
    N, Ho, Wo, _ = output_shape
    rows = max(1, BAND // (Wo * bytes_per_pixel), PIXELS // Wo)
    for first in range(0, N * Ho, rows):
        yield first, min(rows, N * Ho - first)


def _rows(images, at):
    """The pixels `at` of a batch as the rows of a matrix."""
    return images.reshape(-1, images.shape[3])[at]


def _slice(group, channels, groups):
    return slice(group * channels // groups, (group + 1) * channels // groups)


def _group_channels(matrix, group, groups):
    if groups > 1:
        unrecorded("groups")
    return np.ascontiguousarray(matrix[:, _slice(group, matrix.shape[1], groups)])


def _group_matrix(w, group, groups):
    """The weights of one group as a matrix (kh kw C_in / groups, C_out / groups)."""
    if groups > 1:
        unrecorded("groups")
    w = w[..., _slice(group, w.shape[3], groups)]
    return w.reshape(-1, w.shape[3])
