"""Winograd's convolution (winograd.py) where each thread takes its own tiles through all steps.

It takes a block of them at a time, so that what lies between the steps never leaves its cache. Each has the
transformed weights for itself, and of larger kernels those of all pieces.
"""

import numpy as np

from minifcn.kernels.jit import kernel
from minifcn.kernels.matmul import COLUMNS
from minifcn.kernels.team import four, share, team, two
from minifcn.kernels.vector import LANES, clear, load, store
from minifcn.kernels.winograd_steps import (
    GRAIN,
    gradients,
    inputs,
    matrix_of,
    outputs,
    products,
    tile_of,
    transform,
    weight_products,
)
from minifcn.kernels.winograd_tiles import kernel_gradient_tile


@kernel
def _share_of_tiles(total, thread, threads):
    begin, end = share((total + GRAIN - 1) // GRAIN, thread, threads)
    return begin * GRAIN, min(end * GRAIN, total)


@kernel
def _taps_of(piece, across):
    """Where a piece begins in the kernel, of which so many lie side by side."""
    return 3 * (piece // across), 3 * (piece % across)


@team
def tiles_through_all_steps(
    thread,
    threads,
    x,
    where_in,
    unpooling,
    shape,
    output_shape,
    padding,
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
    o,
    total,
    tiles,
    work,
):
    shape, output_shape, padding, y_shape = four(shape), four(output_shape), two(padding), four(y_shape)
    C_in, matrix, w_shape = shape[3], matrix_of(tiles, COLUMNS), four(w_shape)
    across = w_shape[1] // 3
    pieces, size = w_shape[0] // 3 * across, 36 * C_in * o
    u = thread * (work.size // threads)
    v = u + pieces * size
    m = v + tiles * tile_of(i)
    edge = m + (1 if pieces == 1 else (o + COLUMNS - 1) // COLUMNS) * 36 * matrix
    steps, taps = np.arange(C_in), np.empty(9 * LANES * LANES, np.float32)
    for piece in range(pieces):  # each thread for itself: to fetch them from the other takes as long
        for c in range(0, o, COLUMNS):
            width, to = min(COLUMNS, o - c), u + piece * size + 36 * c * C_in
            place = _taps_of(piece, across)
            transform(w, w_shape, place, turned, 0, C_in, c, width, taps, work, to, width, C_in * width)
    begin, end = _share_of_tiles(total, thread, threads)
    for first in range(begin, end, tiles):
        count, target = min(tiles, end - first), (where, pool, y_shape, y, output_shape)
        for piece in range(pieces):
            row, column = _taps_of(piece, across)
            begins = padding[0] - row, padding[1] - column
            inputs(x, where_in, unpooling, shape, output_shape, begins, first, count, i, work, v, edge)
            for c in range(0, o, COLUMNS):
                width, sums = min(COLUMNS, o - c), m + (0 if pieces == 1 else c // COLUMNS * 36 * matrix)
                for position in range(36):
                    a, to = v + position * i, sums + position * matrix
                    panel = u + piece * size + c * 36 * C_in + position * C_in * width
                    products(
                        work, a, i, count, 0, C_in, work, panel, width, work, to, width, steps, piece > 0
                    )
                if piece + 1 == pieces:
                    result = (relu, gated, gate, *target, first, count, c, width, width, edge)
                    outputs(work, sums, matrix, bias, *result)


@team
def tiles_through_all_weight_steps(
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
    down,
    across,
    total,
    tiles,
    work,
    parts,
    sums,
    bias_sums,
):
    shape, output_shape, padding, dy_shape = four(shape), four(output_shape), two(padding), four(dy_shape)
    v = thread * (work.size // threads)
    m = v + tiles * tile_of(i)
    edge = m + tiles * tile_of(o)
    steps = np.arange(tiles) * tile_of(i)
    clear(o, bias_sums, thread * o)
    if thread < parts:
        begin, end = _share_of_tiles(total, thread, parts)
        for first in range(begin, end, tiles):
            count, add = min(tiles, end - first), first > begin
            upstream = (dy, where, pooled, dy_shape, output_shape)
            gradients(*upstream, first, count, o, work, m, edge, bias_sums, thread * o)
            for piece in range(down * across):
                row, column = _taps_of(piece, across)
                begins = padding[0] - row, padding[1] - column
                inputs(x, where_in, unpooling, shape, output_shape, begins, first, count, i, work, v, edge)
                matrices = (thread * down * across + piece) * 36
                for position in range(36):
                    a, to = v + position * i, (matrices + position) * i * o
                    for c in range(0, o, COLUMNS):
                        width, b = min(COLUMNS, o - c), m + position * o + c
                        weight_products(
                            work, a, i, work, b, width, tile_of(o), count, steps, sums, to + c, o, add
                        )


@team
def finish_weights(thread, threads, sums, parts, i, o, down, across, dw):
    """dw = Gᵀ [the sum of the threads' parts] G, piece by piece."""
    total, size, pieces = np.empty(36 * LANES, np.float32), i * o, down * across
    begin, end = share(pieces * size // LANES, thread, threads)
    for job in range(begin, end):
        piece, at = divmod(job * LANES, size)
        for position in range(36):
            value = load(sums, (piece * 36 + position) * size + at)
            for part in range(1, parts):
                value = value + load(sums, ((part * pieces + piece) * 36 + position) * size + at)
            store(total, position * LANES, value)
        to = (piece // across * 3 * across + piece % across) * 3 * size + at
        kernel_gradient_tile(total, 0, LANES, dw, to, 3 * across * size, size, False)
