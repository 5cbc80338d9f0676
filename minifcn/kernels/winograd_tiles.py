"""The transforms of Winograd's convolution F(4x4, 3x3), tile by tile. The products between them: winograd.py.

In one dimension, four outputs of a kernel of three taps need 12 multiplications, or 6 if input and kernel are
first added up in the right way:

    y = Aᵀ [(G w) · (Bᵀ d)]        d six inputs, w three taps, y four outputs, · number by number

A kernel is a polynomial, its taps the coefficients; to convolve is to multiply polynomials; and a product of
polynomials is known from its values at enough points. Six points are enough: 0, ±√½, ±√2 and infinity. (The
points 0, ±1, ±2 of the paper make rounder numbers and four times the rounding error.)

In two dimensions the same is done to the rows and then to the columns: 36 multiplications instead of 144. Each
`line` below is one of these matrices times a line of numbers, in all lanes (channels) at once; each `tile` is
both directions. The gradients need the transposes of the same three matrices.

Sources: Lavin & Gray, Fast algorithms for convolutional neural networks (2016), section 4.3; the choice of points:
Barabasz, Anderson, Soodhalter & Gregg, Error analysis and improving the accuracy of Winograd convolution (2020).
"""

import numpy as np

from minifcn.kernels.jit import kernel
from minifcn.kernels.vector import (
    LANES,
    clear,
    copy,
    fma,
    load,
    load_bytes,
    maximum,
    splat,
    store,
    store_bytes,
    where_equal,
    where_greater,
    where_positive,
)

R = np.sqrt(0.5)  # and 2 R is √2

# The definitions: row p of G and column p of Aᵀ hold the powers of a point, up to a factor that is left out of Aᵀ.
B_TRANSPOSED = np.array(
    [
        [1, 0, -5 / 2, 0, 1, 0],
        [0, -2 * R, -2, R, 1, 0],
        [0, 2 * R, -2, -R, 1, 0],
        [0, -R, -1 / 2, 2 * R, 1, 0],
        [0, R, -1 / 2, -2 * R, 1, 0],
        [0, 1, 0, -5 / 2, 0, 1],
    ]
)
G = np.array(
    [
        [1, 0, 0],
        [-2 / 3, -2 / 3 * R, -1 / 3],
        [-2 / 3, 2 / 3 * R, -1 / 3],
        [1 / 6, R / 3, 1 / 3],
        [1 / 6, -R / 3, 1 / 3],
        [0, 0, 1],
    ]
)
A_TRANSPOSED = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, R, -R, 2 * R, -2 * R, 0],
        [0, 1 / 2, 1 / 2, 2, 2, 0],
        [0, R / 2, -R / 2, 4 * R, -4 * R, 1],
    ]
)
_r, _2r, _4r, _r2 = np.float32(R), np.float32(2 * R), np.float32(4 * R), np.float32(R / 2)
_half, _2, _5_2 = np.float32(1 / 2), np.float32(2), np.float32(5 / 2)
_third, _2_3, _6th, _2r_3, _r_3 = (np.float32(n) for n in (1 / 3, 2 / 3, 1 / 6, 2 / 3 * R, R / 3))


# ---------------------------------------------------------------- lines


@kernel
def input_line(d0, d1, d2, d3, d4, d5):
    """Bᵀ d: of six pixels."""
    even, odd = fma(splat(-_2), d2, d4), fma(splat(_r), d3, splat(-_2r) * d1)
    near, far = fma(splat(-_half), d2, d4), fma(splat(_2r), d3, splat(-_r) * d1)
    first, last = fma(splat(-_5_2), d2, d0 + d4), fma(splat(-_5_2), d3, d1 + d5)
    return first, even + odd, even - odd, near + far, near - far, last


@kernel
def output_line(m0, m1, m2, m3, m4, m5):
    """Aᵀ m: four outputs of six products."""
    s, t, p, q = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    y1 = fma(splat(_2r), q, splat(_r) * t)
    y2 = fma(splat(_2), p, splat(_half) * s)
    y3 = fma(splat(_4r), q, fma(splat(_r2), t, m5))
    return m0 + s + p, y1, y2, y3


