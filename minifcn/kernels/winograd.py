"""Convolution with 3x3 kernels at stride 1, by Winograd's F(4x4, 3x3): a quarter of the multiplications.

The output is cut into tiles of 4x4 pixels; each needs 6x6 pixels of the input. With the transforms of
winograd_tiles.py, number by number,

    y = Aᵀ [U · V] A        V = Bᵀ d B of the input tile,   U = G w Gᵀ of the kernel

and summed over the input channels that is, for each of the 36 numbers, a matrix product of (tiles, C_in) and
(C_in, C_out). The gradients are the same three transforms the other way:

    dx = the convolution of dy with the kernels turned by half a turn, channels in and out exchanged
    dw = Gᵀ [Vᵀ · M] G      M = A dy Aᵀ of the output tile's gradient, summed over the tiles

What lies between the transforms should never leave a thread's cache. So each thread takes a block of tiles
through all steps, one panel of output channels after the other. With many channels and few tiles it would read
all weights for too little work: then the threads share V, and each takes panels of output channels through the
rest; it transforms the weights that it needs, a piece that fits into its cache at a time, and no weight is read
twice.

Channels are padded with zeros to a multiple of GRAIN in between, never in x and y. V, and M of the gradients, are
written tile by tile, the 36 numbers of a tile side by side, since a thread writes fastest to one place; M of the
forward pass is written matrix by matrix.

Source: Lavin & Gray, Fast algorithms for convolutional neural networks (2016).
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.matmul import COLUMNS, DEPTH, ROWS, eight_rows, strip
from minifcn.kernels.team import four, own, share, team, two
from minifcn.kernels.vector import LANES, load, store
from minifcn.kernels.winograd_tiles import (
    cut,
    gradient_tile,
    input_tile,
    kernel_gradient_tile,
    kernel_tile,
    output_tile,
    paste,
    paste_pooled,
    pooled_output_tile,
    unpool,
)

GRAIN = 16  # channels and tiles are padded to a multiple of this: whole vectors and whole blocks of rows
CACHE = 1 << 20  # bytes: what a thread's second cache holds at the least,
TILES = 384 << 10  # and how much of it a block of tiles should take,
LEAST, MOST = 64, DEPTH  # but so many tiles, for each of which all weights are read, and no more than these
CHUNK = 64  # input channels whose weights are transformed at a time


def convolve(x, w, bias, padding, y, relu=False):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`.

    x (N, H, W, C_in), w (3, 3, C_in, C_out), y (N, Ho, Wo, C_out). y[n, i, j] sees x from row i - padding[0] and
    column j - padding[1] on; a negative padding leaves the first pixels out.
    """
    _convolve(x, w, False, bias, padding, y.shape, y, relu)


def convolve_and_pool(x, w, bias, padding, size, y, where):
    """y = the largest of each 2x2 pixels of max(0, `convolve`), whose size is (Ho, Wo); `where` (uint8, of y's
    shape) tells the gradients which of the four it was. The convolution itself is never stored."""
    N, _, _, C_out = y.shape
    _convolve(x, w, False, bias, padding, (N, *size, C_out), y, True, where=where, pool=True)


def input_gradient(dy, w, padding, dx, gate=None, where=None):
    """dx of `convolve`, given dy; 0 where the array `gate` is not positive. With `where`, dy is pooled."""
    padding = 2 - padding[0], 2 - padding[1]
    _convolve(dy, w, True, None, padding, dx.shape, dx, False, gate, where, unpool=where is not None)


NOWHERE = np.zeros(1, np.uint8)


