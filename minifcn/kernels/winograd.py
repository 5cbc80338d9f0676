"""Convolution with 3x3 kernels at stride 1, by Winograd's F(4x4, 3x3): a quarter of the multiplications.

The output is cut into tiles of 4x4 pixels; each needs 6x6 pixels of the input. With the transforms of
winograd_tiles.py, number by number,

    y = Aᵀ [U · V] A        V = Bᵀ d B of the input tile,   U = G w Gᵀ of the kernel

and summed over the input channels that is, for each of the 36 numbers, a matrix product of (tiles, C_in) and
(C_in, C_out). The gradients are the same three transforms the other way:

    dx = the convolution of dy with the kernels turned by half a turn, channels in and out exchanged
    dw = Gᵀ [Vᵀ · M] G      M = A dy Aᵀ of the output tile's gradient, summed over the tiles

Where the weights fit into a thread's cache beside a block of tiles, each thread takes blocks of tiles through all
steps, so that what lies between the transforms never leaves the cache. For more channels the threads share the 36
products of a larger block, so that each of them reads only its part of the weights.

Channels are padded with zeros to a multiple of GRAIN in between, never in x and y.

Source: Lavin & Gray, Fast algorithms for convolutional neural networks (2016).
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.matmul import COLUMNS, DEPTH, block, eight_rows, narrow_block, sixteen_rows
from minifcn.kernels.team import four, share, team, two
from minifcn.kernels.vector import LANES, load, store
from minifcn.kernels.winograd_tiles import (
    cut,
    gradient_tile,
    input_tile,
    kernel_gradient_tile,
    kernel_tile,
    output_tile,
    paste,
)

GRAIN = 16  # channels and tiles are padded to a multiple of this: whole vectors and whole blocks of rows
OWN = 512 << 10  # bytes that fit into a thread's second cache: of weights, and of tiles to work on
MOST = DEPTH  # tiles in a block: with more, the panels of the weights' gradient would not fit into the first cache


def convolve(x, w, bias, padding, y, relu=False, gate=None):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`; 0 where the array `gate` is not positive.

    x (N, H, W, C_in), w (3, 3, C_in, C_out), y (N, Ho, Wo, C_out). y[n, i, j] sees x from row i - padding[0] and
    column j - padding[1] on; a negative padding leaves the first pixels out.
    """
    _convolve(x, w, False, bias, padding, y, relu, gate)


def input_gradient(dy, w, padding, dx, gate=None):
    """dx of `convolve`, given dy; 0 where the array `gate` is not positive."""
    _convolve(dy, w, True, None, (2 - padding[0], 2 - padding[1]), dx, False, gate)


def _convolve(x, w, turned, bias, padding, y, relu, gate):
    C_in, C_out = x.shape[3], y.shape[3]
    i, o = _padded(C_in), _padded(C_out)
    u = memory.empty(36 * C_in * o)
    _transform_weights(w.reshape(-1), w.shape, turned, u, C_in, C_out, o)
    padded_bias = np.zeros(o, np.float32)
    if bias is not None:
        padded_bias[:C_out] = bias
    gated = gate is not None
    gate = gate.reshape(-1) if gated else padded_bias
    x, shape, y, output_shape = x.reshape(-1), x.shape, y.reshape(-1), y.shape
    total, tiles, own = _blocks(output_shape, i, o)
    work = memory.empty(_work_size(tiles, i, o, own))
    if own:
        _all_steps(x, shape, padding, i, u, padded_bias, relu, gated, gate, y, output_shape, o, total, tiles, work)
        return
    for first in range(0, total, tiles):
        count = min(tiles, total - first)
        _share_inputs(x, shape, output_shape, padding, first, count, i, tiles, work)
        _share_products(count, u, C_in, i, o, tiles, work)
        _share_outputs(padded_bias, relu, gated, gate, y, output_shape, first, count, i, o, tiles, work)


