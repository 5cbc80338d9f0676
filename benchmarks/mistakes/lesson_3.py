"""Lesson 3, as learners write it: a convolution's gradients with one mistake in each, and some that are right."""

import numba
import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- bias


def bias_without_batch(dy):
    return np.sum(dy, axis=1).sum(axis=1)


def bias_of_first_image(dy):
    db = np.zeros(dy.shape[3])
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            db += dy[0, i, j]
    return db


def bias_mean(dy):
    return np.average(dy.reshape(-1, dy.shape[-1]), axis=0)


def bias_batch_mean(dy):
    db = 0
    for image in dy:
        db = db + image.sum(0).sum(0) / dy.shape[0]
    return db


def bias_over_channels(dy):
    return np.einsum("nijo->n", dy)


def bias_one_number(dy):
    return sum(dy.ravel())


def bias_negative(dy):
    return 0 - dy.sum((0, 1, 2))


def bias_columns_left(dy):
    return dy.sum(axis=(0, 1))


# ---------------------------------------------------------------- weights


def weight_loops(
    dy, x, kernel_size, stride, padding, dilation, *, flip=False, add=True, images=None, first_row=0, pad=True
):
    """The plain loops, and some things that can go wrong in them."""
    kh, kw = kernel_size
    C_in, C_out = x.shape[3], dy.shape[3]
    dw = np.zeros((kh, kw, C_in, C_out))
    if pad:
        x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    else:
        x = np.pad(x, [(0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)])
    for n in range(len(x)) if images is None else images:
        for i in range(first_row, dy.shape[1]):
            for j in range(dy.shape[2]):
                for u in range(kh):
                    for v in range(kw):
                        for c in range(C_in):
                            pixel = x[n, i * stride + u * dilation, j * stride + v * dilation, c]
                            at = (kh - 1 - u, kw - 1 - v, c) if flip else (u, v, c)
                            if add:
                                dw[at] += pixel * dy[n, i, j]
                            else:
                                dw[at] = pixel * dy[n, i, j]
    return dw


def weight_flipped(*arguments):
    return weight_loops(*arguments, flip=True)


def weight_overwritten(*arguments):
    return weight_loops(*arguments, add=False)


def weight_first_image(*arguments):
    return weight_loops(*arguments, images=[0])


def weight_last_image(dy, x, *rest):
    for n in range(len(x)):
        dw = weight_loops(dy[n : n + 1], x[n : n + 1], *rest)
    return dw


def weight_batch_mean(dy, x, *rest):
    gradients = [weight_loops(dy[n : n + 1], x[n : n + 1], *rest) for n in range(len(x))]
    return np.mean(gradients, axis=0)


def weight_mean_of_places(dy, *rest):
    N, Ho, Wo, _ = dy.shape
    return weight_loops(dy, *rest) / (N * Ho * Wo)


def weight_padding_ignored(*arguments):
    return weight_loops(*arguments, pad=False)


def weight_first_row_missing(*arguments):
    return weight_loops(*arguments, first_row=1)


def weight_last_row_missing(dy, x, kernel_size, stride, padding, dilation):
    dy = dy.copy()
    dy[:, -1] = 0
    return weight_loops(dy, x, kernel_size, stride, padding, dilation)


def weight_stride_ignored(dy, x, kernel_size, stride, padding, dilation):
    return weight_loops(dy, x, kernel_size, 1, padding, dilation)


def weight_dilation_ignored(dy, x, kernel_size, stride, padding, dilation):
    return weight_loops(dy, x, kernel_size, stride, padding, 1)


def weight_channels_swapped(dy, x, kernel_size, stride, padding, dilation):
    kh, kw = kernel_size
    dw = np.zeros((kh, kw, dy.shape[3], x.shape[3]))
    x = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    for n, i, j in np.ndindex(dy.shape[:3]):
        for u, v in np.ndindex(kh, kw):
            dw[u, v] += np.outer(dy[n, i, j], x[n, i * stride + u * dilation, j * stride + v * dilation])
    return dw


