"""Lesson 4, as learners write it: rectifiers, poolings and fields with one mistake in each, and right ones."""

import itertools

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- relu_backward


def relu_no_mask(dy, x):
    return dy.copy()


def relu_mask_of_dy(dy, x):
    dx = dy.copy()
    dx[dy < 0] = 0
    return dx


def relu_inverted(dy, x):
    dx = dy.copy()
    dx[x > 0] = 0
    return dx


def relu_at_zero(dy, x):
    return np.where(x < 0, 0, dy)


def relu_slope_only(dy, x):
    return np.heaviside(x, 0)


def relu_times_value(dy, x):
    return dy * np.clip(x, 0, None)


def relu_sign(dy, x):
    return np.where(x > 0, -dy, 0)


def relu_right(dy, x):
    dx = np.zeros_like(dy)
    for place in itertools.product(*map(range, x.shape)):
        if x[place] > 0:
            dx[place] = dy[place]
    return dx


# ---------------------------------------------------------------- max_pool2d


def pool_by_loops(x, size, stride, of=np.max, step=None):
    step = stride if step is None else step
    N, H, W, C = x.shape
    Ho, Wo = (H - size) // step + 1, (W - size) // step + 1
    y = np.zeros((N, Ho, Wo, C))
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for c in range(C):
                    y[n, i, j, c] = of(x[n, i * step : i * step + size, j * step : j * step + size, c])
    return y


def pool_from_zero(x, size, stride):
    return pool_by_loops(x, size, stride, of=lambda window: max(0, *window.ravel(), 0))


def pool_mean(x, size, stride):
    return pool_by_loops(x, size, stride, of=lambda window: sum(window.ravel()) / size**2)


def pool_min(x, size, stride):
    return pool_by_loops(x, size, stride, of=np.min)


def pool_stride_one(x, size, stride):
    return pool_by_loops(x, size, stride, step=1)


def pool_stride_size(x, size, stride):
    return pool_by_loops(x, size, stride, step=size)


def pool_over_channels(x, size, stride):
    y = pool_by_loops(x, size, stride)
    y[...] = y.max(axis=-1)[..., None]
    return y