@kernel
def gradient_line(y0, y1, y2, y3):
    """A y: what six products get of four outputs' gradients."""
    even, odd = fma(splat(_half), y2, y0), fma(splat(_r2), y3, splat(_r) * y1)
    near, far = fma(splat(_2), y2, y0), fma(splat(_4r), y3, splat(_2r) * y1)
    return y0, even + odd, even - odd, near + far, near - far, y3


@kernel
def kernel_line(w0, w1, w2):
    """G w: of three taps."""
    even, odd = fma(splat(-_2_3), w0, splat(-_third) * w2), splat(_2r_3) * w1
    near, far = fma(splat(_6th), w0, splat(_third) * w2), splat(_r_3) * w1
    return w0, even - odd, even + odd, near + far, near - far, w2


@kernel
def kernel_gradient_line(u0, u1, u2, u3, u4, u5):
    """Gᵀ u: what three taps get."""
    s, t, p, q = u1 + u2, u1 - u2, u3 + u4, u3 - u4
    w0 = fma(splat(_6th), p, fma(splat(-_2_3), s, u0))
    w1 = fma(splat(_r_3), q, splat(-_2r_3) * t)
    w2 = fma(splat(_third), p - s, u5)
    return w0, w1, w2


# ---------------------------------------------------------------- tiles


@kernel
def input_tile(x, at, row, pixel, channels, v, to, step):
    """Bᵀ d B of the 6x6 pixels from x[at] on, whose rows are `row` and whose pixels are `pixel` numbers apart;
    number (i, j) goes to v[to + (6 i + j) step], channel by channel."""
    for c in range(0, channels, LANES):
        a = at + c
        r0, r1, r2 = _input_row(x, a, pixel), _input_row(x, a + row, pixel), _input_row(x, a + 2 * row, pixel)
        a += 3 * row
        r3, r4, r5 = _input_row(x, a, pixel), _input_row(x, a + row, pixel), _input_row(x, a + 2 * row, pixel)
        for j in range(6):
            column = input_line(r0[j], r1[j], r2[j], r3[j], r4[j], r5[j])
            for i in range(6):
                store(v, to + c + (6 * i + j) * step, column[i])


@kernel
def _input_row(x, a, step):
    b = a + 3 * step
    return input_line(
        load(x, a),
        load(x, a + step),
        load(x, a + 2 * step),
        load(x, b),
        load(x, b + step),
        load(x, b + 2 * step),
    )


@kernel
def output_tile(m, at, step, bias, o, relu, gated, gate, y, to, row, pixel, channels):
    """Aᵀ m A + bias[o:], the 4x4 outputs of a tile, to y[to] and on. With `relu`, of these max(0, y).

    With `gated` the outputs are gradients of what came out of a ReLU, the array `gate`: 0 where that was 0.
    """
    for c in range(0, channels, LANES):
        b, a, place = load(bias, o + c), at + c, to + c
        r0, r1 = _output_row(m, a, step), _output_row(m, a + 6 * step, step)
        r2, r3 = _output_row(m, a + 12 * step, step), _output_row(m, a + 18 * step, step)
        r4, r5 = _output_row(m, a + 24 * step, step), _output_row(m, a + 30 * step, step)
        c0 = output_line(r0[0], r1[0], r2[0], r3[0], r4[0], r5[0])
        c1 = output_line(r0[1], r1[1], r2[1], r3[1], r4[1], r5[1])
        c2 = output_line(r0[2], r1[2], r2[2], r3[2], r4[2], r5[2])
        c3 = output_line(r0[3], r1[3], r2[3], r3[3], r4[3], r5[3])
        _store_column(c0, b, relu, gated, gate, y, place, row)
        _store_column(c1, b, relu, gated, gate, y, place + pixel, row)
        _store_column(c2, b, relu, gated, gate, y, place + 2 * pixel, row)
        _store_column(c3, b, relu, gated, gate, y, place + 3 * pixel, row)


@kernel
def _store_column(column, b, relu, gated, gate, y, place, row):
    zero = splat(np.float32(0))
    for i in range(4):
        value, at = column[i] + b, place + i * row
        if relu:
            value = maximum(zero, value)
        if gated:
            value = where_positive(load(gate, at), value)
        store(y, at, value)


