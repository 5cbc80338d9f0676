"""Winograd's convolution (winograd.py) where the threads share V, for many channels and few tiles.

Each thread takes panels of output channels through the rest and transforms the weights that it needs, as many at a
time as fit into its cache; no weight is read twice.
"""

import numpy as np

from minifcn.kernels.matmul import COLUMNS
from minifcn.kernels.team import four, own, share, team, two
from minifcn.kernels.vector import LANES, clear
from minifcn.kernels.winograd_steps import (
    CHUNK,
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


@team
def share_inputs(thread, threads, x, where, unpooling, shape, output_shape, padding, first, count, i, v):
    begin, end = share(count, thread, threads)
    shape, output_shape, padding = four(shape), four(output_shape), two(padding)
    edge, to, first = v.size - (thread + 1) * 36 * i, begin * tile_of(i), first + begin
    inputs(x, where, unpooling, shape, output_shape, padding, first, end - begin, i, v, to, edge)


@team
def share_gradients(thread, threads, dy, where, pooled, dy_shape, shape, first, count, o, m, bias_sums):
    begin, end = share(count, thread, threads)
    edge, to, first = m.size - (thread + 1) * 36 * o, begin * tile_of(o), first + begin
    upstream = (dy, where, pooled, four(dy_shape), four(shape))
    if first == begin:
        clear(o, bias_sums, thread * o)
    gradients(*upstream, first, end - begin, o, m, to, edge, bias_sums, thread * o)


@team
def panels_through_the_rest(
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
    taps, steps = np.empty(9 * LANES * LANES, np.float32), np.arange(CHUNK)
    size, matrix = matrix_of(CHUNK, COLUMNS), matrix_of(tiles, COLUMNS)
    m = 36 * size
    edge = m + 36 * matrix
    begin, end = share((o + COLUMNS - 1) // COLUMNS, thread, threads)
    for c in range(begin * COLUMNS, min(end * COLUMNS, o), COLUMNS):
        width = min(COLUMNS, o - c)
        for k in range(0, C_in, CHUNK):
            depth = min(CHUNK, C_in - k)
            transform(w, w_shape, (0, 0), turned, k, depth, c, width, taps, work, 0, width, size)
            for position in range(36):
                to, panel = m + position * matrix, position * size
                products(
                    v, position * i, i, count, k, depth, work, panel, width, work, to, width, steps, k > 0
                )
        target = (where, pool, y_shape, y, shape)
        outputs(work, m, matrix, bias, relu, gated, gate, *target, first, count, c, width, width, edge)


@team
def weight_panels(thread, threads, v, i, m, o, count, add, work, dw):
    """A job is so many input and output channels that what is read of V and M pays, but each thread has a job."""
    rows, columns = 2 * CHUNK, 2 * COLUMNS
    if (i + rows - 1) // rows * ((o + columns - 1) // columns) < threads:
        rows, columns = CHUNK, COLUMNS
    work, steps, size = own(work, thread, threads), np.arange(count) * tile_of(i), matrix_of(rows, columns)
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
                weight_products(
                    v, a, channels, m, b, wide, tile_of(o), count, steps, work, to + part, width, False
                )
        for lane in range(channels):
            for part in range(0, width, LANES):
                to = (k + lane) * o + c + part
                kernel_gradient_tile(work, lane * width + part, size, dw, to, 3 * i * o, i * o, add)