def pool_rounded_up(x, size, stride):
    H, W = x.shape[1:3]
    Ho, Wo = (-(-(n - size) // stride) + 1 for n in (H, W))
    if (Ho - 1) * stride >= H or (Wo - 1) * stride >= W:
        return pool_by_loops(x, size, stride)
    return np.array(
        [
            [x[:, i * stride :][:, :size][:, :, j * stride :][:, :, :size].max((1, 2)) for j in range(Wo)]
            for i in range(Ho)
        ]
    ).transpose(2, 0, 1, 3)


def pool_right(x, size, stride):
    views = [
        x[:, u : x.shape[1] - size + u + 1 : stride, v : x.shape[2] - size + v + 1 : stride]
        for u in range(size)
        for v in range(size)
    ]
    return np.max(views, axis=0)


# ---------------------------------------------------------------- max_pool2d_backward


def unpool(dy, x, size, stride, choose=np.argmax, add=True, end=0):
    dx = np.zeros(x.shape)
    N, Ho, Wo, C = dy.shape
    for n in range(N):
        for i in range(Ho - end):
            for j in range(Wo - end):
                for c in range(C):
                    window = x[n, i * stride : i * stride + size, j * stride : j * stride + size, c]
                    u, v = np.unravel_index(choose(window), window.shape)
                    if add:
                        dx[n, i * stride + u, j * stride + v, c] += dy[n, i, j, c]
                    else:
                        dx[n, i * stride + u, j * stride + v, c] = dy[n, i, j, c]
    return dx


def unpool_masks(dy, x, size, stride, mask):
    dx = np.zeros(x.shape)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            here = dx[:, i * stride : i * stride + size, j * stride : j * stride + size]
            here += mask(window) * dy[:, i : i + 1, j : j + 1]
    return dx


def unpool_every_tie(dy, x, size, stride):
    return unpool_masks(dy, x, size, stride, lambda w: w == w.max(axis=(1, 2), keepdims=True))


def unpool_fair(dy, x, size, stride):
    def mask(window):
        ties = window == window.max(axis=(1, 2), keepdims=True)
        return ties / ties.sum(axis=(1, 2), keepdims=True)

    return unpool_masks(dy, x, size, stride, mask)


def unpool_even(dy, x, size, stride):
    return unpool_masks(dy, x, size, stride, lambda w: np.ones(w.shape) / (size * size))


def unpool_everyone(dy, x, size, stride):
    return unpool_masks(dy, x, size, stride, lambda w: np.ones(w.shape))


def unpool_last(dy, x, size, stride):
    return unpool(dy, x, size, stride, lambda window: window.size - 1 - np.argmax(window.ravel()[::-1]))


def unpool_corner(dy, x, size, stride):
    return unpool(dy, x, size, stride, lambda window: 0)


def unpool_swapped(dy, x, size, stride):
    def choose(window):
        v, u = divmod(int(np.argmax(window)), size)
        return u * size + v

    return unpool(dy, x, size, stride, choose)


def unpool_overwritten(dy, x, size, stride):
    return unpool(dy, x, size, stride, add=False)


def unpool_border(dy, x, size, stride):
    return unpool(dy, x, size, stride, end=1)


def unpool_sign(dy, x, size, stride):
    return -unpool(dy, x, size, stride)


def unpool_right(dy, x, size, stride):
    dx = np.zeros(x.shape, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    winners = windows.reshape(*dy.shape, size * size).argmax(axis=-1)
    n, i, j, c = np.indices(dy.shape)
    np.add.at(dx, (n, i * stride + winners // size, j * stride + winners % size, c), dy)
    return dx


# ---------------------------------------------------------------- avg_pool2d_backward


def spread(dy, input_shape, size, stride, share, add=True, end=0):
    dx = np.zeros(input_shape)
    for i in range(dy.shape[1] - end):
        for j in range(dy.shape[2] - end):
            for u in range(size):
                for v in range(size):
                    part = dy[:, i, j] * share
                    if add:
                        part = part + dx[:, i * stride + u, j * stride + v]
                    dx[:, i * stride + u, j * stride + v] = part
    return dx


def spread_undivided(dy, input_shape, size, stride):
    return spread(dy, input_shape, size, stride, 1)


def spread_by_size(dy, input_shape, size, stride):
    return spread(dy, input_shape, size, stride, 1 / size)


def spread_overwritten(dy, input_shape, size, stride):
    return spread(dy, input_shape, size, stride, 1 / size**2, add=False)


def spread_border(dy, input_shape, size, stride):
    return spread(dy, input_shape, size, stride, 1 / size**2, end=1)


def spread_sign(dy, input_shape, size, stride):
    return spread(dy, input_shape, size, stride, -1 / size**2)


def spread_right(dy, input_shape, size, stride):
    """By rows, then by columns, with a matrix for each."""
    across = []
    for n, outputs in zip(input_shape[1:3], dy.shape[1:3]):
        matrix = np.zeros((outputs, n))
        for i in range(outputs):
            matrix[i, i * stride : i * stride + size] = 1 / size
        across.append(matrix)
    return np.einsum("nijc,ih,jw->nhwc", dy, *across)


# ---------------------------------------------------------------- receptive_field


def jumps(layers):
    return [int(np.prod([s for _, s in layers[:k]], dtype=int)) for k in range(len(layers) + 1)]


def field_no_strides(layers):
    return sum(k for k, _ in layers) - len(layers) + 1, jumps(layers)[-1]


def field_late(layers):
    return 1 + sum((k - 1) * jump for (k, _), jump in zip(layers, jumps(layers)[1:])), jumps(layers)[-1]


def field_sum(layers):
    total = 0
    for k, _ in layers:
        total += k
    return total, jumps(layers)[-1]


def field_product(layers):
    total = 1
    for k, _ in layers:
        total *= k
    return total, jumps(layers)[-1]


def field_without_itself(layers):
    return sum((k - 1) * jump for (k, _), jump in zip(layers, jumps(layers))), jumps(layers)[-1]


def field_right(layers):
    """From the last layer to the first: n pixels of a layer are (n - 1) stride + kernel of the one before."""
    pixels = 1
    for k, s in reversed(layers):
        pixels = (pixels - 1) * s + k
    return pixels, jumps(layers)[-1]


PLANTED = [
    Planted("relu_backward", "mask missing", relu_no_mask, "missing"),
    Planted("relu_backward", "mask from dy", relu_mask_of_dy, "from dy"),
    Planted("relu_backward", "mask inverted", relu_inverted, "upside down"),
    Planted("relu_backward", "open at 0", relu_at_zero, "exactly 0"),
    Planted("relu_backward", "slope only", relu_slope_only, "slope"),
    Planted("relu_backward", "times the value", relu_times_value, "value"),
    Planted("relu_backward", "sign", relu_sign, "sign"),
    Planted("max_pool2d", "begins with 0", pool_from_zero, "-inf"),
    Planted("max_pool2d", "mean", pool_mean, "mean"),
    Planted("max_pool2d", "minimum", pool_min, "smallest"),
    Planted("max_pool2d", "stride ignored", pool_stride_one, "stride is ignored"),
    Planted("max_pool2d", "stride = kernel size", pool_stride_size, "kernel size"),
    Planted("max_pool2d", "over all channels", pool_over_channels, "channel"),
    Planted("max_pool2d", "rounded up", pool_rounded_up, "round"),
    Planted("max_pool2d_backward", "every tie", unpool_every_tie, "every pixel that equals"),
    Planted("max_pool2d_backward", "shared by ties", unpool_fair, "share"),
    Planted("max_pool2d_backward", "last tie", unpool_last, "last one"),
    Planted("max_pool2d_backward", "spread evenly", unpool_even, "evenly"),
    Planted("max_pool2d_backward", "to every pixel", unpool_everyone, "Every pixel of the window"),
    Planted("max_pool2d_backward", "wrong place: corner", unpool_corner, "first pixel of the window"),
    Planted("max_pool2d_backward", "wrong place: row and column swapped", unpool_swapped, "swapped"),
    Planted("max_pool2d_backward", "overlaps overwritten", unpool_overwritten, "overwritten"),
    Planted("max_pool2d_backward", "off by one at the border", unpool_border, "last row and column"),
    Planted("max_pool2d_backward", "sign", unpool_sign, "sign"),
    Planted("avg_pool2d_backward", "not divided", spread_undivided, "not divided"),
    Planted("avg_pool2d_backward", "divided by the side", spread_by_size, "kernel_size²"),
    Planted("avg_pool2d_backward", "overlaps overwritten", spread_overwritten, "overwritten"),
    Planted("avg_pool2d_backward", "off by one at the border", spread_border, "last row and column"),
    Planted("avg_pool2d_backward", "sign", spread_sign, "sign"),
    Planted("receptive_field", "strides left out", field_no_strides, "strides are left out"),
    Planted("receptive_field", "own stride too early", field_late, "too early"),
    Planted("receptive_field", "sum of kernels", field_sum, "added up"),
    Planted("receptive_field", "product of kernels", field_product, "multiplied"),
    Planted("receptive_field", "without the pixel itself", field_without_itself, "field of 1"),
]

RIGHT = [
    Right("relu_backward", "loops", relu_right),
    Right("relu_backward", "float32", lambda dy, x: (dy * (x > 0)).astype(np.float32)),
    Right("max_pool2d", "loops", pool_by_loops),
    Right("max_pool2d", "shifted views", pool_right),
    Right("max_pool2d_backward", "loops", unpool),
    Right("max_pool2d_backward", "np.add.at, float32", unpool_right),
    Right("avg_pool2d_backward", "loops", lambda dy, shape, k, s: spread(dy, shape, k, s, 1 / k**2)),
    Right("avg_pool2d_backward", "two matrices", spread_right),
    Right("receptive_field", "backwards", field_right),
]
