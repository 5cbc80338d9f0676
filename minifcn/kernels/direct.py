"""Convolution as a matrix product that never copies the patches: the pixels are the matrix, where they lie.

For output pixel j of a row, tap (u, v) and channel c, the number x[u, j s + v d, c] stands in a fixed place: `rows[j]` for
the pixel plus `taps[u, v, c]` for the tap. That is all that `block` wants of a matrix. So of im2col only the
rows of the image that the kernel touches are copied, to put zeros around them.

For few channels in (a photograph has three), where im2col and Winograd spend more time on copying than on products; and
for kernels as large as those of upsampling. Any kernel, stride, padding and dilation; one group.
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.matmul import COLUMNS, DEPTH, ROWS, eight_rows, strip
from minifcn.kernels.team import four, share, team, two
from minifcn.kernels.vector import LANES

def convolve(x, w, bias, window, y, relu=False, gate=None):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`; 0 where the array `gate` is not positive."""
    _convolve(x, w, False, bias, _Plan(x, y, window.kernel_size, window.stride, window.padding, window.dilation), y, relu, gate)


def input_gradient(dy, w, window, dx, gate=None):
    """dx of `convolve`, given dy, for a stride of 1: a convolution with the kernel turned by half a turn."""
    padding = tuple(d * (k - 1) - p for k, p, d in zip(window.kernel_size, window.padding, window.dilation))
    _convolve(dy, w, True, None, _Plan(dy, dx, window.kernel_size, (1, 1), padding, window.dilation), dx, False, gate)


def _convolve(x, w, turned, bias, plan, y, relu, gate):
    panels = memory.empty(plan.taps.size * plan.columns)
    _pack_weights(w.reshape(-1), w.shape, turned, panels, y.shape[3], plan.columns)
    padded_bias = np.zeros(plan.columns, np.float32)
    if bias is not None:
        padded_bias[: y.shape[3]] = bias
    gated = gate is not None
    gate = gate.reshape(-1) if gated else padded_bias
    images = x.reshape(-1), x.shape, y.reshape(-1), y.shape
    _rows(*images, *plan.arguments, plan.taps, panels, padded_bias, relu, gated, gate, plan.work())


def weight_gradient(x, dy, window, dw, db=None):
    """dw (kh, kw, C_in, C_out) and, if it is given, db (C_out,) of `convolve`, given dy."""
    plan = _Plan(x, dy, window.kernel_size, window.stride, window.padding, window.dilation)
    rows = np.pad(plan.taps, (0, -plan.taps.size % ROWS), mode="edge")  # whole blocks of rows
    sums = memory.empty((get_threads(), rows.size, plan.columns))
    bias_sums = np.zeros((get_threads(), plan.columns), np.float32)
    images = x.reshape(-1), x.shape, dy.reshape(-1), dy.shape
    _weight_rows(*images, *plan.arguments, rows, plan.work(), sums, bias_sums)
    dw[...] = sums.sum(axis=0)[: plan.taps.size, : dy.shape[3]].reshape(dw.shape)
    if db is not None:
        db[...] = bias_sums.sum(axis=0)[: dy.shape[3]]