def weight_columns(dy, x, kernel_size, stride, padding, dilation):
    """Patches by fancy indices: (N, Ho, Wo, kh, kw, C)."""
    x = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    rows = (np.arange(dy.shape[1]) * stride)[:, None] + np.arange(kernel_size[0]) * dilation
    columns = (np.arange(dy.shape[2]) * stride)[:, None] + np.arange(kernel_size[1]) * dilation
    return x[:, rows[:, None, :, None], columns[None, :, None, :]]


def weight_not_transposed(dy, x, kernel_size, *options):
    cols = weight_columns(dy, x, kernel_size, *options).reshape(dy[..., 0].size, -1)
    return (dy.reshape(-1, dy.shape[3]).T @ cols).reshape(*kernel_size, x.shape[3], dy.shape[3])


def weight_channels_first(dy, x, kernel_size, *options):
    cols = (
        weight_columns(dy, x, kernel_size, *options).transpose(0, 1, 2, 5, 3, 4).reshape(dy[..., 0].size, -1)
    )
    return (cols.T @ dy.reshape(-1, dy.shape[3])).reshape(*kernel_size, x.shape[3], dy.shape[3])


def weight_columns_first(dy, x, kernel_size, *options):
    return np.tensordot(weight_columns(dy, x, kernel_size, *options), dy, ((0, 1, 2), (0, 1, 2))).swapaxes(
        0, 1
    )


def weight_negative(dy, *rest):
    return weight_loops(-dy, *rest)


# ---------------------------------------------------------------- input


def input_loops(
    dy, w, input_shape, stride, padding, dilation, *, add=True, flip=False, crop=True, last_row=True
):
    """The plain loops, and some things that can go wrong in them."""
    N, H, W, C_in = input_shape
    kh, kw = w.shape[:2]
    padded = np.zeros((N, H + 2 * padding, W + 2 * padding, C_in))
    for n in range(N):
        for i in range(dy.shape[1] - (not last_row)):
            for j in range(dy.shape[2]):
                for u in range(kh):
                    for v in range(kw):
                        at = n, stride * i + dilation * u, stride * j + dilation * v
                        weight = w[kh - 1 - u, kw - 1 - v] if flip else w[u, v]
                        padded[at] = weight @ dy[n, i, j] + (padded[at] if add else 0)
    return padded[:, padding : H + padding, padding : W + padding] if crop else padded


def input_overwritten(*arguments):
    return input_loops(*arguments, add=False)


def input_overwritten_by_slices(dy, w, input_shape, stride, padding, dilation):
    N, H, W, C = input_shape
    out = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    for u in range(w.shape[0]):
        for v in range(w.shape[1]):
            rows = u * dilation + stride * np.arange(dy.shape[1])
            columns = v * dilation + stride * np.arange(dy.shape[2])
            out[:, rows[:, None], columns] = np.dot(dy, w[u, v].T)
    return out[:, padding : H + padding, padding : W + padding]


def input_buffered(dy, w, input_shape, stride, padding, dilation):
    """+= with the same index twice: NumPy adds once."""
    N, H, W, C = input_shape
    out = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    rows = (np.arange(dy.shape[1]) * stride)[:, None] + np.arange(w.shape[0]) * dilation
    columns = (np.arange(dy.shape[2]) * stride)[:, None] + np.arange(w.shape[1]) * dilation
    out[:, rows[:, None, :, None], columns[None, :, None, :]] += np.einsum("nijo,uvco->nijuvc", dy, w)
    return out[:, padding : H + padding, padding : W + padding]


def input_all_overwritten(dy, w, input_shape, stride, padding, dilation):
    _, H, W, _ = input_shape
    dx = np.zeros(input_shape)
    for n, i, j, o in np.ndindex(dy.shape):
        for u, v, c in np.ndindex(w.shape[:3]):
            h, k = i * stride + u * dilation - padding, j * stride + v * dilation - padding
            if 0 <= h < H and 0 <= k < W:
                dx[n, h, k, c] = dy[n, i, j, o] * w[u, v, c, o]
    return dx


def input_flipped(*arguments):
    return input_loops(*arguments, flip=True)


def input_not_cropped(*arguments):
    return input_loops(*arguments, crop=False)


def input_cropped_at_the_end(dy, w, input_shape, *options):
    return input_loops(dy, w, input_shape, *options, crop=False)[:, : input_shape[1], : input_shape[2]]


