"""The matrix product: out += a @ b, in blocks that stay in registers and caches.

Every element of a product of two n x n matrices needs n multiplications, so a matrix is read n times. The
trick is to read it from the nearest memory. Eight rows of `a` times two vectors of columns of `b` make sixteen
sums that never leave the registers (`block`); the columns of `b` are copied once to a small panel that stays
in the first cache (`pack`); the rest is loops.

`block` is the one product of the house: a row of `a` may start anywhere, and its numbers may lie anywhere behind
it, at the same steps in every row. So the pixels of an image, where they lie, are such a matrix too.

Source: Goto & van de Geijn, Anatomy of high-performance matrix multiplication (2008), section 4.
"""

import functools

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.crop import crop
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.recording import unrecorded
from minifcn.kernels.team import own, share, team
from minifcn.kernels.vector import (
    LANES,
    broadcast,
    fma,
    load,
    load_part,
    maximum,
    splat,
    store,
    store_part,
    where_positive,
)

ROWS = 8
COLUMNS = 2 * LANES
DEPTH = 256  # a panel of DEPTH x COLUMNS float32 is 32 kB at most: it stays in the first cache,
STRIPS = 16  # and so many of them in the second


def matmul_definition(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[i, j] += sum over k of a[i, k] b[k, j]."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray, add: bool = True) -> None:
    """out += a @ b, or out = a @ b, for matrices of one float type; `a` and `b` may be transposes of contiguous
    matrices, out is one itself.

    float32 takes the kernel of this file; float64, which is for checking, takes NumPy's.
    """
    if a.dtype != np.float32:
        out[...] = out + a @ b if add else a @ b
        return
    assert out.flags.c_contiguous, "the flat view of `out` would be a copy"
    (flat_a, *a_steps), (flat_b, *b_steps) = _flat(a), _flat(b)
    strips = min(STRIPS, -(-b.shape[1] // COLUMNS))
    with memory.scratch(get_threads() * (strips * DEPTH * COLUMNS + ROWS * DEPTH + ROWS * COLUMNS)) as (
        work,
    ):
        sizes = *a.shape, b.shape[1], strips
        _matmul(flat_a, *a_steps, flat_b, *b_steps, out.reshape(-1), *sizes, add, work)


def _flat(matrix):
    """The numbers of a matrix in memory, and how far apart its rows and its columns lie."""
    if matrix.T.flags.c_contiguous and not matrix.flags.c_contiguous:
        return matrix.T.reshape(-1), 1, matrix.shape[0]
    if not matrix.flags.c_contiguous:
        unrecorded("a matrix that is copied first")
    return np.ascontiguousarray(matrix).reshape(-1), matrix.shape[1], 1


@team
def _matmul(thread, threads, a, row, step, b, b_row, b_step, out, M, K, N, strips, add, work):
    """a[i * row + k * step] is element (i, k) of a, and so of b. Each thread takes its share of the rows, or of
    the columns where b is the larger matrix or the rows are few, so that it has less to read. The order in
    which an element's products are added does not depend on the share."""
    tiles, all_strips = (M + ROWS - 1) // ROWS, (N + COLUMNS - 1) // COLUMNS
    tile_from, tile_to, strip_from, strip_to = 0, tiles, 0, all_strips
    if (tiles >= 2 * threads and M >= N) or all_strips < threads:
        tile_from, tile_to = share(tiles, thread, threads)
    else:
        strip_from, strip_to = share(all_strips, thread, threads)
    work, panel = own(work, thread, threads), DEPTH * COLUMNS
    turned = strips * panel
    edge = turned + ROWS * DEPTH
    steps, turned_steps = np.arange(min(K, DEPTH)) * step, np.arange(min(K, DEPTH))
    for first in range(strip_from, strip_to if tile_from < tile_to else strip_from, strips):
        last = min(strip_to, first + strips)
        for k in range(0, K, DEPTH):
            depth = min(DEPTH, K - k)
            for s in range(first, last):
                j = s * COLUMNS
                at = k * b_row + j * b_step
                pack(b, at, b_row, b_step, depth, min(COLUMNS, N - j), work, (s - first) * panel)
            for i in range(tile_from * ROWS, min(tile_to * ROWS, M), ROWS):
                rows = min(ROWS, M - i)
                left, starts, places = a, eight_rows(i * row + k * step, row, rows), steps
                if step != 1:  # the numbers of a row lie far apart: they are gathered once for all strips
                    for q in range(depth):
                        for r in range(rows):
                            work[turned + r * DEPTH + q] = a[(i + r) * row + (k + q) * step]
                    left, starts, places = work, eight_rows(turned, DEPTH, rows), turned_steps
                for s in range(first, last):
                    j, p = s * COLUMNS, (s - first) * panel
                    columns, here = min(COLUMNS, N - j), add or k > 0
                    if rows == ROWS and columns == COLUMNS:
                        block(depth, left, starts, places, work, p, COLUMNS, out, i * N + j, N, here)
                    else:
                        target = (out, i * N + j, N, rows, columns)
                        part_of_block(
                            depth, left, starts, places, work, p, COLUMNS, work, edge, *target, here
                        )


@kernel
def pack(b, first, row, step, depth, columns, panel, to):
    """Copy `depth` rows of `columns` numbers of b to panel[to:], side by side, with zeros up to COLUMNS."""
    if columns == COLUMNS and step == 1:
        for k in range(depth):
            store(panel, to + k * COLUMNS, load(b, first + k * row))
            store(panel, to + k * COLUMNS + LANES, load(b, first + k * row + LANES))
    elif step == 1:
        for k in range(depth):
            for c in range(columns):
                panel[to + k * COLUMNS + c] = b[first + k * row + c]
            for c in range(columns, COLUMNS):
                panel[to + k * COLUMNS + c] = 0
    else:
        for c in range(COLUMNS):
            for k in range(depth):
                panel[to + k * COLUMNS + c] = b[first + k * row + c * step] if c < columns else 0


@kernel
def eight_rows(first, row, rows):
    """Where eight rows start. Where there are fewer, the last is taken again; the caller drops those results."""
    last = rows - 1
    return (
        first,
        first + min(1, last) * row,
        first + min(2, last) * row,
        first + min(3, last) * row,
        first + min(4, last) * row,
        first + min(5, last) * row,
        first + min(6, last) * row,
        first + min(7, last) * row,
    )


@kernel
def block(depth, a, rows, steps, b, p, ldb, out, c, ldc, add):
    """out[8 rows, 2 vectors] = or, with `add`, += a[8 rows, depth] b[depth, 2 vectors]; all sums in registers.

    Number k of row i is a[rows[i] + steps[k]]. That of b starts at p, its rows ldb apart; that of `out` at c,
    its rows ldc apart.
    """
    V = LANES
    a0, a1, a2, a3, a4, a5, a6, a7 = rows
    c1, c2, c3, c4 = c + ldc, c + 2 * ldc, c + 3 * ldc, c + 4 * ldc
    c5, c6, c7 = c + 5 * ldc, c + 6 * ldc, c + 7 * ldc
    s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = splat(np.float32(0))
    s40 = s41 = s50 = s51 = s60 = s61 = s70 = s71 = splat(np.float32(0))
    if add:
        s00, s01, s10, s11 = load(out, c), load(out, c + V), load(out, c1), load(out, c1 + V)
        s20, s21, s30, s31 = load(out, c2), load(out, c2 + V), load(out, c3), load(out, c3 + V)
        s40, s41, s50, s51 = load(out, c4), load(out, c4 + V), load(out, c5), load(out, c5 + V)
        s60, s61, s70, s71 = load(out, c6), load(out, c6 + V), load(out, c7), load(out, c7 + V)
    for k in range(depth):
        at, b0, b1 = steps[np.uint64(k)], load(b, p + k * ldb), load(b, p + k * ldb + V)
        x = broadcast(a, a0 + at)
        s00, s01 = fma(x, b0, s00), fma(x, b1, s01)
        x = broadcast(a, a1 + at)
        s10, s11 = fma(x, b0, s10), fma(x, b1, s11)
        x = broadcast(a, a2 + at)
        s20, s21 = fma(x, b0, s20), fma(x, b1, s21)
        x = broadcast(a, a3 + at)
        s30, s31 = fma(x, b0, s30), fma(x, b1, s31)
        x = broadcast(a, a4 + at)
        s40, s41 = fma(x, b0, s40), fma(x, b1, s41)
        x = broadcast(a, a5 + at)
        s50, s51 = fma(x, b0, s50), fma(x, b1, s51)
        x = broadcast(a, a6 + at)
        s60, s61 = fma(x, b0, s60), fma(x, b1, s61)
        x = broadcast(a, a7 + at)
        s70, s71 = fma(x, b0, s70), fma(x, b1, s71)
    store(out, c, s00), store(out, c + V, s01), store(out, c1, s10), store(out, c1 + V, s11)
    store(out, c2, s20), store(out, c2 + V, s21), store(out, c3, s30), store(out, c3 + V, s31)
    store(out, c4, s40), store(out, c4 + V, s41), store(out, c5, s50), store(out, c5 + V, s51)
    store(out, c6, s60), store(out, c6 + V, s61), store(out, c7, s70), store(out, c7 + V, s71)


@kernel
def part_of_block(depth, a, starts, steps, b, p, ldb, edge, e, out, c, ldc, rows, columns, add):
    """`block`, of which only `rows` x `columns` numbers belong to `out`: computed at edge[e:], the same sums in
    the same order, and copied."""
    for r in range(rows):
        for k in range(columns):
            edge[e + r * COLUMNS + k] = out[c + r * ldc + k] if add else 0
        for k in range(columns, COLUMNS):
            edge[e + r * COLUMNS + k] = 0
    for k in range(rows * COLUMNS, ROWS * COLUMNS):
        edge[e + k] = 0
    block(depth, a, starts, steps, b, p, ldb, edge, e, COLUMNS, add)
    for r in range(rows):
        for k in range(columns):
            out[c + r * ldc + k] = edge[e + r * COLUMNS + k]


@kernel
def narrow_block(depth, a, rows, steps, b, p, ldb, out, c, ldc, add):
    """`block` for the last columns, where one vector is enough: out[8 rows, 1 vector]."""
    a0, a1, a2, a3, a4, a5, a6, a7 = rows
    c1, c2, c3, c4 = c + ldc, c + 2 * ldc, c + 3 * ldc, c + 4 * ldc
    c5, c6, c7 = c + 5 * ldc, c + 6 * ldc, c + 7 * ldc
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = splat(np.float32(0))
    if add:
        s0, s1, s2, s3 = load(out, c), load(out, c1), load(out, c2), load(out, c3)
        s4, s5, s6, s7 = load(out, c4), load(out, c5), load(out, c6), load(out, c7)
    for k in range(depth):
        at, y = steps[np.uint64(k)], load(b, p + k * ldb)
        s0, s1 = fma(broadcast(a, a0 + at), y, s0), fma(broadcast(a, a1 + at), y, s1)
        s2, s3 = fma(broadcast(a, a2 + at), y, s2), fma(broadcast(a, a3 + at), y, s3)
        s4, s5 = fma(broadcast(a, a4 + at), y, s4), fma(broadcast(a, a5 + at), y, s5)
        s6, s7 = fma(broadcast(a, a6 + at), y, s6), fma(broadcast(a, a7 + at), y, s7)
    store(out, c, s0), store(out, c1, s1), store(out, c2, s2), store(out, c3, s3)
    store(out, c4, s4), store(out, c5, s5), store(out, c6, s6), store(out, c7, s7)


def finishing(bias, relu, gate, columns):
    """What `finish` and its like want to know: the bias with zeros up to `columns`, `relu`, whether there is a
    gate, and the gate as a flat array; any array will do where there is none."""
    padded = _zeros(columns) if bias is None else bias
    if padded.size < columns:
        padded = np.empty(columns, np.float32)
        crop(bias.reshape(1, 1, 1, -1), (0, 0, 0, 0), padded.reshape(1, 1, 1, -1))
    return padded, relu, gate is not None, padded if gate is None else gate.reshape(-1)


@functools.cache
def _zeros(columns):
    return np.zeros(columns, np.float32)


@kernel
def finish(count, out, at, pitch, bias, relu, gated, gate, y, to, channels):
    """What comes behind a product, for `count` pixels: y[to:] = out[at:] + bias; with `relu`, max(0, that);
    with `gated`, 0 where gate[to:] is not positive. In `out` the pixels lie `pitch` apart, in y side by
    side."""
    zero = splat(np.float32(0))
    for c in range(0, channels, LANES):
        b, there = load(bias, c), min(LANES, channels - c)
        for k in range(count):
            value, place = load(out, at + k * pitch + c) + b, to + k * channels + c
            if relu:
                value = maximum(zero, value)
            if there == LANES:
                if gated:
                    value = where_positive(load(gate, place), value)
                store(y, place, value)
            else:
                if gated:
                    value = where_positive(load_part(gate, place, there), value)
                store_part(y, place, value, there)


@kernel
def strip(columns, depth, a, rows, steps, b, p, ldb, out, c, ldc, add):
    """A block of `columns` columns, which are one vector or two."""
    if columns == COLUMNS:
        block(depth, a, rows, steps, b, p, ldb, out, c, ldc, add)
    else:
        narrow_block(depth, a, rows, steps, b, p, ldb, out, c, ldc, add)