class _Plan:
    """Where things lie in a thread's memory: the padded rows, `pitch` apart, and behind them, from `out` on, a row of
    the output with whole vectors of channels and whole blocks of pixels."""

    def __init__(self, x, y, kernel_size, stride, padding, dilation):
        (kh, kw), C, self.columns = kernel_size, x.shape[3], -(-y.shape[3] // LANES) * LANES
        pixels = -(-y.shape[2] // ROWS) * ROWS
        pitch = ((pixels - 1) * stride[1] + dilation[1] * (kw - 1) + 1) * C
        out = -(-kh * pitch // 16) * 16
        self.arguments = (kh, kw, *stride), (*padding, *dilation), pitch, out, self.columns
        self.size = out + pixels * self.columns
        u, v, c = np.ogrid[:kh, :kw, :C]
        self.taps = (u * pitch + v * dilation[1] * C + c).reshape(-1)  # of tap (u, v) and channel c

    def work(self):
        return memory.empty((get_threads(), self.size))


@team
def _pack_weights(thread, threads, w, shape, turned, panels, C_out, columns):
    """The weights as a matrix (taps, C_out), zeros up to `columns`, cut into panels of COLUMNS columns."""
    kh, kw, I, O = four(shape)
    C = O if turned else I
    begin, end = share(kh * kw * C, thread, threads)
    for k in range(begin, end):
        tap, c = divmod(k, C)
        for o in range(columns):
            panel = o // COLUMNS * COLUMNS
            to = panel * kh * kw * C + k * min(COLUMNS, columns - panel) + o - panel
            if o >= C_out:
                panels[to] = 0
            elif turned:
                panels[to] = w[((kh * kw - 1 - tap) * I + o) * O + c]
            else:
                panels[to] = w[(tap * I + c) * O + o]


@kernel
def _touched(x, shape, n, i, kernel, place, pitch, work):
    """The rows of image n that the kernel touches at output row i, with zeros around them, to work[0:]."""
    (_, H, W, C), (kh, _, sh, _), (ph, pw, dh, _) = shape, kernel, place
    pixels = pitch // C
    left = min(max(0, pw), pixels)
    right = max(left, min(pixels, pw + W))
    for u in range(kh):
        h, to = i * sh - ph + u * dh, u * pitch
        if 0 <= h < H:
            at = ((n * H + h) * W - pw) * C
            for k in range(left * C):
                work[to + k] = 0
            for k in range(left * C, right * C):
                work[to + k] = x[at + k]
            for k in range(right * C, pitch):
                work[to + k] = 0
        else:
            for k in range(pitch):
                work[to + k] = 0


@team
def _rows(
    thread, threads, x, shape, y, output_shape, kernel, place, pitch, out, columns, taps, panels, bias, relu, gated, gate, work
):
    """Row by row of the output."""
    shape, (N, Ho, Wo, C_out), kernel, place = four(shape), four(output_shape), four(kernel), four(place)
    K, work, pixel = taps.size, work[thread], kernel[3] * shape[3]
    begin, end = share(N * Ho, thread, threads)
    for row in range(begin, end):
        n, i = divmod(row, Ho)
        _touched(x, shape, n, i, kernel, place, pitch, work)
        for c in range(0, columns, COLUMNS):
            width = min(COLUMNS, columns - c)
            for k in range(0, K, DEPTH):
                depth, steps, panel = min(DEPTH, K - k), taps[k:], c * K + k * width
                for j in range(0, Wo, ROWS):
                    rows, to = eight_rows(j * pixel, pixel, ROWS), out + j * columns + c
                    strip(width, depth, work, rows, steps, panels, panel, width, work, to, columns, k > 0)
        for j in range(Wo):
            at, to = out + j * columns, (row * Wo + j) * C_out
            for c in range(C_out):
                value = work[at + c] + bias[c]
                if relu:
                    value = 0 if value < 0 else value
                if gated:
                    value = value if gate[to + c] > 0 else 0
                y[to + c] = value


@team
def _weight_rows(
    thread, threads, x, shape, dy, output_shape, kernel, place, pitch, out, columns, taps, work, sums, bias_sums
):
    """Row by row of the output, whose pixels are what is summed over; each thread has sums of its own."""
    shape, (N, Ho, Wo, C_out), kernel, place = four(shape), four(output_shape), four(kernel), four(place)
    work, sums, bias_sums = work[thread], sums[thread].reshape(-1), bias_sums[thread]
    steps = np.arange(Wo) * (kernel[3] * shape[3])
    sums[:] = 0
    begin, end = share(N * Ho, thread, threads)
    for row in range(begin, end):
        n, i = divmod(row, Ho)
        _touched(x, shape, n, i, kernel, place, pitch, work)
        for c in range(0, columns, COLUMNS):
            width, panel = min(COLUMNS, columns - c), out + c * Wo
            there = min(width, C_out - c)
            for j in range(Wo):
                at = (row * Wo + j) * C_out + c
                for k in range(there):
                    work[panel + j * width + k] = dy[at + k]
                    bias_sums[c + k] += dy[at + k]
                for k in range(there, width):
                    work[panel + j * width + k] = 0
            for tap in range(0, taps.size, ROWS):
                rows, to = eight_of(taps, tap), tap * columns + c
                strip(width, Wo, work, rows, steps, work, panel, width, sums, to, columns, True)


@kernel
def eight_of(rows, first):
    """The starts of eight rows from a list."""
    a, b, c, d = rows[first], rows[first + 1], rows[first + 2], rows[first + 3]
    return a, b, c, d, rows[first + 4], rows[first + 5], rows[first + 6], rows[first + 7]
