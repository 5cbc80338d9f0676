"""Pooling: the largest or the mean value under each window, and where its gradient goes.

Windows may stick out of the image, by padding or by rounding up (ceil_mode); only the pixels inside count.
In backward the jobs of the threads must not meet: where windows overlap, a job is a whole image, otherwise
one row of windows. The index of a prange is unsigned; np.int64 makes it a number that can be subtracted from.
"""

import numpy as np

from minifcn.kernels.jit import kernel, prange


def max_pool_definition(x, output_size, kernel_size, stride, padding):
    """y[n, i, j, c] = the largest of the window's pixels inside the image."""
    (N, _, _, C), (Ho, Wo) = x.shape, output_size
    y = np.empty((N, Ho, Wo, C), x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            y[:, i, j] = x[_window(x.shape, i, j, kernel_size, stride, padding)].max(axis=(1, 2))
    return y


def avg_pool_definition(x, output_size, kernel_size, stride, padding):
    """y[n, i, j, c] = the sum of the window's pixels over its size, zero padding counted but nothing beyond."""
    (N, H, W, C), (Ho, Wo) = x.shape, output_size
    y = np.empty((N, Ho, Wo, C), x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            h, w = i * stride[0] - padding[0], j * stride[1] - padding[1]
            rows = min(h + kernel_size[0], H + padding[0]) - h
            columns = min(w + kernel_size[1], W + padding[1]) - w
            inside = x[_window(x.shape, i, j, kernel_size, stride, padding)]
            y[:, i, j] = inside.sum(axis=(1, 2)) / (rows * columns)
    return y


def _window(shape, i, j, kernel_size, stride, padding):
    h, w = i * stride[0] - padding[0], j * stride[1] - padding[1]
    rows = slice(max(h, 0), min(h + kernel_size[0], shape[1]))
    return slice(None), rows, slice(max(w, 0), min(w + kernel_size[1], shape[2]))


@kernel(parallel=True)
def max_pool(x, y, argmax, kernel_size, stride, padding):
    """Fill y (N, Ho, Wo, C), and argmax with where each maximum stands: h W + w. Of equal ones, the first.

    A NaN counts as the largest, so that it is seen further on and not lost.
    """
    N, Ho, Wo, C = y.shape
    H, W = x.shape[1], x.shape[2]
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    for r in prange(N * Ho):
        n, i = divmod(np.int64(r), Ho)
        top, bottom = max(i * sh - ph, 0), min(i * sh - ph + kh, H)
        for j in range(Wo):
            left, right = max(j * sw - pw, 0), min(j * sw - pw + kw, W)
            for c in range(C):
                y[n, i, j, c] = x[n, top, left, c]
                argmax[n, i, j, c] = top * W + left
            for h in range(top, bottom):
                for w in range(left, right):
                    for c in range(C):
                        value = x[n, h, w, c]
                        larger = value > y[n, i, j, c] or value != value
                        y[n, i, j, c] = value if larger else y[n, i, j, c]
                        argmax[n, i, j, c] = h * W + w if larger else argmax[n, i, j, c]


@kernel(parallel=True)
def max_pool_backward(dy, argmax, dx, overlapping):
    """dx[argmax] += dy: all of a window's gradient goes to its maximum."""
    N, Ho, Wo, C = dy.shape
    W = dx.shape[2]
    jobs, rows = (N, Ho) if overlapping else (N * Ho, 1)
    for job in prange(jobs):
        for r in range(job * rows, (job + 1) * rows):
            n, i = divmod(np.int64(r), Ho)
            for j in range(Wo):
                for c in range(C):
                    h, w = divmod(argmax[n, i, j, c], W)
                    dx[n, h, w, c] += dy[n, i, j, c]


@kernel(parallel=True)
def avg_pool(x, y, kernel_size, stride, padding):
    """Fill y (N, Ho, Wo, C) with the means."""
    N, Ho, Wo, C = y.shape
    H, W = x.shape[1], x.shape[2]
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    for r in prange(N * Ho):
        n, i = divmod(np.int64(r), Ho)
        top, end = i * sh - ph, min(i * sh - ph + kh, H + ph)
        for j in range(Wo):
            left, stop = j * sw - pw, min(j * sw - pw + kw, W + pw)
            for c in range(C):
                y[n, i, j, c] = 0
            for h in range(max(top, 0), min(end, H)):
                for w in range(max(left, 0), min(stop, W)):
                    for c in range(C):
                        y[n, i, j, c] += x[n, h, w, c]
            for c in range(C):
                y[n, i, j, c] /= (end - top) * (stop - left)


@kernel(parallel=True)
def avg_pool_backward(dy, dx, kernel_size, stride, padding, overlapping):
    """dx[every pixel of the window] += dy / window size."""
    N, Ho, Wo, C = dy.shape
    H, W = dx.shape[1], dx.shape[2]
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    jobs, rows = (N, Ho) if overlapping else (N * Ho, 1)
    for job in prange(jobs):
        for r in range(job * rows, (job + 1) * rows):
            n, i = divmod(np.int64(r), Ho)
            top, end = i * sh - ph, min(i * sh - ph + kh, H + ph)
            for j in range(Wo):
                left, stop = j * sw - pw, min(j * sw - pw + kw, W + pw)
                for h in range(max(top, 0), min(end, H)):
                    for w in range(max(left, 0), min(stop, W)):
                        for c in range(C):
                            dx[n, h, w, c] += dy[n, i, j, c] / ((end - top) * (stop - left))
