"""Lesson 2, as learners write it: convolutions, patches, matrices with one mistake in each, and right ones."""

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- output_size


def places(size, kernel, stride, padding, dilation):
    """Count them."""
    reach = (kernel - 1) * dilation + 1
    return len(
        [start for start in range(-padding, size + padding) if start + reach <= size + padding][::stride]
    )


# ---------------------------------------------------------------- conv2d


def conv(x, w, b, stride, padding, dilation, flip=False, add=True, last=0, pad=None, bias=True):
    N, H, W, C = x.shape
    kh, kw, _, C_out = w.shape
    pad = padding if pad is None else pad
    padded = np.zeros((N, H + 2 * pad, W + 2 * pad, C))
    padded[:, pad : pad + H, pad : pad + W] = x
    Ho = places(H, kh, stride, pad, dilation)
    Wo = places(W, kw, stride, pad, dilation)
    y = np.zeros((N, Ho, Wo, C_out))
    for i in range(Ho - last):
        for j in range(Wo - last):
            for u in range(kh):
                for v in range(kw):
                    tap = w[-1 - u, -1 - v] if flip else w[u, v]
                    part = padded[:, i * stride + u * dilation, j * stride + v * dilation] @ tap
                    y[:, i, j] = y[:, i, j] + part if add else part
    return y + b if bias else y


def conv_without_bias(x, w, b, stride, padding, dilation):
    return conv(x, w, b, stride, padding, dilation, bias=False)


def conv_flipped(x, w, b, stride, padding, dilation):
    return conv(x, w, b, stride, padding, dilation, flip=True)


def conv_replaced(x, w, b, stride, padding, dilation):
    return conv(x, w, b, stride, padding, dilation, add=False)


def conv_last_missing(x, w, b, stride, padding, dilation):
    return conv(x, w, b, stride, padding, dilation, last=1)


def conv_stride_ignored(x, w, b, stride, padding, dilation):
    return conv(x, w, b, 1, padding, dilation)


def conv_dilation_ignored(x, w, b, stride, padding, dilation):
    y = np.zeros(conv(x, w, b, stride, padding, dilation).shape)
    close = conv(x, w, b, stride, padding, 1)
    return close[:, : y.shape[1], : y.shape[2]]


def conv_mean(x, w, b, stride, padding, dilation):
    return conv(x, w, 0 * b, stride, padding, dilation) / (w.shape[0] * w.shape[1]) + b


def conv_first_channel(x, w, b, stride, padding, dilation):
    return conv(x[..., :1], w[:, :, :1], b, stride, padding, dilation)


def conv_kernel_transposed(x, w, b, stride, padding, dilation):
    return conv(
        x,
        np.array([[w[u, v] for u in range(w.shape[0])] for v in range(w.shape[1])]),
        b,
        stride,
        padding,
        dilation,
    )


def conv_channels_swapped(x, w, b, stride, padding, dilation):
    """A product for each pair of channels, o and c in each other's place."""
    C_in, C_out = w.shape[2:]
    y = np.zeros(conv(x, w, b, stride, padding, dilation).shape) + b
    for o in range(C_out):
        for c in range(C_in):
            one = w[:, :, o, c][:, :, None, None]
            y[..., o] += conv(x[..., c : c + 1], one, 0.0, stride, padding, dilation)[..., 0]
    return y


def conv_padding_ignored(x, w, b, stride, padding, dilation):
    return conv(x, w, b, stride, padding, dilation, pad=0)


def conv_padded_behind(x, w, b, stride, padding, dilation):
    N, H, W, C = x.shape
    larger = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    larger[:, :H, :W] = x
    return conv(larger, w, b, stride, 0, dilation)


def conv_round_the_corner(x, w, b, stride, padding, dilation):
    """Pixels behind the last row are left out, those before the first one are not."""
    N, H, W, _ = x.shape
    kh, kw, _, C_out = w.shape
    y = (
        np.zeros(
            (N, places(H, kh, stride, padding, dilation), places(W, kw, stride, padding, dilation), C_out)
        )
        + b
    )
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            for u in range(kh):
                for v in range(kw):
                    row, column = i * stride + u * dilation - padding, j * stride + v * dilation - padding
                    if row < H and column < W:
                        y[:, i, j] += x[:, row, column] @ w[u, v]
    return y