def _convolve(
    x, w, turned, bias, padding, output_shape, y, relu, gate=None, where=None, pool=False, unpool=False
):
    C_in, C_out = x.shape[3], y.shape[3]
    i, o = _padded(C_in), _padded(C_out)
    padded_bias = np.zeros(o, np.float32)
    if bias is not None:
        padded_bias[:C_out] = bias
    gated = gate is not None
    gate = gate.reshape(-1) if gated else padded_bias
    where = NOWHERE if where is None else where.reshape(-1)
    weights = w.reshape(-1), w.shape, turned
    source = x.reshape(-1), where, unpool, x.shape, output_shape, padding
    finish = padded_bias, relu, gated, gate, where, pool, y.shape, y.reshape(-1)
    total, tiles, alone = _blocks(output_shape, i, o)
    edge = 36 * max(i, COLUMNS)  # for a tile that is cut out at the border
    if alone:
        size = tiles * _tile_size(i) + 36 * _matrix_size(tiles, COLUMNS) + edge
        with memory.scratch(36 * C_in * o, get_threads() * size) as (u, work):
            _transform_weights(*weights, u, C_in, C_out, o)
            _tiles_through_all_steps(*source, i, u, *finish, o, total, tiles, work)
        return
    size = 36 * (_matrix_size(CHUNK, COLUMNS) + _matrix_size(tiles, COLUMNS)) + edge
    with memory.scratch(tiles * _tile_size(i) + get_threads() * edge, get_threads() * size) as (v, work):
        for first in range(0, total, tiles):
            count = min(tiles, total - first)
            _share_inputs(*source, first, count, i, v)
            _panels_through_the_rest(
                v, output_shape, first, count, i, *weights, *finish, C_in, o, tiles, work
            )