def weight_gradient(x, dy, padding, dw, db=None):
    """dw (3, 3, C_in, C_out) and, if it is given, db (C_out,) of `convolve`, given dy."""
    C_in, C_out = dw.shape[2:]
    i, o = _padded(C_in), _padded(C_out)
    x, shape, dy, output_shape = x.reshape(-1), x.shape, dy.reshape(-1), dy.shape
    total, tiles, own = _blocks(output_shape, i, o)
    parts = min(get_threads(), -(-total // tiles)) if own else 1
    work = memory.empty(_work_size(tiles, i, o, own))
    sums = memory.empty((parts, 36 * i * o))
    bias_sums = np.zeros((get_threads(), o), np.float32)
    if own:
        arguments = x, shape, padding, i, dy, output_shape, o, total, tiles, work, parts
        _all_weight_steps(*arguments, sums.reshape(-1), bias_sums.reshape(-1))
    else:
        for first in range(0, total, tiles):
            count = min(tiles, total - first)
            _share_inputs(x, shape, output_shape, padding, first, count, i, tiles, work)
            _share_gradients(dy, output_shape, first, count, i, o, tiles, work, bias_sums.reshape(-1))
            _share_weight_products(count, i, o, tiles, work, first > 0, sums.reshape(-1))
    padded = memory.empty((3, 3, i, o))
    _finish_weights(sums.reshape(-1), parts, i, o, padded.reshape(-1))
    dw[...] = padded[:, :, :C_in, :C_out]
    if db is not None:
        db[...] = bias_sums.sum(axis=0)[:C_out]


def _padded(n):
    return -(-n // GRAIN) * GRAIN


def _blocks(shape, i, o):
    """How many tiles there are, how many to take at a time, and whether each thread takes its own."""
    N, H, W, _ = shape
    total = N * -(-H // 4) * -(-W // 4)
    own = 36 * i * o * 4 <= OWN
    share = -(-total // get_threads()) if own else total
    room = OWN // (36 * (i + o) * 4) // GRAIN * GRAIN if own else MOST
    return total, max(GRAIN, min(_padded(share), room, MOST)), own


def _work_size(tiles, i, o, own):
    """For V and M of a block of tiles, of each thread or of all; and for each thread a tile cut out at the border."""
    blocks = 36 * (tiles * i + LANES) + 36 * (tiles * o + LANES)
    return blocks * (get_threads() if own else 1) + get_threads() * 36 * max(i, o)


# ---------------------------------------------------------------- weights


@team
def _transform_weights(thread, threads, w, shape, turned, u, C_in, C_out, o):
    """U = G w Gᵀ as 36 matrices (C_in, C_out), each cut into panels of COLUMNS columns; turned: of `input_gradient`."""
    _, _, I, O = four(shape)
    taps = np.zeros(9 * LANES, np.float32)
    begin, end = share(o // LANES * C_in, thread, threads)
    for job in range(begin, end):
        part, k = divmod(job, C_in)
        c = part * LANES
        panel = c // COLUMNS * COLUMNS
        for tap in range(9):
            for l in range(min(LANES, C_out - c)):
                if turned:
                    taps[tap * LANES + l] = w[((8 - tap) * I + c + l) * O + k]
                else:
                    taps[tap * LANES + l] = w[(tap * I + k) * O + c + l]
        to = panel * C_in + k * min(COLUMNS, o - panel) + c - panel
        kernel_tile(taps, 0, 3 * LANES, LANES, u, to, C_in * o)


@team
def _finish_weights(thread, threads, sums, parts, i, o, dw):
    """dw = Gᵀ [the sum of the threads' parts] G."""
    total = np.empty(36 * LANES, np.float32)
    begin, end = share(i * o // LANES, thread, threads)
    for job in range(begin, end):
        at = job * LANES
        for position in range(36):
            value = load(sums, position * i * o + at)
            for part in range(1, parts):
                value = value + load(sums, (part * 36 + position) * i * o + at)
            store(total, position * LANES, value)
        kernel_gradient_tile(total, 0, LANES, dw, at, 3 * i * o, i * o)


# ---------------------------------------------------------------- the steps, for some tiles or some positions


@kernel
def _place(tile, shape):
    """The image and the first pixel of a tile of the output."""
    _, H, W, _ = shape
    columns = (W + 3) // 4
    n, rest = divmod(tile, (H + 3) // 4 * columns)
    i, j = divmod(rest, columns)
    return n, 4 * i, 4 * j


@kernel
def _inputs(x, shape, output_shape, padding, first, count, channels, v, to, step, edge):
    """V of `count` tiles from `first` on. Tiles that reach over the border are cut out first, at v[edge]."""
    _, H, W, C = shape
    for t in range(count):
        n, i, j = _place(first + t, output_shape)
        h, w = i - padding[0], j - padding[1]
        tile, at, row = x, ((n * H + h) * W + w) * C, W * C
        if C != channels or h < 0 or w < 0 or h + 6 > H or w + 6 > W:
            cut(x, shape, (n, h, w), 6, v, edge, channels)
            tile, at, row = v, edge, 6 * channels
        input_tile(tile, at, row, channels, channels, v, to + t * channels, step)


@kernel
def _products(v, at, i, step, count, u, C_in, o, to, to_step, steps, first, last):
    """M = V U for the positions first … last, over `count` tiles."""
    for position in range(first, last):
        a, m = at + position * step, to + position * to_step
        for k in range(0, C_in, DEPTH):
            depth = min(DEPTH, C_in - k)
            for c in range(0, o, COLUMNS):
                width = min(COLUMNS, o - c)
                panel = (position * o + c) * C_in + k * width
                if width == COLUMNS:
                    for t in range(0, count, 8):
                        rows = eight_rows(a + t * i + k, i, 8)
                        block(depth, v, rows, steps, u, panel, v, m + t * o + c, o, k > 0)
                else:
                    for t in range(0, count, 16):
                        rows = sixteen_rows(a + t * i + k, i)
                        narrow_block(depth, v, rows, steps, u, panel, v, m + t * o + c, o, k > 0)


@kernel
def _outputs(m, at, step, bias, relu, gated, gate, y, shape, first, count, channels, edge):
    """y of `count` tiles from `first` on. Tiles that reach over the border are finished at m[edge], and pasted."""
    _, H, W, C = shape
    for t in range(count):
        n, i, j = _place(first + t, shape)
        inside = C == channels and i + 4 <= H and j + 4 <= W
        tile, to, row = y, ((n * H + i) * W + j) * C, W * C
        if not inside:
            tile, to, row = m, edge, 4 * channels
        gated_here = gated and inside
        output_tile(m, at + t * channels, step, bias, relu, gated_here, gate, tile, to, row, channels, channels)
        if not inside:
            paste(m, edge, channels, gated, gate, y, shape, (n, i, j))


@kernel
def _gradients(dy, shape, first, begin, end, channels, tiles, m, to, step, edge, db, sums):
    """M of the tiles begin … end of the block that starts with tile `first`, in panels of COLUMNS channels; the sums of
    dy are added to db[sums:]."""
    _, H, W, C = shape
    for t in range(begin, end):
        n, i, j = _place(first + t, shape)
        tile, at, row = dy, ((n * H + i) * W + j) * C, W * C
        if C != channels or i + 4 > H or j + 4 > W:
            cut(dy, shape, (n, i, j), 4, m, edge, channels)
            tile, at, row = m, edge, 4 * channels
        for c in range(0, channels, LANES):
            panel = c // COLUMNS * COLUMNS
            width = min(COLUMNS, channels - panel)
            gradient_tile(tile, at + c, row, channels, m, to + panel * tiles + t * width + c - panel, step)
            total = load(db, sums + c)
            for k in range(4):
                a = at + c + k * row
                left, right = load(tile, a) + load(tile, a + channels), load(tile, a + 2 * channels)
                total = total + (left + (right + load(tile, a + 3 * channels)))
            store(db, sums + c, total)


@kernel
def _weight_products(v, at, i, step, count, o, m, m_step, tiles, steps, first, last, add, out, to):
    """Vᵀ M for the positions first … last, over `count` tiles; to or, with `add`, added to out[to:]."""
    for position in range(first, last):
        a, b = at + position * step, m + position * m_step
        for c in range(0, o, COLUMNS):
            for k in range(0, i, 16):
                place = to + (position * i + k) * o + c
                if c + COLUMNS <= o:
                    block(count, v, eight_rows(a + k, 1, 8), steps, v, b + c * tiles, out, place, o, add)
                    rows = eight_rows(a + k + 8, 1, 8)
                    block(count, v, rows, steps, v, b + c * tiles, out, place + 8 * o, o, add)
                else:
                    narrow_block(count, v, sixteen_rows(a + k, 1), steps, v, b + c * tiles, out, place, o, add)


# ---------------------------------------------------------------- each thread does all steps


@team
def _all_steps(
    thread, threads, x, shape, padding, i, u, bias, relu, gated, gate, y, output_shape, o, total, tiles, work
):
    shape, output_shape, padding = four(shape), four(output_shape), two(padding)
    v_step, m_step = tiles * i + LANES, tiles * o + LANES  # not a power of two: the 36 would share cache lines
    v = thread * (36 * (v_step + m_step + max(i, o)))
    m = v + 36 * v_step
    edge = m + 36 * m_step
    steps = np.arange(min(shape[3], DEPTH))
    begin, end = share((total + tiles - 1) // tiles, thread, threads)
    for first in range(begin * tiles, min(end * tiles, total), tiles):
        count = min(tiles, total - first)
        _inputs(x, shape, output_shape, padding, first, count, i, work, v, v_step, edge)
        _products(work, v, i, v_step, count, u, shape[3], o, m, m_step, steps, 0, 36)
        _outputs(work, m, m_step, bias, relu, gated, gate, y, output_shape, first, count, o, edge)


@team
def _all_weight_steps(
    thread, threads, x, shape, padding, i, dy, output_shape, o, total, tiles, work, parts, sums, bias_sums
):
    shape, output_shape, padding = four(shape), four(output_shape), two(padding)
    v_step, m_step = tiles * i + LANES, tiles * o + LANES
    v = thread * (36 * (v_step + m_step + max(i, o)))
    m = v + 36 * v_step
    edge = m + 36 * m_step
    steps = np.arange(tiles) * i
    if thread < parts:
        begin, end = share((total + tiles - 1) // tiles, thread, parts)
        for first in range(begin * tiles, min(end * tiles, total), tiles):
            count, add = min(tiles, total - first), first > begin * tiles
            _inputs(x, shape, output_shape, padding, first, count, i, work, v, v_step, edge)
            _gradients(dy, output_shape, first, 0, count, o, tiles, work, m, m_step, edge, bias_sums, thread * o)
            to = thread * 36 * i * o
            _weight_products(work, v, i, v_step, count, o, m, m_step, tiles, steps, 0, 36, add, sums, to)


# ---------------------------------------------------------------- all threads share each step


@team
def _share_inputs(thread, threads, x, shape, output_shape, padding, first, count, i, tiles, work):
    begin, end = share(count, thread, threads)
    step, edge = tiles * i + LANES, work.size - (thread + 1) * 36 * i
    shape, output_shape, padding = four(shape), four(output_shape), two(padding)
    _inputs(x, shape, output_shape, padding, first + begin, end - begin, i, work, begin * i, step, edge)


@team
def _share_products(thread, threads, count, u, C_in, i, o, tiles, work):
    v_step, m_step = tiles * i + LANES, tiles * o + LANES
    begin, end = share(36, thread, threads)
    steps = np.arange(min(C_in, DEPTH))
    _products(work, 0, i, v_step, count, u, C_in, o, 36 * v_step, m_step, steps, begin, end)


@team
def _share_outputs(
    thread, threads, bias, relu, gated, gate, y, output_shape, first, count, i, o, tiles, work
):
    begin, end = share(count, thread, threads)
    m, step, edge = 36 * (tiles * i + LANES), tiles * o + LANES, work.size - (thread + 1) * 36 * o
    shape, count, m = four(output_shape), end - begin, m + begin * o
    _outputs(work, m, step, bias, relu, gated, gate, y, shape, first + begin, count, o, edge)


@team
def _share_gradients(thread, threads, dy, output_shape, first, count, i, o, tiles, work, bias_sums):
    begin, end = share(count, thread, threads)
    m, step, edge = 36 * (tiles * i + LANES), tiles * o + LANES, work.size - (thread + 1) * 36 * o
    shape, sums = four(output_shape), thread * o
    _gradients(dy, shape, first, begin, end, o, tiles, work, m, step, edge, bias_sums, sums)


@team
def _share_weight_products(thread, threads, count, i, o, tiles, work, add, sums):
    v_step, m_step = tiles * i + LANES, tiles * o + LANES
    begin, end = share(36, thread, threads)
    steps = np.arange(tiles) * i
    _weight_products(
        work, 0, i, v_step, count, o, 36 * v_step, m_step, tiles, steps, begin, end, add, sums, 0
    )
