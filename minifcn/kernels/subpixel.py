"""Transposed convolution without overlapping: every output pixel fetches what it needs.

With a stride of s and a kernel of m s taps, an output pixel is painted by only m input pixels in each
direction; which taps they use depends on where the pixel lies between them, its phase: row h of the output,
counted with the padding, is row a = h mod s of block q = h div s, and

    y[q s + a] = sum over t < m of x[q - t] w[a + t s]

So the m x m input pixels around a block, as one row of a matrix (im2col, with a kernel of m and no holes),
times the weights of all phases side by side, are a block of s x s output pixels. Output rows come out whole,
nothing is added twice. A kernel that is no multiple of the stride gets zeros at its end.

Dilation 1, one group. Source: Shi et al., Is the deconvolution layer the same as a convolutional layer? (2016).
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.crop import fill
from minifcn.kernels.im2col import col2im, im2col
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.matmul import COLUMNS, DEPTH, ROWS, block, eight_rows
from minifcn.kernels.team import four, own, share, team, two
from minifcn.kernels.transpose import transpose
from minifcn.kernels.vector import LANES, clear, copy, load, load_part, store, store_part

NO_BIAS = np.zeros(0, np.float32)
JOB = 64  # rows of the matrix that a thread takes at a time, at least


def transposed_convolve(x, w, bias, stride, padding, y):
    """y = x painted with w, plus bias: x (N, H, W, C_in), w (kh, kw, C_out, C_in), y (N, Ho, Wo, C_out)."""
    plan = _Plan(x, y, w.shape, stride)
    rows = -(-JOB // plan.blocks[1])  # of blocks, so that a job is large enough
    size = -(-rows * plan.blocks[1] // ROWS) * ROWS * plan.width + COLUMNS
    weights = stride[0] * plan.strips * COLUMNS * plan.K
    with memory.scratch(plan.copied, weights, get_threads() * size) as (cols, panels, work):
        cols = plan.cut(x, cols)
        _pack(w.reshape(-1), w.shape, stride, plan.m, plan.strips, panels)
        arguments = cols, plan.blocks, plan.K, stride, padding, panels, plan.strips, rows
        _paint(*arguments, work, NO_BIAS if bias is None else bias, y.reshape(-1), y.shape)


def input_gradient(dy, w, stride, padding, dx):
    """dx of `transposed_convolve`, given dy, the gradient of its output: dy is read once, block by block, and gives
    the gradients of the m x m input pixels around each block, which col2im adds up."""
    plan = _Plan(dx, dy, w.shape, stride)
    strips, line = -(-plan.K // COLUMNS), plan.blocks[1] * plan.width
    rows = -(-4 * JOB // plan.blocks[1])  # so that the weights, read once for each job, are few beside it
    size = rows * line + -(-rows * plan.blocks[1] // ROWS) * ROWS * strips * COLUMNS
    weights = stride[0] * strips * plan.width * COLUMNS
    with memory.scratch(plan.copied, weights, get_threads() * size) as (cols, panels, work):
        _pack_turned(w.reshape(-1), w.shape, stride, plan.m, plan.width, strips, panels)
        arguments = plan.blocks, plan.K, stride, padding, panels, strips, rows
        _collect(dy.reshape(-1), dy.shape, *arguments, work, cols if plan.copied else dx.reshape(-1))
        if plan.copied:
            fill(dx.reshape(-1), 0)
            plan.add(cols, dx)


def weight_gradient(dy, x, stride, padding, dw):
    """dw (kh, kw, C_out, C_in) of `transposed_convolve`, given dy, the gradient of its output, and its input x."""
    plan = _Plan(x, dy, dw.shape, stride)
    size = get_threads() * (DEPTH + plan.K + ROWS) * plan.strips * COLUMNS
    with memory.scratch(plan.copied, plan.patches, size) as (cols, turned, work):
        _turn(plan.cut(x, cols), plan.K, turned)
        arguments = turned, plan.blocks, plan.K, plan.m, stride, padding, plan.strips, work
        _unpaint(*arguments, dy.reshape(-1), dy.shape, dw.reshape(-1), dw.shape)


class _Plan:
    """The sizes: m taps a phase and direction, the blocks of the output, K numbers a patch, and the `width`
    numbers of a row of phases in so many strips of COLUMNS."""

    def __init__(self, x, y, w_shape, stride):
        self.m = tuple(-(-k // s) for k, s in zip(w_shape, stride))
        self.blocks = tuple(n + m - 1 for n, m in zip(x.shape[1:3], self.m))
        self.K = self.m[0] * self.m[1] * x.shape[3]
        self.width = stride[1] * y.shape[3]
        self.strips = -(-self.width // COLUMNS)
        self.patches = x.shape[0] * self.blocks[0] * self.blocks[1] * self.K
        self.copied = 0 if self.m == (1, 1) else self.patches  # numbers; a patch may just be a pixel

    def cut(self, x, cols):
        """x[q - t, r - t'] for all blocks (q, r), the farthest t first."""
        if not self.copied:
            return x.reshape(-1)
        im2col(x, *self._patches(x, cols))
        return cols

    def add(self, cols, x):
        """The numbers of all blocks, added to where `cut` takes them from."""
        cols, *places = self._patches(x, cols)
        col2im(cols, x, *places)

    def _patches(self, x, cols):
        cols = cols.reshape(x.shape[0] * self.blocks[0], self.blocks[1], *self.m, x.shape[3])
        padding = tuple(m - 1 for m in self.m)
        return cols, 0, self.blocks[0], 0, (1, 1), padding, (1, 1)


@kernel
def _weights_of(k, a, m, stride, w_shape):
    """The weights that number k of a patch has in phase a: (first, count) as the columns (b, o) go through the
    phases of a row, the weight of column number j stands at first + j C_in, and beyond `count` the kernel has
    ended."""
    (mh, mw), (sh, sw), (kh, kw, C_out, C_in) = m, stride, w_shape
    tap, c = divmod(k, C_in)
    t, s = divmod(tap, mw)
    u, v = a + (mh - 1 - t) * sh, (mw - 1 - s) * sw
    return (u * kw + v) * C_out * C_in + c, min(sw, kw - v) * C_out if u < kh else 0


@team
def _pack(thread, threads, w, w_shape, stride, m, strips, panels):
    """panels[a, strip, k, column]."""
    w_shape, stride, m = four(w_shape), two(stride), two(m)
    taps, C_in = m[0] * m[1], w_shape[3]
    begin, end = share(stride[0] * strips * taps, thread, threads)
    for job in range(begin, end):
        rest, tap = divmod(job, taps)
        a, strip = divmod(rest, strips)
        first, count = _weights_of(tap * C_in, a, m, stride, w_shape)
        to, column = job * C_in * COLUMNS, strip * COLUMNS
        there = max(0, min(COLUMNS, count - column))
        if there < COLUMNS:
            clear(C_in * COLUMNS, panels, to)
        transpose(there, C_in, w, first + column * C_in, C_in, panels, to, COLUMNS)


@team
def _paint(
    thread, threads, cols, blocks, K, stride, padding, panels, strips, rows, work, bias, y, output_shape
):
    """A job is one phase a of some rows of blocks. Strips go from the last to the first: the last reaches over
    into the first columns of the next row, which are overwritten then."""
    (N, Ho, Wo, C), (Q, R), (sh, sw), (ph, pw) = four(output_shape), two(blocks), two(stride), two(padding)
    work, width, steps = own(work, thread, threads), sw * C, np.arange(min(K, DEPTH))
    groups = (Q + rows - 1) // rows
    begin, end = share(N * sh * groups, thread, threads)
    for job in range(begin, end):
        rest, group = divmod(job, groups)
        n, a = divmod(rest, sh)
        q_from, q_to = group * rows, min(Q, group * rows + rows)
        count = (q_to - q_from) * R
        first = (n * Q + q_from) * R * K
        for strip in range(strips - 1, -1, -1):
            for r in range(0, count, ROWS):
                for k in range(0, K, DEPTH):
                    starts = eight_rows(first + r * K + k, K, min(ROWS, count - r))
                    panel = ((a * strips + strip) * K + k) * COLUMNS
                    to = r * width + strip * COLUMNS
                    block(
                        min(DEPTH, K - k), cols, starts, steps, panels, panel, COLUMNS, work, to, width, k > 0
                    )
        for q in range(q_from, q_to):
            h = q * sh + a - ph
            if 0 <= h < Ho:
                to, there = (n * Ho + h) * Wo * C, min(Wo, R * sw - pw) * C
                copy(there, work, ((q - q_from) * R * sw + pw) * C, y, to)
                clear(Wo * C - there, y, to + there)
                _add_to_row(bias, y, to, Wo)
    for row in range(thread, N * Ho, threads):  # rows that no block reaches (output padding)
        if (row % Ho + ph) // sh >= Q:
            clear(Wo * C, y, row * Wo * C)
            _add_to_row(bias, y, row * Wo * C, Wo)


@kernel
def _add_to_row(bias, y, to, pixels):
    C = bias.size
    for c in range(0, C, LANES):
        there = min(LANES, C - c)
        b = load_part(bias, c, there)
        for at in range(to + c, to + c + pixels * C, C):
            store_part(y, at, load_part(y, at, there) + b, there)


@team
def _pack_turned(thread, threads, w, w_shape, stride, m, width, strips, panels):
    """panels[a, strip, column, k]."""
    w_shape, stride, m = four(w_shape), two(stride), two(m)
    C_in, panel = w_shape[3], width * COLUMNS
    K = m[0] * m[1] * C_in
    begin, end = share(stride[0] * strips, thread, threads)
    for job in range(begin, end):
        a, strip = divmod(job, strips)
        clear(panel, panels, job * panel)
        k, last = strip * COLUMNS, min(K, strip * COLUMNS + COLUMNS)
        while k < last:
            run = min(last, (k // C_in + 1) * C_in) - k  # numbers of one tap lie side by side
            first, count = _weights_of(k, a, m, stride, w_shape)
            for j in range(count):
                copy(run, w, first + j * C_in, panels, job * panel + j * COLUMNS + k % COLUMNS)
            k += run


@team
def _collect(thread, threads, dy, output_shape, blocks, K, stride, padding, panels, strips, rows, work, cols):
    """A job is some rows of blocks: for each phase a, their rows of dy with zeros around, times its weights."""
    (N, Ho, Wo, C), (Q, R), (sh, sw), (ph, pw) = four(output_shape), two(blocks), two(stride), two(padding)
    work, width, pitch, steps = own(work, thread, threads), sw * C, strips * COLUMNS, np.arange(DEPTH)
    line, left, right = R * width, min(pw, R * sw) * C, min(pw + Wo, R * sw) * C
    sums, groups = rows * line, (Q + rows - 1) // rows
    begin, end = share(N * groups, thread, threads)
    for job in range(begin, end):
        n, group = divmod(job, groups)
        q_from, q_to = group * rows, min(Q, group * rows + rows)
        count = (q_to - q_from) * R
        for a in range(sh):
            for q in range(q_from, q_to):
                h, to = q * sh + a - ph, (q - q_from) * line
                first, last = (left, right) if 0 <= h < Ho else (line, line)
                clear(first, work, to)
                copy(last - first, dy, ((n * Ho + h) * Wo - pw) * C + first, work, to + first)
                clear(line - last, work, to + last)
            for strip in range(strips):
                for d in range(0, width, DEPTH):
                    panel = ((a * strips + strip) * width + d) * COLUMNS
                    for r in range(0, count, ROWS):
                        starts = eight_rows(r * width + d, width, min(ROWS, count - r))
                        to = sums + r * pitch + strip * COLUMNS
                        block(
                            min(DEPTH, width - d),
                            work,
                            starts,
                            steps,
                            panels,
                            panel,
                            COLUMNS,
                            work,
                            to,
                            pitch,
                            a + d > 0,
                        )
        to = (n * Q + q_from) * R * K
        for r in range(count):
            copy(K, work, sums + r * pitch, cols, to + r * K)


@team
def _turn(thread, threads, cols, K, turned):
    """The transpose of the patches: a thread sums over them, and reads fastest what lies side by side."""
    depth = cols.size // K
    begin, end = share(depth, thread, threads)
    transpose(end - begin, K, cols, begin * K, K, turned, begin, depth)


@team
def _unpaint(
    thread, threads, cols, blocks, K, m, stride, padding, strips, work, dy, output_shape, dw, w_shape
):
    """A job is one phase a: the sum over all blocks of patch times gradient, which is read once, row by row."""
    (N, Ho, Wo, C), (Q, R), (sh, sw), (ph, pw) = four(output_shape), two(blocks), two(stride), two(padding)
    w_shape, m, stride, work = four(w_shape), two(m), two(stride), own(work, thread, threads)
    depth, width, C_in = N * Q * R, sw * C, w_shape[3]
    steps, panel, all_columns = np.arange(min(depth, DEPTH)), DEPTH * COLUMNS, strips * COLUMNS
    sums = strips * panel
    begin, end = share(sh, thread, threads)
    for a in range(begin, end):
        for d in range(0, depth, DEPTH):
            count = min(DEPTH, depth - d)
            row, r = divmod(d, R)
            for place in range(count):
                n, q = divmod(row, Q)
                h, left = q * sh + a - ph, r * sw - pw  # the first pixel of the block, if the padding lets it
                at = ((n * Ho + h) * Wo + left) * C
                first = max(0, -left * C)
                last = min(width, (Wo - left) * C) if 0 <= h < Ho else 0
                for strip in range(strips):
                    column, to = strip * COLUMNS, strip * panel + place * COLUMNS
                    if first <= column and column + COLUMNS <= last:
                        store(work, to, load(dy, at + column))
                        store(work, to + LANES, load(dy, at + column + LANES))
                    else:
                        begins, ends = max(first, column), min(last, column + COLUMNS)
                        clear(COLUMNS, work, to)
                        copy(max(0, ends - begins), dy, at + begins, work, to + begins - column)
                row, r = (row, r + 1) if r + 1 < R else (row + 1, 0)
            for strip in range(strips):  # whose gradients stay in the first cache
                for k in range(0, K, ROWS):
                    starts = eight_rows(k * depth + d, depth, min(ROWS, K - k))
                    to = sums + k * all_columns + strip * COLUMNS
                    block(
                        count, cols, starts, steps, work, strip * panel, COLUMNS, work, to, all_columns, d > 0
                    )
        for k in range(0, K, C_in):
            first, count = _weights_of(k, a, m, stride, w_shape)
            transpose(C_in, count, work, sums + k * all_columns, all_columns, dw, first, C_in)