def input_minus_padding(dy, w, input_shape, stride, padding, dilation):
    dx = input_loops(dy, w, input_shape, stride, padding, dilation, crop=False)
    return dx[:, padding:-padding, padding:-padding, :]


def input_negative_indices(dy, w, input_shape, stride, padding, dilation):
    _, H, W, _ = input_shape
    dx = np.zeros(input_shape)
    for n, i, j in np.ndindex(dy.shape[:3]):
        for u, v in np.ndindex(w.shape[:2]):
            row, column = i * stride - padding + u * dilation, j * stride - padding + v * dilation
            if row < H and column < W:
                dx[n, row, column] += w[u, v] @ dy[n, i, j]
    return dx


def input_stride_ignored(dy, w, input_shape, stride, padding, dilation):
    return input_loops(dy, w, input_shape, 1, padding, dilation)


def input_dilation_ignored(dy, w, input_shape, stride, padding, dilation):
    return input_loops(dy, w, input_shape, stride, padding, 1)


def input_last_row_missing(*arguments):
    return input_loops(*arguments, last_row=False)


def input_only_reached(dy, w, input_shape, stride, padding, dilation):
    kh, kw = w.shape[:2]
    H = (dy.shape[1] - 1) * stride + dilation * (kh - 1) + 1 - 2 * padding
    W = (dy.shape[2] - 1) * stride + dilation * (kw - 1) + 1 - 2 * padding
    return input_loops(dy, w, (len(dy), H, W, w.shape[2]), stride, padding, dilation)


def input_channels_swapped(dy, w, *rest):
    return input_loops(dy, np.moveaxis(w, 3, 2), *rest)


def input_rows_for_columns(dy, w, *rest):
    return input_loops(dy, np.transpose(w, (1, 0, 2, 3)), *rest)


def input_negative(dy, w, *rest):
    return -1 * input_loops(dy, w, *rest)


def input_one_pixel_off(dy, w, input_shape, stride, padding, dilation):
    """The border is cut one pixel too late."""
    _, H, W, _ = input_shape
    padded = input_loops(dy, w, input_shape, stride, padding, dilation, crop=False)
    padded = np.pad(padded, ((0, 0), (0, 1), (0, 1), (0, 0)))
    return padded[:, padding + 1 : padding + 1 + H, padding + 1 : padding + 1 + W]


def input_mean_of_windows(dy, w, input_shape, *options):
    total = input_loops(dy, w, input_shape, *options)
    count = input_loops(np.ones_like(dy)[..., :1], np.ones((*w.shape[:3], 1)), input_shape, *options)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


# ---------------------------------------------------------------- all three


def all_three(
    dy, x, w, stride, padding, dilation, groups, weight=weight_loops, inputs=input_loops, bias=None
):
    """Group by group."""
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    a, b = x.shape[3] // groups, dy.shape[3] // groups
    for g in range(groups):
        i, o = slice(g * a, g * a + a), slice(g * b, g * b + b)
        options = stride, padding, dilation
        dx[..., i] = inputs(dy[..., o], w[..., o], (*x.shape[:3], a), *options)
        dw[..., o] = weight(dy[..., o], x[..., i], w.shape[:2], *options)
    return dx, dw, dy.sum((0, 1, 2)) if bias is None else bias(dy)


def of_all(**wrong):
    return lambda dy, x, w, stride, padding, dilation, groups: all_three(
        dy, x, w, stride, padding, dilation, groups, **wrong
    )


def groups_interleaved(dy, x, w, stride, padding, dilation, groups):
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for g in range(groups):
        options = stride, padding, dilation
        part = x[..., g::groups]
        dx[..., g::groups] = input_loops(dy[..., g::groups], w[..., g::groups], part.shape, *options)
        dw[..., g::groups] = weight_loops(dy[..., g::groups], part, w.shape[:2], *options)
    return dx, dw, dy.sum((0, 1, 2))


