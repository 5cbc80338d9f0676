"""Pooling: the largest or the mean value under each window, and where its gradient goes.

Windows may stick out of the image, by padding or by rounding up (ceil_mode); only the pixels inside count. In
backward the jobs of the threads must not meet: where windows overlap, a job is a whole image, otherwise one
row of windows.
"""

import numpy as np

from minifcn.kernels.jit import kernel
from minifcn.kernels.team import share, team, two


def max_pool_definition(x, output_size, kernel_size, stride, padding, dilation):
    """y[n, i, j, c] = the largest of the window's pixels inside the image."""
    (N, _, _, C), (Ho, Wo) = x.shape, output_size
    y = np.empty((N, Ho, Wo, C), x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            rows, columns = _taps(x.shape, (i, j), kernel_size, stride, padding, dilation)
            y[:, i, j] = x[:, rows][:, :, columns].max(axis=(1, 2), initial=-np.inf)
    return y


def avg_pool_definition(x, output_size, kernel_size, stride, padding, dilation):
    """y[n, i, j, c] = the sum of the window's pixels over its size, zero padding counted but nothing beyond."""
    (N, H, W, C), (Ho, Wo) = x.shape, output_size
    y = np.empty((N, Ho, Wo, C), x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            rows, columns = _taps(x.shape, (i, j), kernel_size, stride, padding, dilation)
            size = 1
            for at, n, k, s, p, d in zip((i, j), (H, W), kernel_size, stride, padding, dilation):
                size *= sum(at * s - p + u * d < n + p for u in range(k))
            y[:, i, j] = x[:, rows][:, :, columns].sum(axis=(1, 2)) / size
    return y


def _taps(shape, place, kernel_size, stride, padding, dilation):
    """The rows and the columns of the image under the window at `place`."""
    return [
        [at * s - p + u * d for u in range(k) if 0 <= at * s - p + u * d < n]
        for at, n, k, s, p, d in zip(place, shape[1:3], kernel_size, stride, padding, dilation)
    ]


@team
def max_pool(thread, threads, x, y, argmax, kernel_size, stride, padding, dilation):
    """Fill y (N, Ho, Wo, C), and argmax with where each maximum stands: h W + w. Of equal ones, the first.

    A NaN counts as the largest, so that it is seen further on and not lost. A window without any pixel (large
    dilation can have one) gives -inf and the place -1.
    """
    N, Ho, Wo, C = y.shape
    H, W = x.shape[1], x.shape[2]
    (kh, kw), (sh, sw) = two(kernel_size), two(stride)
    (ph, pw), (dh, dw) = two(padding), two(dilation)
    begin, end = share(N * Ho, thread, threads)
    for r in range(begin, end):
        n, i = divmod(r, Ho)
        for j in range(Wo):
            largest, where = y[n, i, j], argmax[n, i, j]
            for c in range(C):
                largest[c] = -np.inf
                where[c] = -1
            for u in range(kh):
                h = i * sh - ph + u * dh
                for v in range(kw):
                    w = j * sw - pw + v * dw
                    if 0 <= h < H and 0 <= w < W:
                        pixel, here = x[n, h, w], np.int32(h * W + w)
                        for c in range(C):
                            value, before, place = pixel[c], largest[c], where[c]
                            larger = (value > before) | (value != value) | (place < 0)
                            largest[c] = value if larger else before
                            where[c] = here if larger else place


@team
def max_pool_backward(thread, threads, dy, argmax, dx, overlapping):
    """dx[argmax] += dy: all of a window's gradient goes to its maximum."""
    N, Ho, Wo, C = dy.shape
    W = dx.shape[2]
    jobs, rows = (N, Ho) if overlapping else (N * Ho, 1)
    begin, end = share(jobs, thread, threads)
    for r in range(begin * rows, end * rows):
        n, i = divmod(r, Ho)
        for j in range(Wo):
            for c in range(C):
                place = argmax[n, i, j, c]
                if place >= 0:
                    dx[n, place // W, place % W, c] += dy[n, i, j, c]


@team
def max_pool_2x2(thread, threads, x, y, where):
    """`max_pool` for windows of 2x2 side by side, and where[...] = which of the four it was, row by row.

    Windows that stick out of the image at its right and lower border have fewer pixels.
    """
    (N, H, W, C), (_, Ho, Wo, _) = x.shape, y.shape
    begin, end = share(N * Ho, thread, threads)
    for r in range(begin, end):
        n, i = divmod(r, Ho)
        tall = 2 * i + 1 < H
        top, bottom = x[n, 2 * i], x[n, 2 * i + tall]
        for j in range(Wo):
            wide = 2 * j + 1 < W
            a, b, d, e = top[2 * j], top[2 * j + wide], bottom[2 * j], bottom[2 * j + wide]
            out, at = y[n, i, j], where[n, i, j]
            for c in range(C):
                right = wide & ((b[c] > a[c]) | (b[c] != b[c]))
                below_right = wide & ((e[c] > d[c]) | (e[c] != e[c]))
                up, down = b[c] if right else a[c], e[c] if below_right else d[c]
                lower = tall & ((down > up) | (down != down))
                out[c] = down if lower else up
                at[c] = (3 if below_right else 2) if lower else (1 if right else 0)


@team
def max_pool_2x2_backward(thread, threads, dy, where, y, gated, dx):
    """dx of `max_pool_2x2`: dy at the maximum, 0 at the others; with `gated` also 0 where y is not positive.

    A last row or column that no window covers gets 0.
    """
    (N, H, W, C), (_, Ho, Wo, _) = dx.shape, dy.shape
    begin, end = share(N * H, thread, threads)
    for row in range(begin, end):
        n, h = divmod(row, H)
        i, u = divmod(h, 2)
        for w in range(W):
            j, v = divmod(w, 2)
            out = dx[n, h, w]
            if i < Ho and j < Wo:
                upstream, largest, at, here = dy[n, i, j], y[n, i, j], where[n, i, j], np.uint8(2 * u + v)
                for c in range(C):
                    value = upstream[c]
                    passes = (at[c] == here) & ((not gated) | (largest[c] > 0))
                    out[c] = value if passes else 0
            else:
                for c in range(C):
                    out[c] = 0


@team
def avg_pool(thread, threads, x, y, kernel_size, stride, padding, dilation):
    """Fill y (N, Ho, Wo, C) with the means."""
    N, Ho, Wo, C = y.shape
    H, W = x.shape[1], x.shape[2]
    (kh, kw), (sh, sw) = two(kernel_size), two(stride)
    (ph, pw), (dh, dw) = two(padding), two(dilation)
    begin, end = share(N * Ho, thread, threads)
    for r in range(begin, end):
        n, i = divmod(r, Ho)
        for j in range(Wo):
            for c in range(C):
                y[n, i, j, c] = 0
            for u in range(kh):
                h = i * sh - ph + u * dh
                for v in range(kw):
                    w = j * sw - pw + v * dw
                    if 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            y[n, i, j, c] += x[n, h, w, c]
            size = _reach(i * sh - ph, kh, dh, H + ph) * _reach(j * sw - pw, kw, dw, W + pw)
            for c in range(C):
                y[n, i, j, c] /= size


@team
def avg_pool_backward(thread, threads, dy, dx, kernel_size, stride, padding, dilation, overlapping):
    """dx[every pixel of the window] += dy / window size."""
    N, Ho, Wo, C = dy.shape
    H, W = dx.shape[1], dx.shape[2]
    (kh, kw), (sh, sw) = two(kernel_size), two(stride)
    (ph, pw), (dh, dw) = two(padding), two(dilation)
    jobs, rows = (N, Ho) if overlapping else (N * Ho, 1)
    begin, end = share(jobs, thread, threads)
    for r in range(begin * rows, end * rows):
        n, i = divmod(r, Ho)
        for j in range(Wo):
            size = _reach(i * sh - ph, kh, dh, H + ph) * _reach(j * sw - pw, kw, dw, W + pw)
            for u in range(kh):
                h = i * sh - ph + u * dh
                for v in range(kw):
                    w = j * sw - pw + v * dw
                    if 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            dx[n, h, w, c] += dy[n, i, j, c] / size


@kernel
def _reach(start, taps, dilation, end):
    """How many of the taps start, start + dilation, … lie before the end of the image and its padding."""
    return min(taps, (end - 1 - start) // dilation + 1)
