"""Convolution as a matrix product that never copies the patches: the pixels are the matrix, where they lie.

For output pixel j of a row, tap (u, v) and channel c, the number x[u, j s + v d, c] stands in a fixed place:
`rows[j]` for the pixel plus `taps[u, v, c]` for the tap. That is all that `block` wants of a matrix. So of
im2col only the rows of the image that the kernel touches are copied, to put zeros around them; and for a kernel of
1x1, which needs none, nothing.

For few channels in (a photograph has three), where im2col and Winograd spend more time on copying than on
products; and for kernels as large as those of upsampling. Any kernel, stride, padding and dilation; one group.
"""

import functools

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.bias import add_up
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.matmul import COLUMNS, DEPTH, ROWS, eight_rows, finish, finishing, pack, strip
from minifcn.kernels.team import four, own, share, team
from minifcn.kernels.transpose import transpose
from minifcn.kernels.vector import LANES, clear, copy, fetch_run_to_write, load, store

GROUP = 64  # output pixels at a time, about: for each group all weights are read


def convolve(x, w, bias, window, y, relu=False, gate=None):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`; 0 where the array `gate` is not
    positive."""
    plan = _plan(x.shape, y.shape, window.kernel_size, window.stride, window.padding, window.dilation)
    _convolve(x, w, False, bias, plan, y, relu, gate)


def input_gradient(dy, w, window, dx, gate=None):
    """dx of `convolve`, given dy, for a stride of 1: a convolution with the kernel turned by half a turn."""
    padding = tuple(d * (k - 1) - p for k, p, d in zip(window.kernel_size, window.padding, window.dilation))
    plan = _plan(dy.shape, dx.shape, window.kernel_size, (1, 1), padding, window.dilation)
    _convolve(dy, w, True, None, plan, dx, False, gate)


def _convolve(x, w, turned, bias, plan, y, relu, gate):
    images = x.reshape(-1), x.shape, y.reshape(-1), y.shape
    size = plan.taps.size * plan.columns + plan.rows * plan.row + plan.pixels * plan.columns
    weights = w.reshape(-1), w.shape, turned
    with memory.scratch(get_threads() * size) as (work,):
        _rows(*images, *plan.arguments, plan.taps, *weights, *finishing(bias, relu, gate, plan.columns), work)


def weight_gradient(x, dy, window, dw, db=None):
    """dw (kh, kw, C_in, C_out) and, if it is given, db (C_out,) of `convolve`, given dy."""
    plan = _plan(x.shape, dy.shape, window.kernel_size, window.stride, window.padding, window.dilation)
    bias_sums, threads, taps = np.empty((get_threads(), plan.columns), np.float32), get_threads(), plan.whole
    images = x.reshape(-1), x.shape, dy.reshape(-1), dy.shape
    size = plan.rows * (plan.row + dy.shape[2] * COLUMNS)
    with memory.scratch(threads * size, threads * taps.size * plan.columns) as (work, sums):
        _weight_rows(*images, *plan.arguments, taps, work, sums, bias_sums.reshape(-1))
        _finish_weights(sums, plan.columns, dw.reshape(-1), dy.shape[3])
    if db is not None:
        add_up(bias_sums, db)


def rows_at_a_time(rows, Wo):
    """How many output rows, of all images, make a group."""
    return min(rows, -(-GROUP // Wo))


class _Plan:
    """Where things lie in a thread's memory: for each of `rows` output rows, one behind the other, a copy of
    the input rows that the kernel touches, `pitch` apart, of `row` numbers in all."""

    def __init__(self, x_shape, y_shape, kernel_size, stride, padding, dilation):
        (kh, kw), C, (N, Ho, Wo, C_out) = kernel_size, x_shape[3], y_shape
        self.columns = -(-C_out // LANES) * LANES
        pitch = ((Wo - 1) * stride[1] + dilation[1] * (kw - 1) + 1) * C
        self.row, self.rows = kh * pitch, rows_at_a_time(N * Ho, Wo)
        self.pixels = -(-self.rows * Wo // ROWS) * ROWS
        copied = (kh, kw, *stride, *padding) != (1, 1, 1, 1, 0, 0) or x_shape[:3] != y_shape[:3]
        self.arguments = (kh, kw, *stride), (*padding, *dilation), pitch, self.columns, self.rows, copied
        u, v, c = np.ogrid[:kh, :kw, :C]
        self.taps = (u * pitch + v * dilation[1] * C + c).reshape(-1)  # of tap (u, v) and channel c
        self.whole = np.pad(self.taps, (0, -self.taps.size % ROWS), mode="edge")  # whole blocks of rows


_plan = functools.lru_cache(256)(_Plan)


@kernel
def _pack_weights(w, shape, turned, work, panels, C_out, columns):
    """The weights as a matrix (taps, C_out), zeros up to `columns`, cut into panels of COLUMNS columns, to
    work[panels:]."""
    kh, kw, w_in, w_out = shape
    taps, C = kh * kw, w_out if turned else w_in
    for o in range(0, columns, COLUMNS):
        width, to = min(COLUMNS, columns - o), panels + o * taps * C
        there = min(width, C_out - o)
        if there < width:
            clear(taps * C * width, work, to)
        for tap in range(taps):
            if turned:
                at = ((taps - 1 - tap) * w_in + o) * w_out
                transpose(there, C, w, at, w_out, work, to + tap * C * width, width)
            else:
                for k in range(tap * C, (tap + 1) * C):
                    copy(there, w, k * w_out + o, work, to + k * width)


@kernel
def _touched(x, shape, n, i, kernel, place, pitch, work, to):
    """The rows of image n that the kernel touches at output row i, with zeros around them, to work[to:]."""
    (_, H, W, C), (kh, _, sh, _), (ph, pw, dh, _) = shape, kernel, place
    pixels = pitch // C
    left = min(max(0, pw), pixels)
    right = max(left, min(pixels, pw + W))
    for u in range(kh):
        h = i * sh - ph + u * dh
        if 0 <= h < H:
            at = ((n * H + h) * W - pw + left) * C
            clear(left * C, work, to)
            copy((right - left) * C, x, at, work, to + left * C)
            clear(pitch - right * C, work, to + right * C)
        else:
            clear(pitch, work, to)
        to += pitch


@team
def _rows(
    thread,
    threads,
    x,
    shape,
    y,
    output_shape,
    kernel,
    place,
    pitch,
    columns,
    rows,
    copied,
    taps,
    w,
    w_shape,
    turned,
    bias,
    relu,
    gated,
    gate,
    work,
):
    """Group by group of output rows."""
    shape, (N, Ho, Wo, C_out), kernel, place = four(shape), four(output_shape), four(kernel), four(place)
    K, work, pixel, size = taps.size, own(work, thread, threads), kernel[3] * shape[3], kernel[0] * pitch
    out, places = rows * size, np.empty((rows * Wo + ROWS - 1) // ROWS * ROWS, np.int64)
    for p in range(places.size):  # beyond the last pixel that one again, and its results are dropped
        r, j = divmod(min(p, rows * Wo - 1), Wo)
        places[p] = r * size + j * pixel
    panels = out + places.size * columns
    _pack_weights(w, four(w_shape), turned, work, panels, C_out, columns)
    begin, end = share(N * Ho, thread, threads)
    for first in range(begin, end, rows):
        count = min(rows, end - first)
        fetch_run_to_write(count * Wo * C_out, y, first * Wo * C_out)
        for r in range(count if copied else 0):
            n, i = divmod(first + r, Ho)
            _touched(x, shape, n, i, kernel, place, pitch, work, r * size)
        pixels = work if copied else x
        for c in range(0, columns, COLUMNS):
            width = min(COLUMNS, columns - c)
            for k in range(0, K, DEPTH):
                depth, steps, panel = min(DEPTH, K - k), taps[k:], panels + c * K + k * width
                for p in range(0, count * Wo, ROWS):
                    starts, to = eight_of(places, p, 0), out + p * columns + c
                    if not copied:
                        starts = eight_rows((first * Wo + p) * K, K, min(ROWS, count * Wo - p))
                    strip(width, depth, pixels, starts, steps, work, panel, width, work, to, columns, k > 0)
        finish(count * Wo, work, out, columns, bias, relu, gated, gate, y, first * Wo * C_out, C_out)


@team
def _weight_rows(
    thread,
    threads,
    x,
    shape,
    dy,
    output_shape,
    kernel,
    place,
    pitch,
    columns,
    rows,
    copied,
    taps,
    work,
    sums,
    bias_sums,
):
    """Group by group of output rows, whose pixels are what is summed over; each thread has sums of its own."""
    shape, (N, Ho, Wo, C_out), kernel, place = four(shape), four(output_shape), four(kernel), four(place)
    work, sums, size = own(work, thread, threads), own(sums, thread, threads), kernel[0] * pitch
    bias_sums = own(bias_sums, thread, threads)
    clear(columns, bias_sums, 0)
    steps, panel = np.empty(rows * Wo, np.int64), rows * size
    for pixel in range(rows * Wo):
        steps[pixel] = pixel // Wo * size + pixel % Wo * kernel[3] * shape[3]
    begin, end = share(N * Ho, thread, threads)
    for k in range(sums.size if begin == end else 0):
        sums[k] = 0
    for first in range(begin, end, rows):
        count, before = min(rows, end - first), 0 if copied else first * Wo * shape[3]
        for r in range(count if copied else 0):
            n, i = divmod(first + r, Ho)
            _touched(x, shape, n, i, kernel, place, pitch, work, r * size)
        pixels = work if copied else x
        for c in range(0, columns, COLUMNS):
            width, b, at, row = min(COLUMNS, columns - c), dy, first * Wo * C_out + c, C_out
            if c + width > C_out:
                pack(dy, at, C_out, 1, count * Wo, C_out - c, work, panel)
                b, at, row = work, panel, COLUMNS
            for v in range(0, width, LANES):
                total = load(bias_sums, c + v)
                for pixel in range(count * Wo):
                    total = total + load(b, at + pixel * row + v)
                store(bias_sums, c + v, total)
            for tap in range(0, taps.size, ROWS):
                starts, to = eight_of(taps, tap, before), tap * columns + c
                strip(width, count * Wo, pixels, starts, steps, b, at, row, sums, to, columns, first > begin)


@team
def _finish_weights(thread, threads, sums, columns, dw, C_out):
    """dw = the sum of the threads' sums."""
    part = sums.size // threads
    begin, end = share(dw.size // C_out, thread, threads)
    for k in range(begin, end):
        for c in range(0, C_out, LANES):
            total = load(sums, k * columns + c)
            for other in range(1, threads):
                total = total + load(sums, other * part + k * columns + c)
            if c + LANES <= C_out:
                store(dw, k * C_out + c, total)
            else:
                store(sums, k * columns + c, total)
                copy(C_out - c, sums, k * columns + c, dw, k * C_out + c)


@kernel
def eight_of(rows, first, before):
    """The starts of eight rows from a list, all so much further on."""
    a, b, c, d = rows[first], rows[first + 1], rows[first + 2], rows[first + 3]
    e, f, g, h = rows[first + 4], rows[first + 5], rows[first + 6], rows[first + 7]
    return a + before, b + before, c + before, d + before, e + before, f + before, g + before, h + before