def groups_first_only(dy, x, w, stride, padding, dilation, groups):
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    a, b, options = x.shape[3] // groups, dy.shape[3] // groups, (stride, padding, dilation)
    dx[..., :a] = input_loops(dy[..., :b], w[..., :b], (*x.shape[:3], a), *options)
    dw[..., :b] = weight_loops(dy[..., :b], x[..., :a], w.shape[:2], *options)
    return dx, dw, dy.sum((0, 1, 2))


def groups_ignored(dy, x, w, stride, padding, dilation, groups):
    options = stride, padding, dilation
    dw = weight_loops(dy, x, w.shape[:2], *options)
    return input_loops(dy, w, (*x.shape[:3], w.shape[2]), *options), dw, dy.sum((0, 1, 2))


# ---------------------------------------------------------------- numerical gradient


def slopes(f, x, up, down, way, dtype=np.float64):
    gradient = np.zeros_like(x, dtype)
    for k in range(x.size):
        high, low = x.astype(dtype), x.astype(dtype)
        high.flat[k] += dtype(up)
        low.flat[k] -= dtype(down)
        gradient.flat[k] = (f(high) - f(low)) / dtype(way)
    return gradient


def alias(f, x):
    gradient = np.zeros_like(x)
    for index, _ in np.ndenumerate(x):
        above = below = x.copy()
        above[index] += 1e-5
        below[index] -= 1e-5
        gradient[index] = (f(above) - f(below)) / 2e-5
    return gradient


def not_put_back(f, x):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        x[index] += 1e-5
        above = f(x)
        x[index] -= 2e-5
        gradient[index] = (above - f(x)) / 2e-5
    return gradient


