"""Convolution with kernels of 3x3 and more at stride 1, by Winograd's F(4x4, 3x3): fewer multiplications.

The output is cut into tiles of 4x4 pixels; each needs 6x6 pixels of the input. With the transforms of
winograd_tiles.py, number by number,

    y = Aᵀ [U · V] A        V = Bᵀ d B of the input tile,   U = G w Gᵀ of the kernel

and summed over the input channels that is, for each of the 36 numbers, a matrix product of (tiles, C_in) and
(C_in, C_out). The gradients are the same three transforms the other way:

    dx = the convolution of dy with the kernels turned by half a turn, channels in and out exchanged
    dw = Gᵀ [Vᵀ · M] G      M = A dy Aᵀ of the output tile's gradient, summed over the tiles

A larger kernel falls into pieces of 3x3, with zeros at its end: M is the sum of their products, each with V of the
image moved by as much as the piece lies inside the kernel. For 7x7 that is half the multiplications.

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
from minifcn.kernels.bias import add_up
from minifcn.kernels.crop import crop
from minifcn.kernels.jit import get_threads
from minifcn.kernels.matmul import COLUMNS, DEPTH, finishing
from minifcn.kernels.winograd_alone import (
    finish_weights,
    tiles_through_all_steps,
    tiles_through_all_weight_steps,
)
from minifcn.kernels.winograd_shared import (
    panels_through_the_rest,
    share_gradients,
    share_inputs,
    weight_panels,
)
from minifcn.kernels.winograd_steps import CHUNK, GRAIN, matrix_size, tile_size

CACHE = 1 << 20  # bytes: what a thread's second cache holds at the least,
TILES = 256 << 10  # and how much of it a block of tiles should take,
LARGE, WRITING = (
    4 << 20,
    1.5,
)  # weights of more bytes go to memory when they are written, which takes time, too
LEAST, MOST = 32, DEPTH  # but so many tiles, twice as many if the weights are larger than it, and no more


def convolve(x, w, bias, padding, y, relu=False):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`.

    x (N, H, W, C_in), w (kh, kw, C_in, C_out), y (N, Ho, Wo, C_out). y[n, i, j] sees x from row i - padding[0] and
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
    padding = w.shape[0] - 1 - padding[0], w.shape[1] - 1 - padding[1]
    _convolve(dy, w, True, None, padding, dx.shape, dx, False, gate, where, unpool=where is not None)


NOWHERE = np.zeros(1, np.uint8)


def _convolve(
    x, w, turned, bias, padding, output_shape, y, relu, gate=None, where=None, pool=False, unpool=False
):
    C_in, C_out = x.shape[3], y.shape[3]
    i, o = _padded(C_in), _padded(C_out)
    where = NOWHERE if where is None else where.reshape(-1)
    w = _in_pieces(w, turned)
    weights, pieces = (w.reshape(-1), w.shape, turned), w.shape[0] * w.shape[1] // 9
    source = x.reshape(-1), where, unpool, x.shape, output_shape, padding
    finish = *finishing(bias, relu, gate, o), where, pool, y.shape, y.reshape(-1)
    total, tiles, alone = _blocks(output_shape, i, o, pieces)
    edge = 36 * max(i, COLUMNS)  # for a tile that is cut out at the border
    if alone:
        matrices = 36 if pieces == 1 else 36 * -(-o // COLUMNS)
        size = pieces * 36 * C_in * o + tiles * tile_size(i) + matrices * matrix_size(tiles, COLUMNS) + edge
        with memory.scratch(get_threads() * size) as (work,):
            tiles_through_all_steps(*source, i, *weights, *finish, o, total, tiles, work)
        return
    size = 36 * (matrix_size(CHUNK, COLUMNS) + matrix_size(tiles, COLUMNS)) + edge
    with memory.scratch(tiles * tile_size(i) + get_threads() * edge, get_threads() * size) as (v, work):
        for first in range(0, total, tiles):
            count = min(tiles, total - first)
            share_inputs(*source, first, count, i, v)
            panels_through_the_rest(v, output_shape, first, count, i, *weights, *finish, C_in, o, tiles, work)


def weight_gradient(x, dy, padding, dw, db=None, where=None, size=None):
    """dw (kh, kw, C_in, C_out) and, if it is given, db (C_out,) of `convolve`, given dy; or of
    `convolve_and_pool`."""
    kh, kw, C_in, C_out = dw.shape
    rows, columns, i, o = -(-kh // 3), -(-kw // 3), _padded(C_in), _padded(C_out)
    pieces = rows * columns
    shape = dy.shape if where is None else (dy.shape[0], *size, C_out)
    source = x.reshape(-1), NOWHERE, False, x.shape, shape, padding
    upstream = dy.reshape(-1), NOWHERE if where is None else where.reshape(-1), where is not None, dy.shape
    total, tiles, alone = _blocks(shape, i, o, pieces, sums=True)
    bias_sums = np.empty((get_threads(), o), np.float32)
    whole = (3 * rows, 3 * columns, i, o) == dw.shape
    padded = dw if whole else memory.empty((3 * rows, 3 * columns, i, o))
    edge, threads = 36 * max(i, o), get_threads()
    if alone:
        parts = min(threads, -(-total // GRAIN))
        size = tiles * (tile_size(i) + tile_size(o)) + edge
        with memory.scratch(threads * size, parts * pieces * 36 * i * o) as (work, sums):
            tiles_through_all_weight_steps(
                *source,
                *upstream,
                i,
                o,
                rows,
                columns,
                total,
                tiles,
                work,
                parts,
                sums,
                bias_sums.reshape(-1),
            )
            finish_weights(sums, parts, i, o, rows, columns, padded.reshape(-1))
    else:
        sizes = tiles * tile_size(i) + threads * edge, tiles * tile_size(o) + threads * edge
        with memory.scratch(*sizes, threads * 36 * matrix_size(2 * CHUNK, 2 * COLUMNS)) as (v, m, work):
            for first in range(0, total, tiles):
                count = min(tiles, total - first)
                share_inputs(*source, first, count, i, v)
                share_gradients(*upstream, shape, first, count, o, m, bias_sums.reshape(-1))
                weight_panels(v, i, m, o, count, first > 0, work, padded.reshape(-1))
    if not whole:
        crop(padded, (0, 0, 0, 0), dw)
    if db is not None:
        add_up(bias_sums, db)


def _padded(n):
    return -(-n // GRAIN) * GRAIN


def _in_pieces(w, turned):
    """The kernel with zeros behind it, so that it falls into pieces of 3x3; before it if it will be turned."""
    kh, kw = w.shape[:2]
    down, right = -kh % 3, -kw % 3
    if down == right == 0:
        return w
    padded = memory.empty((kh + down, kw + right, *w.shape[2:]))
    crop(w, (-down, -right, 0, 0) if turned else (0, 0, 0, 0), padded)
    return padded


def _blocks(shape, i, o, pieces, sums=False):
    """How many tiles there are, how many to take at a time, and whether each thread takes its own: if it then
    has fewer bytes to fetch, and for all kernels of several pieces. `sums` is the other way round: V and M are what
    is read, and the weights' gradients are kept."""
    N, H, W, _ = shape
    total, threads = N * -(-H // 4) * -(-W // 4), get_threads()
    there = _padded(-(-total // threads))
    room = TILES // (36 * (i + o if sums else i) * 4) // GRAIN * GRAIN
    weights, images = 36 * i * o, 36 * total * i
    least = LEAST if weights * 4 <= CACHE else 2 * LEAST
    tiles = min(there, max(room, least), MOST)
    writing = WRITING if weights * 4 > LARGE else 1
    fewer = writing * weights * -(-there // tiles) <= images * -(-o // (COLUMNS * threads))
    alone = pieces > 1 or (weights * 4 <= CACHE if sums else fewer)
    return total, tiles if alone else min(_padded(total), MOST), alone
