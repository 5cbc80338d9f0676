"""The steps of Winograd's convolution (winograd.py), each for some tiles: from pixels to V, to M, to pixels again.

Tiles that reach over the border are cut out with zeros around them first, and finished aside and pasted. A kernel
here does not know who calls it: a thread that takes its own tiles through all steps, or threads that share a step.

Names: `channels` are padded to whole vectors; `to`, `at`, `edge` are places in flat arrays.
"""

from minifcn.kernels.jit import kernel
from minifcn.kernels.matmul import ROWS, eight_rows, strip
from minifcn.kernels.transpose import transpose
from minifcn.kernels.vector import LANES, clear, copy, fetch_run, fetch_run_to_write
from minifcn.kernels.winograd_tiles import (
    cut,
    gradient_tile,
    input_tile,
    kernel_tile,
    output_tile,
    paste,
    paste_pooled,
    pooled_output_tile,
    unpool,
)

GRAIN = 16  # channels and tiles are padded to a multiple of this: whole vectors and whole blocks of rows
CHUNK = 64  # input channels whose weights are transformed at a time

# How far apart tiles lie, and how far the 36 matrices. Not at a power of two: they would share few places in
# the caches.


def tile_size(channels):
    return 36 * channels + LANES


def matrix_size(rows, columns):
    return rows * columns + LANES


tile_of, matrix_of = kernel(tile_size), kernel(matrix_size)  # the same within kernels


@kernel
def transform(w, shape, piece, turned, k, count, c, columns, taps, u, to, width, step):
    """U = G w Gᵀ of `count` input channels from k on and `columns` output channels from c on, zeros for those that
    w has not; turned: of `input_gradient`. Number p of a kernel goes to u[to + p step], channel by channel, the
    input channels `width` apart. `piece` is where the 3x3 taps begin, in rows and columns of the kernel."""
    kh, kw, w_in, w_out = shape
    C_out, row = w_in if turned else w_out, kw * w_in * w_out
    first_tap = piece[0] * kw + piece[1]
    if turned:
        first_tap = kh * kw - 1 - first_tap
    for part in range(0, columns, LANES):
        there = max(0, min(LANES, C_out - c - part))
        if there < LANES:
            clear(taps.size, taps, 0)
        for first in range(0, count, LANES):
            channels = min(LANES, count - first)
            for tap in range(9):
                step_to_tap = tap // 3 * kw + tap % 3
                if turned:
                    at = ((first_tap - step_to_tap) * w_in + c + part) * w_out + k + first
                    transpose(there, channels, w, at, w_out, taps, tap * LANES, 9 * LANES)
                elif there < LANES:
                    for q in range(channels):
                        at = ((first_tap + step_to_tap) * w_in + k + first + q) * w_out + c + part
                        copy(there, w, at, taps, (9 * q + tap) * LANES)
            for q in range(channels):
                place = to + (first + q) * width + part
                if turned or there < LANES:
                    kernel_tile(taps, 9 * q * LANES, 3 * LANES, LANES, u, place, step)
                else:
                    at = (first_tap * w_in + k + first + q) * w_out + c + part
                    kernel_tile(w, at, row, w_in * w_out, u, place, step)


@kernel
def _place(tile, shape):
    """The image and the first pixel of a tile of the output."""
    _, H, W, _ = shape
    columns = (W + 3) // 4
    n, rest = divmod(tile, (H + 3) // 4 * columns)
    i, j = divmod(rest, columns)
    return n, 4 * i, 4 * j


@kernel
def _fetch(x, at, row, rows, count):
    """Have so many rows of `count` numbers from x[at] on brought near, while something else is computed."""
    for r in range(rows):
        fetch_run(count, x, at + r * row)


@kernel
def _fetch_to_write(y, at, row, pixel, size, count):
    """The same for `count` channels of size x size pixels that will be written."""
    for r in range(size):
        for p in range(size):
            fetch_run_to_write(count, y, at + r * row + p * pixel)


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
def inputs(x, where, pooled, shape, output_shape, padding, first, count, channels, v, to, edge):
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
        n, i, j = _next(n, i, j, output_shape)
        if not pooled:  # of the next tile what this one does not have
            _fetch(x, ((n * H + i - padding[0]) * W + j - padding[1] + 2) * C, W * C, 6, 4 * C)
        input_tile(tile, at, row, channels, channels, v, to + t * tile_of(channels), channels)


@kernel
def products(v, at, i, count, k, depth, u, panel, width, m, to, ldc, steps, add):
    """M (+)= V U for a tile's number `at`, `depth` input channels from k on, a panel of U and `count` tiles."""
    tile = tile_of(i)
    for t in range(0, count, ROWS):
        rows = eight_rows(at + t * tile + k, tile, ROWS)
        strip(width, depth, v, rows, steps, u, panel, width, m, to + t * ldc, ldc, add)


@kernel
def outputs(
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
        inside, place = o + channels <= C and i + 4 <= H and j + 4 <= W, (n, i, j)
        n, i, j = _next(n, i, j, shape)
        if pool:
            _fetch_to_write(y, ((n * Hp + i // 2) * Wp + j // 2) * C + o, Wp * C, C, 2, channels)
        else:
            _fetch_to_write(y, ((n * H + i) * W + j) * C + o, W * C, C, 4, channels)
        if inside and pool:
            to = ((place[0] * Hp + place[1] // 2) * Wp + place[2] // 2) * C + o
            pooled_output_tile(m, at + t * pitch, step, bias, o, y, where, to, Wp * C, C, channels)
        else:
            tile, to, row, pixel = y, ((place[0] * H + place[1]) * W + place[2]) * C + o, W * C, C
            if not inside:
                tile, to, row, pixel = m, edge, 4 * channels, channels
            here = gated and inside
            output_tile(m, at + t * pitch, step, bias, o, relu, here, gate, tile, to, row, pixel, channels)
            if pool:
                paste_pooled(m, edge, channels, y, where, shape, y_shape, place, o)
            elif not inside:
                paste(m, edge, channels, gated, gate, y, shape, place, o)


@kernel
def gradients(dy, where, pooled, dy_shape, shape, first, count, channels, m, to, edge, db, sums):
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
        n, i, j = _next(n, i, j, shape)
        if not pooled:
            _fetch(dy, ((n * H + i) * W + j) * C, W * C, 4, 4 * C)
        gradient_tile(tile, at, row, channels, channels, m, to + t * tile_of(channels), channels, db, sums)


@kernel
def weight_products(v, a, channels, m, b, width, row, count, steps, out, to, ldc, add):
    """Vᵀ M for a tile's number, `channels` input channels from v[a] on and `width` output channels from m[b] on."""
    for k in range(0, channels, ROWS):
        rows = eight_rows(a + k, 1, ROWS)
        strip(width, count, v, rows, steps, m, b, row, out, to + k * ldc, ldc, add)