PLANTED = [
    Planted("conv2d_bias_backward", "batch sum forgotten", bias_without_batch, "batch"),
    Planted("conv2d_bias_backward", "first image only", bias_of_first_image, "first image"),
    Planted("conv2d_bias_backward", "mean for sum", bias_mean, "mean"),
    Planted("conv2d_bias_backward", "mean over the batch", bias_batch_mean, "mean over the batch"),
    Planted("conv2d_bias_backward", "one number an image", bias_over_channels, "wrong axes"),
    Planted("conv2d_bias_backward", "one number in all", bias_one_number, "wrong axes"),
    Planted("conv2d_bias_backward", "columns not summed", bias_columns_left, "wrong axes"),
    Planted("conv2d_bias_backward", "sign", bias_negative, "sign"),
    Planted("conv2d_weight_backward", "kernel flipped", weight_flipped, "flipped"),
    Planted("conv2d_weight_backward", "places overwritten", weight_overwritten, "last place"),
    Planted("conv2d_weight_backward", "first image only", weight_first_image, "first image"),
    Planted("conv2d_weight_backward", "batch overwritten", weight_last_image, "last image"),
    Planted("conv2d_weight_backward", "mean over the batch", weight_batch_mean, "mean over the batch"),
    Planted("conv2d_weight_backward", "mean over the places", weight_mean_of_places, "mean over all places"),
    Planted("conv2d_weight_backward", "padding ignored", weight_padding_ignored, "padding is ignored"),
    Planted("conv2d_weight_backward", "stride ignored", weight_stride_ignored, "stride is ignored"),
    Planted("conv2d_weight_backward", "dilation ignored", weight_dilation_ignored, "dilation is ignored"),
    Planted("conv2d_weight_backward", "off by one, first row", weight_first_row_missing, "row"),
    Planted("conv2d_weight_backward", "off by one, last row", weight_last_row_missing, "last row"),
    Planted("conv2d_weight_backward", "weight axes swapped", weight_channels_swapped, "channels are swapped"),
    Planted("conv2d_weight_backward", "product not transposed back", weight_not_transposed, "mixed up"),
    Planted("conv2d_weight_backward", "patches channels first", weight_channels_first, "mixed up"),
    Planted(
        "conv2d_weight_backward", "kernel axes swapped", weight_columns_first, "rows and columns are swapped"
    ),
    Planted("conv2d_weight_backward", "sign", weight_negative, "sign"),
    Planted("conv2d_input_backward", "overlap overwritten, place by place", input_overwritten, "overwritten"),
    Planted(
        "conv2d_input_backward", "overlap overwritten, tap by tap", input_overwritten_by_slices, "overwritten"
    ),
    Planted("conv2d_input_backward", "overlap lost by fancy +=", input_buffered, "overwritten"),
    Planted("conv2d_input_backward", "all sums overwritten", input_all_overwritten, "overwritten"),
    Planted("conv2d_input_backward", "kernel flipped", input_flipped, "flipped"),
    Planted("conv2d_input_backward", "padding not cropped", input_not_cropped, "not cropped"),
    Planted("conv2d_input_backward", "cropped at the wrong end", input_cropped_at_the_end, "wrong end"),
    Planted("conv2d_input_backward", "cropped with [p:-p]", input_minus_padding, "empty for padding 0"),
    Planted("conv2d_input_backward", "negative indices wrap", input_negative_indices, "negative indices"),
    Planted("conv2d_input_backward", "stride ignored", input_stride_ignored, "stride is ignored"),
    Planted("conv2d_input_backward", "dilation ignored", input_dilation_ignored, "dilation is ignored"),
    Planted("conv2d_input_backward", "off by one, last row", input_last_row_missing, "last row"),
    Planted("conv2d_input_backward", "off by one, crop", input_one_pixel_off, "shifted"),
    Planted("conv2d_input_backward", "rest of the stride forgotten", input_only_reached, "rest"),
    Planted(
        "conv2d_input_backward", "weight axes swapped", input_channels_swapped, "channels of w are swapped"
    ),
    Planted(
        "conv2d_input_backward", "kernel axes swapped", input_rows_for_columns, "rows and columns are swapped"
    ),
    Planted("conv2d_input_backward", "mean over the windows", input_mean_of_windows, "mean over the windows"),
    Planted("conv2d_input_backward", "sign", input_negative, "sign"),
    Planted("conv2d_backward", "kernel flipped in dx", of_all(inputs=input_flipped), "flipped"),
    Planted("conv2d_backward", "kernel flipped in dw", of_all(weight=weight_flipped), "flipped"),
    Planted("conv2d_backward", "overlap overwritten", of_all(inputs=input_overwritten), "overwritten"),
    Planted("conv2d_backward", "stride ignored", of_all(inputs=input_stride_ignored), "stride is ignored"),
    Planted("conv2d_backward", "batch sum forgotten in dw", of_all(weight=weight_first_image), "first image"),
    Planted("conv2d_backward", "batch mean in dw", of_all(weight=weight_batch_mean), "mean over the batch"),
    Planted(
        "conv2d_backward", "bias gradient of the wrong axes", of_all(bias=bias_over_channels), "wrong axes"
    ),
    Planted(
        "conv2d_backward", "bias gradient missing", of_all(bias=lambda dy: np.zeros(dy.shape[3])), "zeros"
    ),
    Planted("conv2d_backward", "bias gradient None", of_all(bias=lambda dy: None), "missing"),
    Planted("conv2d_backward", "groups interleaved", groups_interleaved, "groups are mixed up"),
    Planted("conv2d_backward", "first group only", groups_first_only, "one of the groups"),
    Planted("conv2d_backward", "groups ignored", groups_ignored, "groups are ignored"),
    Planted("numerical_gradient", "to one side", lambda f, x: slopes(f, x, 1e-6, 0, 1e-6), "one side"),
    Planted("numerical_gradient", "divided by h", lambda f, x: slopes(f, x, 1e-5, 1e-5, 1e-5), "2h"),
    Planted("numerical_gradient", "step too large", lambda f, x: slopes(f, x, 0.01, 0.01, 0.02), "too large"),
    Planted(
        "numerical_gradient", "step too small", lambda f, x: slopes(f, x, 1e-12, 1e-12, 2e-12), "too small"
    ),
    Planted(
        "numerical_gradient", "float32", lambda f, x: slopes(f, x, 1e-3, 1e-3, 2e-3, np.float32), "float32"
    ),
    Planted("numerical_gradient", "one array under two names", alias, "same array"),
    Planted("numerical_gradient", "x not put back", not_put_back, "changes x"),
    Planted("numerical_gradient", "sign", lambda f, x: -slopes(f, x, 1e-5, 1e-5, 2e-5), "sign"),
]


# ---------------------------------------------------------------- right, in other ways


