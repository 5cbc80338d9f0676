"""The matrix product: out += a @ b, in blocks that stay in registers and caches.

Every element of a product of two n x n matrices needs n multiplications, so a matrix is read n times. The
trick is to read it from the nearest memory. Eight rows of `a` times two vectors of columns of `b` make sixteen
sums that never leave the registers (`block`); the columns of `b` are copied once to a small panel that stays
in the first cache (`pack`); the rest is loops.

Source: Goto & van de Geijn, Anatomy of high-performance matrix multiplication (2008), section 4.
"""

import numpy as np

from minifcn.kernels.jit import get_threads, kernel, prange
from minifcn.kernels.vector import LANES, fma, load, splat, store

ROWS = 8
COLUMNS = 2 * LANES
DEPTH = 256  # a panel of DEPTH x COLUMNS float32 is 32 kB at most: it stays in the first cache


def matmul_definition(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[i, j] += sum over k of a[i, k] b[k, j]."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out += a @ b for matrices of one float type; `a` may be the transpose of a contiguous matrix, out is one.

    float32 takes the kernel of this file; float64, which is for checking, takes NumPy's.
    """
    if a.dtype != np.float32:
        out += a @ b
        return
    assert out.flags.c_contiguous, "the flat view of `out` would be a copy"
    flat_a, row, step = (a.ravel(), a.shape[1], 1) if a.flags.c_contiguous else (a.T.ravel(), 1, a.shape[0])
    panels = np.empty((get_threads(), DEPTH * COLUMNS + ROWS * COLUMNS), np.float32)
    _matmul(flat_a, row, step, np.ascontiguousarray(b).ravel(), out.reshape(-1), *a.shape, b.shape[1], panels)


@kernel(parallel=True)
def _matmul(a, row, step, b, out, M, K, N, panels):
    """a[i * row + k * step] is element (i, k). Each thread takes its share of the rows, or of the columns if
    the rows are few. The order in which an element's products are added does not depend on the share."""
    tiles, strips, threads = (M + ROWS - 1) // ROWS, (N + COLUMNS - 1) // COLUMNS, panels.shape[0]
    for thread in prange(threads):
        tile_from, tile_to, strip_from, strip_to = 0, tiles, 0, strips
        if tiles >= 2 * threads or strips < threads:
            tile_from, tile_to = tiles * thread // threads, tiles * (thread + 1) // threads
        else:
            strip_from, strip_to = strips * thread // threads, strips * (thread + 1) // threads
        panel = panels[thread]
        edge = DEPTH * COLUMNS  # behind the panel: room for a block that sticks out of `out`
        if tile_from < tile_to:
            for k in range(0, K, DEPTH):
                depth = min(DEPTH, K - k)
                for strip in range(strip_from, strip_to):
                    j = strip * COLUMNS
                    columns = min(COLUMNS, N - j)
                    pack(b, k * N + j, N, depth, columns, panel)
                    for i in range(tile_from * ROWS, min(tile_to * ROWS, M), ROWS):
                        rows = min(ROWS, M - i)
                        first = i * row + k * step
                        if rows == ROWS and columns == COLUMNS:
                            block(depth, a, first, row, step, ROWS, panel, out, i * N + j, N)
                        else:  # the same sums in the same order, in a block of our own
                            for t in range(edge, edge + ROWS * COLUMNS):
                                panel[t] = 0
                            for r in range(rows):
                                for c in range(columns):
                                    panel[edge + r * COLUMNS + c] = out[(i + r) * N + j + c]
                            block(depth, a, first, row, step, rows, panel, panel, edge, COLUMNS)
                            for r in range(rows):
                                for c in range(columns):
                                    out[(i + r) * N + j + c] = panel[edge + r * COLUMNS + c]


@kernel
def pack(b, first, row, depth, columns, panel):
    """Copy `depth` rows of `columns` numbers of b to the panel, side by side, with zeros up to COLUMNS."""
    for k in range(depth):
        for c in range(columns):
            panel[k * COLUMNS + c] = b[first + k * row + c]
        for c in range(columns, COLUMNS):
            panel[k * COLUMNS + c] = 0


@kernel
def block(depth, a, first, row, step, rows, panel, out, c, ldc):
    """out[8 rows, 2 vectors] += a[8 rows, depth] panel[depth, 2 vectors]: sixteen sums, all in registers.

    Where `a` has fewer than eight rows left, the last one is read again; the caller drops those results.
    """
    V, last = LANES, rows - 1
    a0, a1, a2, a3 = first, first + min(1, last) * row, first + min(2, last) * row, first + min(3, last) * row
    a4, a5 = first + min(4, last) * row, first + min(5, last) * row
    a6, a7 = first + min(6, last) * row, first + min(7, last) * row
    c1, c2, c3, c4 = c + ldc, c + 2 * ldc, c + 3 * ldc, c + 4 * ldc
    c5, c6, c7 = c + 5 * ldc, c + 6 * ldc, c + 7 * ldc
    s00, s01, s10, s11 = load(out, c), load(out, c + V), load(out, c1), load(out, c1 + V)
    s20, s21, s30, s31 = load(out, c2), load(out, c2 + V), load(out, c3), load(out, c3 + V)
    s40, s41, s50, s51 = load(out, c4), load(out, c4 + V), load(out, c5), load(out, c5 + V)
    s60, s61, s70, s71 = load(out, c6), load(out, c6 + V), load(out, c7), load(out, c7 + V)
    for k in range(depth):
        b0, b1, at = load(panel, k * 2 * V), load(panel, k * 2 * V + V), k * step
        x = splat(a[a0 + at])
        s00, s01 = fma(x, b0, s00), fma(x, b1, s01)
        x = splat(a[a1 + at])
        s10, s11 = fma(x, b0, s10), fma(x, b1, s11)
        x = splat(a[a2 + at])
        s20, s21 = fma(x, b0, s20), fma(x, b1, s21)
        x = splat(a[a3 + at])
        s30, s31 = fma(x, b0, s30), fma(x, b1, s31)
        x = splat(a[a4 + at])
        s40, s41 = fma(x, b0, s40), fma(x, b1, s41)
        x = splat(a[a5 + at])
        s50, s51 = fma(x, b0, s50), fma(x, b1, s51)
        x = splat(a[a6 + at])
        s60, s61 = fma(x, b0, s60), fma(x, b1, s61)
        x = splat(a[a7 + at])
        s70, s71 = fma(x, b0, s70), fma(x, b1, s71)
    store(out, c, s00), store(out, c + V, s01), store(out, c1, s10), store(out, c1 + V, s11)
    store(out, c2, s20), store(out, c2 + V, s21), store(out, c3, s30), store(out, c3 + V, s31)
    store(out, c4, s40), store(out, c4 + V, s41), store(out, c5, s50), store(out, c5 + V, s51)
    store(out, c6, s60), store(out, c6 + V, s61), store(out, c7, s70), store(out, c7 + V, s71)