@kernel
def pooled_output_tile(m, at, step, bias, o, y, where, to, row, pixel, channels):
    """max(0, Aᵀ m A + bias[o:]), of which only the largest of each 2x2 pixels is kept: 2x2 numbers to y[to] and
    on; to `where` which of the four it was, row by row, or 4 if it is not positive: then the rectifier lets no
    gradient through."""
    f32 = np.float32
    zero, one, two, three, four = splat(f32(0)), splat(f32(1)), splat(f32(2)), splat(f32(3)), splat(f32(4))
    for c in range(0, channels, LANES):
        b, a = load(bias, o + c), at + c
        r0, r1 = _output_row(m, a, step), _output_row(m, a + 6 * step, step)
        r2, r3 = _output_row(m, a + 12 * step, step), _output_row(m, a + 18 * step, step)
        r4, r5 = _output_row(m, a + 24 * step, step), _output_row(m, a + 30 * step, step)
        for j in range(2):
            left = output_line(r0[2 * j], r1[2 * j], r2[2 * j], r3[2 * j], r4[2 * j], r5[2 * j])
            k = 2 * j + 1
            right = output_line(r0[k], r1[k], r2[k], r3[k], r4[k], r5[k])
            for i in range(2):
                p, q, r, s = left[2 * i], right[2 * i], left[2 * i + 1], right[2 * i + 1]
                upper, lower = maximum(q, p), maximum(s, r)
                above, below = where_greater(q, p, one, zero), where_greater(s, r, three, two)
                largest = maximum(lower, upper) + b
                place = where_greater(lower, upper, below, above)
                target = to + c + i * row + j * pixel
                store(y, target, maximum(zero, largest))
                store_bytes(where, target, where_greater(largest, zero, place, four))


@kernel
def _output_row(m, a, step):
    b = a + 3 * step
    return output_line(
        load(m, a),
        load(m, a + step),
        load(m, a + 2 * step),
        load(m, b),
        load(m, b + step),
        load(m, b + 2 * step),
    )


@kernel
def gradient_tile(dy, at, row, pixel, channels, m, to, step, db, sums):
    """A dy Aᵀ of the 4x4 pixels from dy[at] on; number (i, j) of a channel goes to m[to + (6 i + j) step]. And
    the sum of all sixteen is added to db[sums]."""
    for c in range(0, channels, LANES):
        a = at + c
        r0, r1 = _gradient_row(dy, a, pixel), _gradient_row(dy, a + row, pixel)
        r2, r3 = _gradient_row(dy, a + 2 * row, pixel), _gradient_row(dy, a + 3 * row, pixel)
        for j in range(6):
            column = gradient_line(r0[j], r1[j], r2[j], r3[j])
            for i in range(6):
                store(m, to + c + (6 * i + j) * step, column[i])
        total = load(db, sums + c)
        for _ in range(4):
            left, right = load(dy, a) + load(dy, a + pixel), load(dy, a + 2 * pixel) + load(dy, a + 3 * pixel)
            total = total + (left + right)
            a += row
        store(db, sums + c, total)


@kernel
def _gradient_row(dy, a, step):
    return gradient_line(load(dy, a), load(dy, a + step), load(dy, a + 2 * step), load(dy, a + 3 * step))


@kernel
def kernel_tile(w, at, row, pixel, u, to, step):
    """G w Gᵀ of LANES 3x3 kernels, tap (i, j) of which is at w[at + i row + j pixel]; to u[to + (6 i + j) step]."""
    r0, r1, r2 = (
        _kernel_row(w, at, pixel),
        _kernel_row(w, at + row, pixel),
        _kernel_row(w, at + 2 * row, pixel),
    )
    for j in range(6):
        column = kernel_line(r0[j], r1[j], r2[j])
        for i in range(6):
            store(u, to + (6 * i + j) * step, column[i])


@kernel
def _kernel_row(w, a, step):
    return kernel_line(load(w, a), load(w, a + step), load(w, a + 2 * step))


@kernel
def kernel_gradient_tile(u, at, step, w, to, row, pixel, add):
    """Gᵀ u G, the way back of `kernel_tile` for gradients: put, or with `add` added, to w."""
    r0, r1 = _kernel_gradient_row(u, at, step), _kernel_gradient_row(u, at + 6 * step, step)
    r2, r3 = _kernel_gradient_row(u, at + 12 * step, step), _kernel_gradient_row(u, at + 18 * step, step)
    r4, r5 = _kernel_gradient_row(u, at + 24 * step, step), _kernel_gradient_row(u, at + 30 * step, step)
    for j in range(3):
        column = kernel_gradient_line(r0[j], r1[j], r2[j], r3[j], r4[j], r5[j])
        for i in range(3):
            place = to + i * row + j * pixel
            store(w, place, load(w, place) + column[i] if add else column[i])