def conv_bias_with_each_product(x, w, b, stride, padding, dilation):
    return conv(x, w, b * w.shape[0] * w.shape[1], stride, padding, dilation)


def conv_right(x, w, b, stride, padding, dilation):
    """One product for each tap, over whole shifted images."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    kh, kw = w.shape[:2]
    Ho = (x.shape[1] - (kh - 1) * dilation - 1) // stride + 1
    Wo = (x.shape[2] - (kw - 1) * dilation - 1) // stride + 1
    y = np.zeros((x.shape[0], Ho, Wo, w.shape[3])) + b
    for u in range(kh):
        for v in range(kw):
            top, left = u * dilation, v * dilation
            y += (
                x[:, top : top + Ho * stride : stride, left : left + Wo * stride : stride][:, :Ho, :Wo]
                @ w[u, v]
            )
    return y


# ---------------------------------------------------------------- im2col


def patches(x, kernel_size, stride, padding, dilation, flip=False, last=0, order="nijuvc"):
    N, H, W, C = x.shape
    kh, kw = kernel_size
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    Ho, Wo = places(H, kh, stride, padding, dilation), places(W, kw, stride, padding, dilation)
    cols = np.zeros((N, Ho, Wo, kh, kw, C))
    for i in range(Ho - last):
        for j in range(Wo - last):
            for u in range(kh):
                for v in range(kw):
                    at = (kh - 1 - u, kw - 1 - v) if flip else (u, v)
                    cols[:, i, j, *at] = x[:, i * stride + u * dilation, j * stride + v * dilation]
    return cols.transpose(["nijuvc".index(axis) for axis in order])


def patches_flipped(*arguments):
    return patches(*arguments, flip=True)


def patches_of_a_turned_window(x, kernel_size, stride, padding, dilation):
    return patches(x, (kernel_size[1], kernel_size[0]), stride, padding, dilation)


def patches_stride_ignored(x, kernel_size, stride, padding, dilation):
    Ho, Wo = patches(x, kernel_size, stride, padding, dilation).shape[1:3]
    return patches(x, kernel_size, 1, padding, dilation)[:, :Ho, :Wo]


def patches_all_axes_padded(x, kernel_size, stride, padding, dilation):
    return patches(np.pad(x, padding), kernel_size, stride, 0, dilation)


def patches_channels_first(*arguments):
    return patches(*arguments, order="nijcuv")


def patches_window_first(*arguments):
    return patches(*arguments, order="nuvijc")


def patches_last_missing(*arguments):
    return patches(*arguments, last=1)


def patches_right(x, kernel_size, stride, padding, dilation):
    x = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    reach = [(k - 1) * dilation + 1 for k in kernel_size]
    views = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))[:, ::stride, ::stride]
    return views[..., ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)


# ---------------------------------------------------------------- conv_matrix


def matrix(w, height, width):
    kh, kw = w.shape
    rows = []
    for i in range(height - kh + 1):
        for j in range(width - kw + 1):
            row = np.zeros((height, width))
            row[i : i + kh, j : j + kw] = w
            rows.append(row.ravel())
    return np.array(rows)


def matrix_transposed(w, height, width):
    return matrix(w, height, width).T


def matrix_flipped(w, height, width):
    return matrix(w[::-1, ::-1], height, width)


def matrix_of_short_rows(w, height, width):
    """The kernel's place in a picture that is as wide as y."""
    kh, kw = w.shape
    Ho, Wo = height - kh + 1, width - kw + 1
    M = np.zeros((Ho * Wo, height * width))
    for i in range(Ho):
        for j in range(Wo):
            for u in range(kh):
                for v in range(kw):
                    M[i * Wo + j, (i + u) * Wo + (j + v)] += w[u, v]
    return M


def matrix_without_gaps(w, height, width):
    kh, kw = w.shape
    M = np.zeros(((height - kh + 1) * (width - kw + 1), height * width))
    for i in range(height - kh + 1):
        for j in range(width - kw + 1):
            start = i * width + j
            M[i * (width - kw + 1) + j, start : start + w.size] = w.ravel()
    return M