def weight_gradient(x, dy, padding, dw, db=None, where=None, size=None):
    """dw (3, 3, C_in, C_out) and, if it is given, db (C_out,) of `convolve`, given dy; or of
    `convolve_and_pool`."""
    C_in, C_out = dw.shape[2:]
    i, o = _padded(C_in), _padded(C_out)
    shape = dy.shape if where is None else (dy.shape[0], *size, C_out)
    source = x.reshape(-1), NOWHERE, False, x.shape, shape, padding
    upstream = dy.reshape(-1), NOWHERE if where is None else where.reshape(-1), where is not None, dy.shape
    total, tiles, alone = _blocks(shape, i, o, sums=True)
    bias_sums = np.zeros((get_threads(), o), np.float32)
    whole = (i, o) == (C_in, C_out)
    padded = dw if whole else np.empty((3, 3, i, o), np.float32)
    edge, threads = 36 * max(i, o), get_threads()
    if alone:
        parts = min(threads, -(-total // tiles))
        size = tiles * (_tile_size(i) + _tile_size(o)) + edge
        with memory.scratch(threads * size, parts * 36 * i * o) as (work, sums):
            _tiles_through_all_weight_steps(
                *source, *upstream, i, o, total, tiles, work, parts, sums, bias_sums.reshape(-1)
            )
            _finish_weights(sums, parts, i, o, padded.reshape(-1))
    else:
        sizes = tiles * _tile_size(i) + threads * edge, tiles * _tile_size(o) + threads * edge
        with memory.scratch(*sizes, threads * 36 * _matrix_size(2 * CHUNK, 2 * COLUMNS)) as (v, m, work):
            for first in range(0, total, tiles):
                count = min(tiles, total - first)
                _share_inputs(*source, first, count, i, v)
                _share_gradients(*upstream, shape, first, count, o, m, bias_sums.reshape(-1))
                _weight_panels(v, i, m, o, count, first > 0, work, padded.reshape(-1))
    if not whole:
        dw[...] = padded[:, :, :C_in, :C_out]
    if db is not None:
        db[...] = bias_sums.sum(axis=0)[:C_out]


def _padded(n):
    return -(-n // GRAIN) * GRAIN


def _blocks(shape, i, o, sums=False):
    """How many tiles there are, how many to take at a time, and whether each thread takes its own: if it then
    has fewer bytes to fetch. `sums` is the other way round: V and M are what is read, and the weights'
    gradients are kept."""
    N, H, W, _ = shape
    total, threads = N * -(-H // 4) * -(-W // 4), get_threads()
    there = _padded(-(-total // threads))
    room = TILES // (36 * (i + o if sums else i) * 4) // GRAIN * GRAIN
    tiles = min(there, max(room, LEAST), MOST)
    weights, inputs = 36 * i * o, 36 * total * i
    fewer = weights * -(-there // tiles) <= inputs * -(-o // (COLUMNS * threads))
    alone = weights * 4 <= CACHE if sums else fewer
    return total, tiles if alone else min(_padded(total), MOST), alone


# How far apart tiles lie, and how far the 36 matrices. Not at a power of two: they would share few places in
# the caches.


def _tile_size(channels):
    return 36 * channels + LANES


def _matrix_size(rows, columns):
    return rows * columns + LANES


_tile, _apart = kernel(_tile_size), kernel(_matrix_size)


# ---------------------------------------------------------------- weights


@kernel
def _transform(w, shape, turned, k, c, C_out, taps, u, to, step):
    """U = G w Gᵀ of input channel k and the LANES output channels from c on; turned: of `input_gradient`."""
    _, _, w_in, w_out = shape
    there = min(LANES, C_out - c)
    if turned:
        for tap in range(9):
            at = ((8 - tap) * w_in + c) * w_out + k
            for lane in range(there):
                taps[tap * LANES + lane] = w[at + lane * w_out]
    elif there < LANES:
        for tap in range(9):
            at = (tap * w_in + k) * w_out + c
            for lane in range(there):
                taps[tap * LANES + lane] = w[at + lane]
    if turned or there < LANES:
        kernel_tile(taps, 0, 3 * LANES, LANES, u, to, step)
    else:
        kernel_tile(w, k * w_out + c, 3 * w_in * w_out, w_in * w_out, u, to, step)


@team
def _transform_weights(thread, threads, w, shape, turned, u, C_in, C_out, o):
    """All U, cut into panels of COLUMNS columns: panel by panel 36 matrices (C_in, columns)."""
    shape, taps = four(shape), np.zeros(9 * LANES, np.float32)
    begin, end = share(o // LANES * C_in, thread, threads)
    part, k = divmod(begin, C_in)
    for _ in range(begin, end):
        c = part * LANES
        panel = c // COLUMNS * COLUMNS
        width = min(COLUMNS, o - panel)
        if k == 0:
            taps[:] = 0
        to = panel * 36 * C_in + k * width + c - panel
        _transform(w, shape, turned, k, c, C_out, taps, u, to, C_in * width)
        part, k = (part, k + 1) if k + 1 < C_in else (part + 1, 0)


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
        kernel_gradient_tile(total, 0, LANES, dw, at, 3 * i * o, i * o, False)


# ---------------------------------------------------------------- the steps, for some tiles


@kernel
def _place(tile, shape):
    """The image and the first pixel of a tile of the output."""
    _, H, W, _ = shape
    columns = (W + 3) // 4
    n, rest = divmod(tile, (H + 3) // 4 * columns)
    i, j = divmod(rest, columns)
    return n, 4 * i, 4 * j


@kernel
def _next(n, i, j, shape):
    """The place of the next tile."""
    _, H, W, _ = shape
    if j + 4 < W:
        return n, i, j + 4
    if i + 4 < H:
        return n, i + 4, 0
    return n + 1, 0, 0


@kernel
def _inputs(x, where, pooled, shape, output_shape, padding, first, count, channels, v, to, edge):
    """V of `count` tiles from `first` on. Tiles that reach over the border, and pooled gradients, are first cut
    out to v[edge]."""
    _, H, W, C = shape
    n, i, j = _place(first, output_shape)
    for t in range(count):
        h, w = i - padding[0], j - padding[1]
        inside = not pooled and channels == C and h >= 0 and w >= 0 and h + 6 <= H and w + 6 <= W
        tile, at, row = x, ((n * H + h) * W + w) * C, W * C
        if not inside:
            tile, at, row = v, edge, 6 * channels
            if pooled:
                unpool(x, where, shape, (n, h, w), 6, v, edge, channels)
            else:
                cut(x, shape, (n, h, w), 6, v, edge, channels)
        input_tile(tile, at, row, channels, channels, v, to + t * _tile(channels), channels)
        n, i, j = _next(n, i, j, output_shape)


@kernel
def _products(v, at, i, count, k, depth, u, panel, width, m, to, ldc, steps, add):
    """M (+)= V U for a tile's number `at`, `depth` input channels from k on, a panel of U and `count` tiles."""
    tile = _tile(i)
    for t in range(0, count, ROWS):
        rows = eight_rows(at + t * tile + k, tile, ROWS)
        strip(width, depth, v, rows, steps, u, panel, width, m, to + t * ldc, ldc, add)


@kernel
def _outputs(
    m,
    at,
    step,
    bias,
    relu,
    gated,
    gate,
    where,
    pool,
    y_shape,
    y,
    shape,
    first,
    count,
    o,
    channels,
    pitch,
    edge,
):
    """y of `count` tiles from `first` on, in the `channels` channels from o on; the tiles of M lie `pitch`
    apart. Tiles that reach over the border are finished at m[edge], and pasted."""
    (_, H, W, C), (_, Hp, Wp, _) = shape, y_shape
    n, i, j = _place(first, shape)
    for t in range(count):
        inside = o + channels <= C and i + 4 <= H and j + 4 <= W
        if inside and pool:
            to = ((n * Hp + i // 2) * Wp + j // 2) * C + o
            pooled_output_tile(m, at + t * pitch, step, bias, o, y, where, to, Wp * C, C, channels)
        else:
            tile, to, row, pixel = y, ((n * H + i) * W + j) * C + o, W * C, C
            if not inside:
                tile, to, row, pixel = m, edge, 4 * channels, channels
            here = gated and inside
            output_tile(m, at + t * pitch, step, bias, o, relu, here, gate, tile, to, row, pixel, channels)
            if pool:
                paste_pooled(m, edge, channels, y, where, shape, y_shape, (n, i, j), o)
            elif not inside:
                paste(m, edge, channels, gated, gate, y, shape, (n, i, j), o)
        n, i, j = _next(n, i, j, shape)


@kernel
def _gradients(dy, where, pooled, dy_shape, shape, first, count, channels, m, to, edge, db, sums):
    """M of the gradients of `count` tiles from `first` on; the sums of dy are added to db[sums:]."""
    _, H, W, C = shape
    n, i, j = _place(first, shape)
    for t in range(count):
        inside = not pooled and channels == C and i + 4 <= H and j + 4 <= W
        tile, at, row = dy, ((n * H + i) * W + j) * C, W * C
        if not inside:
            tile, at, row = m, edge, 4 * channels
            if pooled:
                unpool(dy, where, dy_shape, (n, i, j), 4, m, edge, channels)
            else:
                cut(dy, shape, (n, i, j), 4, m, edge, channels)
        gradient_tile(tile, at, row, channels, channels, m, to + t * _tile(channels), channels, db, sums)
        n, i, j = _next(n, i, j, shape)


@kernel
def _weight_products(v, a, channels, m, b, width, row, count, steps, out, to, ldc, add):
    """Vᵀ M for a tile's number, `channels` input channels from v[a] on and `width` output channels from m[b] on."""
    for k in range(0, channels, ROWS):
        rows = eight_rows(a + k, 1, ROWS)
        strip(width, count, v, rows, steps, m, b, row, out, to + k * ldc, ldc, add)


# ---------------------------------------------------------------- each thread takes tiles through all steps


@team
def _tiles_through_all_steps(
    thread,
    threads,
    x,
    where_in,
    unpooling,
    shape,
    output_shape,
    padding,
    i,
    u,
    bias,
    relu,
    gated,
    gate,
    where,
    pool,
    y_shape,
    y,
    o,
    total,
    tiles,
    work,
):
    shape, output_shape, padding, y_shape = four(shape), four(output_shape), two(padding), four(y_shape)
    C_in, matrix = shape[3], _apart(tiles, COLUMNS)
    v = thread * (work.size // threads)
    m = v + tiles * _tile(i)
    edge = m + 36 * matrix
    steps = np.arange(C_in)
    begin, end = share((total + tiles - 1) // tiles, thread, threads)
    for first in range(begin * tiles, min(end * tiles, total), tiles):
        count = min(tiles, total - first)
        _inputs(x, where_in, unpooling, shape, output_shape, padding, first, count, i, work, v, edge)
        target = (where, pool, y_shape, y, output_shape)
        for c in range(0, o, COLUMNS):
            width = min(COLUMNS, o - c)
            for position in range(36):
                panel, to = c * 36 * C_in + position * C_in * width, m + position * matrix
                _products(
                    work, v + position * i, i, count, 0, C_in, u, panel, width, work, to, width, steps, False
                )
            _outputs(work, m, matrix, bias, relu, gated, gate, *target, first, count, c, width, width, edge)


@team
def _tiles_through_all_weight_steps(
    thread,
    threads,
    x,
    where_in,
    unpooling,
    shape,
    output_shape,
    padding,
    dy,
    where,
    pooled,
    dy_shape,
    i,
    o,
    total,
    tiles,
    work,
    parts,
    sums,
    bias_sums,
):
    shape, output_shape, padding, dy_shape = four(shape), four(output_shape), two(padding), four(dy_shape)
    v = thread * (work.size // threads)
    m = v + tiles * _tile(i)
    edge = m + tiles * _tile(o)
    steps = np.arange(tiles) * _tile(i)
    if thread < parts:
        begin, end = share((total + tiles - 1) // tiles, thread, parts)
        for first in range(begin * tiles, min(end * tiles, total), tiles):
            count, add = min(tiles, total - first), first > begin * tiles
            _inputs(x, where_in, unpooling, shape, output_shape, padding, first, count, i, work, v, edge)
            upstream = (dy, where, pooled, dy_shape, output_shape)
            _gradients(*upstream, first, count, o, work, m, edge, bias_sums, thread * o)
            for position in range(36):
                a, to = v + position * i, (thread * 36 + position) * i * o
                for c in range(0, o, COLUMNS):
                    width, b = min(COLUMNS, o - c), m + position * o + c
                    _weight_products(work, a, i, work, b, width, _tile(o), count, steps, sums, to + c, o, add)


# ---------------------------------------------------------------- all threads share V


@team
def _share_inputs(thread, threads, x, where, unpooling, shape, output_shape, padding, first, count, i, v):
    begin, end = share(count, thread, threads)
    shape, output_shape, padding = four(shape), four(output_shape), two(padding)
    edge, to, first = v.size - (thread + 1) * 36 * i, begin * _tile(i), first + begin
    _inputs(x, where, unpooling, shape, output_shape, padding, first, end - begin, i, v, to, edge)


@team
def _share_gradients(thread, threads, dy, where, pooled, dy_shape, shape, first, count, o, m, bias_sums):
    begin, end = share(count, thread, threads)
    edge, to, first = m.size - (thread + 1) * 36 * o, begin * _tile(o), first + begin
    upstream = (dy, where, pooled, four(dy_shape), four(shape))
    _gradients(*upstream, first, end - begin, o, m, to, edge, bias_sums, thread * o)


@team
def _panels_through_the_rest(
    thread,
    threads,
    v,
    output_shape,
    first,
    count,
    i,
    w,
    w_shape,
    turned,
    bias,
    relu,
    gated,
    gate,
    where,
    pool,
    y_shape,
    y,
    C_in,
    o,
    tiles,
    work,
):
    w_shape, shape, y_shape, work = (
        four(w_shape),
        four(output_shape),
        four(y_shape),
        own(work, thread, threads),
    )
    taps, steps = np.zeros(9 * LANES, np.float32), np.arange(CHUNK)
    size, matrix = _apart(CHUNK, COLUMNS), _apart(tiles, COLUMNS)
    m = 36 * size
    edge = m + 36 * matrix
    begin, end = share((o + COLUMNS - 1) // COLUMNS, thread, threads)
    for c in range(begin * COLUMNS, min(end * COLUMNS, o), COLUMNS):
        width = min(COLUMNS, o - c)
        for k in range(0, C_in, CHUNK):
            depth = min(CHUNK, C_in - k)
            for part in range(0, width, LANES):
                taps[:] = 0
                for lane in range(depth):
                    to = lane * width + part
                    _transform(w, w_shape, turned, k + lane, c + part, shape[3], taps, work, to, size)
            for position in range(36):
                to, panel = m + position * matrix, position * size
                _products(
                    v, position * i, i, count, k, depth, work, panel, width, work, to, width, steps, k > 0
                )
        target = (where, pool, y_shape, y, shape)
        _outputs(work, m, matrix, bias, relu, gated, gate, *target, first, count, c, width, width, edge)


@team
def _weight_panels(thread, threads, v, i, m, o, count, add, work, dw):
    """A job is so many input and output channels that what is read of V and M pays, but each thread has a job."""
    rows, columns = 2 * CHUNK, 2 * COLUMNS
    if (i + rows - 1) // rows * ((o + columns - 1) // columns) < threads:
        rows, columns = CHUNK, COLUMNS
    work, steps, size = own(work, thread, threads), np.arange(count) * _tile(i), _apart(rows, columns)
    chunks = (i + rows - 1) // rows
    begin, end = share(chunks * ((o + columns - 1) // columns), thread, threads)
    for job in range(begin, end):
        panel, chunk = divmod(job, chunks)
        c, k = panel * columns, chunk * rows
        width, channels = min(columns, o - c), min(rows, i - k)
        for position in range(36):
            a, to = position * i + k, position * size
            for part in range(0, width, COLUMNS):
                b, wide = position * o + c + part, min(COLUMNS, width - part)
                _weight_products(
                    v, a, channels, m, b, wide, _tile(o), count, steps, work, to + part, width, False
                )
        for lane in range(channels):
            for part in range(0, width, LANES):
                to = (k + lane) * o + c + part
                kernel_gradient_tile(work, lane * width + part, size, dw, to, 3 * i * o, i * o, add)