@kernel
def _kernel_gradient_row(u, a, step):
    b = a + 3 * step
    return kernel_gradient_line(
        load(u, a),
        load(u, a + step),
        load(u, a + 2 * step),
        load(u, b),
        load(u, b + step),
        load(u, b + 2 * step),
    )


# ---------------------------------------------------------------- at the borders


@kernel
def cut(x, shape, place, size, out, to, channels):
    """The size x size pixels of image n from (h, w) on, place = (n, h, w), with zeros outside the image; and zeros
    behind the last channel up to `channels`. To out[to], pixel by pixel."""
    (_, H, W, C), (n, h, w) = shape, place
    left = min(max(0, -w), size)
    right = max(left, min(size, W - w))
    for i in range(h, h + size):
        if 0 <= i < H:
            clear(left * channels, out, to)
            at, first, end = ((n * H + i) * W + w + left) * C, to + left * channels, to + right * channels
            if channels == C:
                copy((right - left) * C, x, at, out, first)
            else:
                for pixel in range(first, end, channels):
                    copy(C, x, at, out, pixel)
                    clear(channels - C, out, pixel + C)
                    at += C
            clear((size - right) * channels, out, end)
        else:
            clear(size * channels, out, to)
        to += size * channels


@kernel
def paste(out, at, channels, gated, gate, y, shape, place, o):
    """The other way: of 4x4 pixels those inside the image, and of their channels, from o on, those that it has."""
    (_, H, W, C), (n, h, w) = shape, place
    there = max(0, min(channels, C - o))
    whole = there // LANES * LANES
    for i in range(h, h + 4):
        for j in range(w, w + 4):
            if i < H and j < W:
                to = ((n * H + i) * W + j) * C + o
                for c in range(0, whole, LANES):
                    value = load(out, at + c)
                    store(y, to + c, where_positive(load(gate, to + c), value) if gated else value)
                for c in range(whole, there):
                    y[to + c] = out[at + c] if not gated or gate[to + c] > 0 else 0
            at += channels


@kernel
def paste_pooled(out, at, channels, y, where, shape, pooled_shape, place, o):
    """`paste` of finished pixels, of which only the largest of each 2x2 is kept: as `pooled_output_tile`, at
    the border."""
    (_, H, W, C), (_, Hp, Wp, _), (n, h, w) = shape, pooled_shape, place
    for i in range(h // 2, min(h // 2 + 2, Hp)):
        for j in range(w // 2, min(w // 2 + 2, Wp)):
            to = ((n * Hp + i) * Wp + j) * C + o
            for c in range(min(channels, C - o)):
                largest, which = np.float32(0), 4
                for k in range(4):
                    u, v = 2 * i + k // 2, 2 * j + k % 2
                    if u < H and v < W:
                        value = out[at + ((u - h) * 4 + v - w) * channels + c]
                        if value > largest or value != value:
                            largest, which = value, k
                y[to + c] = largest
                where[to + c] = which


@kernel
def unpool(dy, where, pooled_shape, place, size, out, to, channels):
    """`cut` of a gradient that is stored pooled: each number of dy stands at one of its 2x2 pixels, which
    `where` tells."""
    (_, Hp, Wp, C), (n, h, w) = pooled_shape, place
    whole, zero = C // LANES * LANES, splat(np.float32(0))
    for i in range(h, h + size):
        for j in range(w, w + size):
            if 0 <= i < 2 * Hp and 0 <= j < 2 * Wp:
                at, which = ((n * Hp + i // 2) * Wp + j // 2) * C, i % 2 * 2 + j % 2
                here = splat(np.float32(which))
                for c in range(0, whole, LANES):
                    store(out, to + c, where_equal(load_bytes(where, at + c), here, load(dy, at + c), zero))
                for c in range(whole, channels):
                    out[to + c] = dy[at + c] if c < C and where[at + c] == which else 0
            else:
                clear(channels, out, to)
            to += channels