@numba.njit
def weight_numba(dy, x, kernel_size, stride, padding, dilation):
    kh, kw = kernel_size
    N, H, W, C_in = x.shape
    dw = np.zeros((kh, kw, C_in, dy.shape[3]))
    for n in range(N):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for u in range(kh):
                    for v in range(kw):
                        row = i * stride + u * dilation - padding
                        column = j * stride + v * dilation - padding
                        if 0 <= row < H and 0 <= column < W:
                            for c in range(C_in):
                                for o in range(dy.shape[3]):
                                    dw[u, v, c, o] += x[n, row, column, c] * dy[n, i, j, o]
    return dw


def weight_tensordot(dy, x, kernel_size, *options):
    """A view with its axes swapped back, and Fortran order inside."""
    cols = weight_columns(dy, x, kernel_size, *options)
    return np.tensordot(dy, cols, ((0, 1, 2), (0, 1, 2))).transpose(1, 2, 3, 0)


def input_float32(dy, w, input_shape, *options):
    single = input_loops(dy.astype(np.float32), w.astype(np.float32), input_shape, *options)
    return single.astype(np.float32)


def input_add_at(dy, w, input_shape, stride, padding, dilation):
    """np.add.at adds as often as an index comes."""
    N, H, W, C = input_shape
    out = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    rows = (np.arange(dy.shape[1]) * stride)[:, None] + np.arange(w.shape[0]) * dilation
    columns = (np.arange(dy.shape[2]) * stride)[:, None] + np.arange(w.shape[1]) * dilation
    index = slice(None), rows[:, None, :, None], columns[None, :, None, :]
    np.add.at(out, index, np.einsum("nijo,uvco->nijuvc", dy, w))
    return out[:, padding : H + padding, padding : W + padding]


def input_gathered(dy, w, input_shape, stride, padding, dilation):
    """dx pixel by pixel: which windows have read it?"""
    dx = np.zeros(input_shape)
    for row, column in np.ndindex(input_shape[1:3]):
        for u, v in np.ndindex(w.shape[:2]):
            i, rest = divmod(row + padding - u * dilation, stride)
            j, other = divmod(column + padding - v * dilation, stride)
            if rest == other == 0 and 0 <= i < dy.shape[1] and 0 <= j < dy.shape[2]:
                dx[:, row, column] += dy[:, i, j] @ w[u, v].T
    return dx


def all_in_a_dictionary(*arguments):
    dx, dw, db = all_three(*arguments)
    return {"db": db, "dw": dw, "dx": dx}


def gradient_in_place(f, x):
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        before = x[index]
        x[index] = before + 1e-5
        above = f(x)
        x[index] = before - 1e-5
        gradient[index] = 0.5 * (above - f(x)) / 1e-5
        x[index] = before
    return gradient


RIGHT = [
    Right(
        "conv2d_bias_backward",
        "a product with ones",
        lambda dy: np.ones(dy[..., 0].size) @ dy.reshape(-1, dy.shape[3]),
    ),
    Right("conv2d_bias_backward", "a list", lambda dy: [float(dy[..., o].sum()) for o in range(dy.shape[3])]),
    Right("conv2d_bias_backward", "float32", lambda dy: dy.astype(np.float32).sum((0, 1, 2))),
    Right("conv2d_weight_backward", "loops", weight_loops),
    Right("conv2d_weight_backward", "Numba", weight_numba),
    Right("conv2d_weight_backward", "tensordot, a view", weight_tensordot),
    Right("conv2d_input_backward", "loops", input_loops),
    Right("conv2d_input_backward", "float32", input_float32),
    Right("conv2d_input_backward", "np.add.at", input_add_at),
    Right("conv2d_input_backward", "pixel by pixel", input_gathered),
    Right("conv2d_backward", "loops", all_three),
    Right("conv2d_backward", "a dictionary", all_in_a_dictionary),
    Right("numerical_gradient", "h = 1e-4", lambda f, x: slopes(f, x, 1e-4, 1e-4, 2e-4)),
    Right("numerical_gradient", "h = 1e-6", lambda f, x: slopes(f, x, 1e-6, 1e-6, 2e-6)),
    Right("numerical_gradient", "in place, and put back", gradient_in_place),
]
