"""Convolution of maps that are hardly larger than the kernel: the images are the rows of the matrix.

Deep in a network a map may have 2x2 pixels and the kernel 7x7 taps, of which all but a few meet only the zeros
around the map. Here every output pixel multiplies just the taps that meet pixels. With few pixels to a map, it
is the pixels at one place in all images of the batch that fill a block of rows.

Stride and dilation 1, one group.
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.bias import bias_gradient
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.matmul import (
    COLUMNS,
    DEPTH,
    ROWS,
    block,
    eight_rows,
    finish,
    finishing,
    pack,
    part_of_block,
)
from minifcn.kernels.team import four, own, share, team, two
from minifcn.kernels.vector import clear


def products(shape, output_shape, kernel_size, padding):
    """How many pairs of a tap and an image's pixel meet, counting the images in whole blocks of rows."""
    pairs = -(-shape[0] // ROWS) * ROWS
    for n, m, k, p in zip(shape[1:3], output_shape[1:3], kernel_size, padding):
        pairs *= sum(max(0, min(k, n - i + p) - max(0, p - i)) for i in range(m))
    return pairs


def convolve(x, w, bias, padding, y, relu=False, gate=None):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`; 0 where the array `gate` is not
    positive."""
    _convolve(x, w, False, bias, padding, y, relu, gate)


def input_gradient(dy, w, padding, dx, gate=None):
    """dx of `convolve`, given dy: a convolution with the kernel turned by half a turn."""
    _convolve(dy, w, True, None, tuple(k - 1 - p for k, p in zip(w.shape, padding)), dx, False, gate)


def _convolve(x, w, turned, bias, padding, y, relu, gate):
    (_, Ho, Wo, C_out), images = y.shape, -(-x.shape[0] // ROWS) * ROWS
    o = -(-C_out // COLUMNS) * COLUMNS
    arguments = x.reshape(-1), x.shape, w.reshape(-1), w.shape, turned, padding, y.shape, images, o
    with memory.scratch(get_threads() * DEPTH * COLUMNS, Ho * Wo * images * o) as (panels, sums):
        _sum_taps(*arguments, panels, sums)
        _finish(sums, images, o, *finishing(bias, relu, gate, o), y.reshape(-1), y.shape)


@kernel
def _meet(n, m, tap, p):
    """The output pixels i whose tap meets a pixel: 0 <= i + tap - p < n."""
    return max(0, p - tap), min(m, n + p - tap)


@team
def _sum_taps(thread, threads, x, shape, w, w_shape, turned, padding, output_shape, images, o, panels, sums):
    """sums[i, j, n] of all channels; each thread has panels of its own, so that it reads only its part of w."""
    (N, H, W, C), (kh, kw, w_in, w_out) = four(shape), four(w_shape)
    (_, Ho, Wo, C_out), (ph, pw) = four(output_shape), two(padding)
    panel, steps = own(panels, thread, threads), np.arange(min(C, DEPTH))
    begin, end = share(o // COLUMNS, thread, threads)
    for c in range(begin * COLUMNS, end * COLUMNS, COLUMNS):
        there = min(COLUMNS, C_out - c)
        for pixel in range(Ho * Wo * images):
            for k in range(c, c + COLUMNS):
                sums[pixel * o + k] = 0
        for u in range(kh):
            i_from, i_to = _meet(H, Ho, u, ph)
            for v in range(kw):
                j_from, j_to = _meet(W, Wo, v, pw)
                for k in range(0, C if i_from < i_to and j_from < j_to else 0, DEPTH):
                    depth = min(DEPTH, C - k)
                    if turned:
                        first, row, step = (((kh - 1 - u) * kw + kw - 1 - v) * w_in + c) * w_out + k, 1, w_out
                    else:
                        first, row, step = ((u * kw + v) * w_in + k) * w_out + c, w_out, 1
                    pack(w, first, row, step, depth, there, panel, 0)
                    for i in range(i_from, i_to):
                        for j in range(j_from, j_to):
                            for n in range(0, N, ROWS):
                                at = ((n * H + i + u - ph) * W + j + v - pw) * C + k
                                rows = eight_rows(at, H * W * C, min(ROWS, N - n))
                                to = ((i * Wo + j) * images + n) * o + c
                                block(depth, x, rows, steps, panel, 0, COLUMNS, sums, to, o, True)


@team
def _finish(thread, threads, sums, images, o, bias, relu, gated, gate, y, output_shape):
    """From sums[i, j, n] to y[n, i, j], with bias, ReLU and gate."""
    N, Ho, Wo, C = four(output_shape)
    begin, end = share(N * Ho * Wo, thread, threads)
    for pixel in range(begin, end):
        n, place = divmod(pixel, Ho * Wo)
        finish(1, sums, (place * images + n) * o, o, bias, relu, gated, gate, y, pixel * C, C)


def weight_gradient(x, dy, padding, dw, db=None):
    """dw (kh, kw, C_in, C_out) and, if it is given, db (C_out,) of `convolve`, given dy."""
    pixels = dy.size // dy.shape[3]
    arguments = x.reshape(-1), x.shape, dy.reshape(-1), dy.shape, padding
    with memory.scratch(get_threads() * (pixels + ROWS) * COLUMNS) as (panels,):
        _tap_gradients(*arguments, panels, dw.reshape(-1), dw.shape)
    if db is not None:
        bias_gradient(dy, db)


@team
def _tap_gradients(thread, threads, x, shape, dy, output_shape, padding, panels, dw, w_shape):
    """Tap by tap: the sum over the pixels that it meets, which are gathered in a panel. The threads take turns,
    since the taps in the middle meet the most."""
    (N, H, W, C), (_, Ho, Wo, C_out) = four(shape), four(output_shape)
    (kh, kw, _, _), (ph, pw) = four(w_shape), two(padding)
    panel, steps, edge = own(panels, thread, threads), np.empty(N * Ho * Wo, np.int64), N * Ho * Wo * COLUMNS
    strips = (C_out + COLUMNS - 1) // COLUMNS
    for job in range(thread, kh * kw * strips, threads):
        tap, strip = divmod(job, strips)
        u, v = divmod(tap, kw)
        c = strip * COLUMNS
        there = min(COLUMNS, C_out - c)
        (i_from, i_to), (j_from, j_to) = _meet(H, Ho, u, ph), _meet(W, Wo, v, pw)
        depth = 0
        for n in range(N):
            for i in range(i_from, i_to):
                for j in range(j_from, j_to):
                    steps[depth] = ((n * H + i + u - ph) * W + j + v - pw) * C
                    at = ((n * Ho + i) * Wo + j) * C_out + c
                    for q in range(COLUMNS):
                        panel[depth * COLUMNS + q] = dy[at + q] if q < there else 0
                    depth += 1
        if depth == 0 and strip == tap % strips:  # one job of each tap, not always the same thread's
            clear(C * C_out, dw, tap * C * C_out)
        for k in range(0, C if depth else 0, ROWS):
            rows, to = min(ROWS, C - k), (tap * C + k) * C_out + c
            if rows == ROWS and there == COLUMNS:
                block(depth, x, eight_rows(k, 1, rows), steps, panel, 0, COLUMNS, dw, to, C_out, False)
            else:
                starts, here = eight_rows(k, 1, rows), (dw, to, C_out, rows, there)
                part_of_block(depth, x, starts, steps, panel, 0, COLUMNS, panel, edge, *here, False)