def matrix_swapped(w, height, width):
    """x is read column by column."""
    M = matrix(w, height, width)
    return M.reshape(-1, height, width).transpose(0, 2, 1).reshape(len(M), -1)


def matrix_right(w, height, width):
    """Column by column: what a picture of one bright pixel becomes."""
    kh, kw = w.shape
    columns = []
    for pixel in np.eye(height * width):
        windows = np.lib.stride_tricks.sliding_window_view(pixel.reshape(height, width), (kh, kw))
        columns.append((windows * w).sum(axis=(2, 3)).ravel())
    return np.array(columns).T


SIZE = "output_size"

PLANTED = [
    Planted(SIZE, "one missing", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s, "Add 1"),
    Planted(SIZE, "padding once", lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1, "both sides"),
    Planted(SIZE, "padding forgotten", lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1, "forgotten"),
    Planted(SIZE, "stride forgotten", lambda n, k, s, p, d: n + 2 * p - d * (k - 1), "stride"),
    Planted(SIZE, "dilation forgotten", lambda n, k, s, p, d: (n + 2 * p - k) // s + 1, "dilation"),
    Planted(SIZE, "a fraction", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1, "fraction"),
    Planted(
        SIZE, "rounded up", lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1, "rounded up"
    ),
    Planted("conv2d", "kernel flipped", conv_flipped, "flip"),
    Planted("conv2d", "bias forgotten", conv_without_bias, "bias"),
    Planted("conv2d", "products replaced", conv_replaced, "+="),
    Planted("conv2d", "last row and column missing", conv_last_missing, "last row"),
    Planted("conv2d", "stride ignored", conv_stride_ignored, "stride"),
    Planted("conv2d", "dilation ignored", conv_dilation_ignored, "dilation"),
    Planted("conv2d", "mean", conv_mean, "mean"),
    Planted(
        "conv2d", "kernel's rows and columns swapped", conv_kernel_transposed, "rows and columns are swapped"
    ),
    Planted("conv2d", "channels swapped", conv_channels_swapped, "channels are swapped"),
    Planted("conv2d", "padding ignored", conv_padding_ignored, "padding is ignored"),
    Planted("conv2d", "padding on one side", conv_padded_behind, "both sides"),
    Planted("conv2d", "negative index", conv_round_the_corner, "negative index"),
    Planted("conv2d", "bias with each product", conv_bias_with_each_product, "once"),
    Planted("conv2d", "first channel only", conv_first_channel, "first channel"),
    Planted("im2col", "flipped", patches_flipped, "flip"),
    Planted("im2col", "channels before the window", patches_channels_first, "channels come last"),
    Planted("im2col", "window before the places", patches_window_first, "places come first"),
    Planted("im2col", "last row and column missing", patches_last_missing, "last row"),
    Planted("im2col", "kernel size swapped", patches_of_a_turned_window, "swapped"),
    Planted("im2col", "stride ignored", patches_stride_ignored, "stride"),
    Planted("im2col", "all axes padded", patches_all_axes_padded, "all axes"),
    Planted("conv_matrix", "transposed", matrix_transposed, "transpose"),
    Planted("conv_matrix", "kernel flipped", matrix_flipped, "flip"),
    Planted("conv_matrix", "columns counted in rows of y", matrix_of_short_rows, "rows of y"),
    Planted("conv_matrix", "kernel without gaps", matrix_without_gaps, "gap"),
    Planted("conv_matrix", "height and width swapped", matrix_swapped, "swapped"),
]

RIGHT = [
    Right(SIZE, "counting", places),
    Right("conv2d", "loops", conv),
    Right("conv2d", "tap by tap", conv_right),
    Right("conv2d", "float32", lambda x, w, *rest: conv(x.astype(np.float32), w, *rest).astype(np.float32)),
    Right("im2col", "loops", patches),
    Right("im2col", "views, not contiguous", patches_right),
    Right("conv_matrix", "row by row", matrix),
    Right("conv_matrix", "column by column", matrix_right),
]
