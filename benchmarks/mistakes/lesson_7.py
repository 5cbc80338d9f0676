"""Lesson 7, as learners write it: painting with one mistake in each, and some that are right."""

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- conv_transpose2d


def transpose(x, w, stride, padding, *, put=False, flip=False, crop="both", step=None):
    """Window by window, and some things that can go wrong in it."""
    N, H, W, _ = x.shape
    kh, kw, K, _ = w.shape
    if flip:
        w = np.flip(w, (0, 1))
    step = stride if step is None else step
    out = np.zeros((N, stride * (H - 1) + kh, stride * (W - 1) + kw, K))
    for n in range(N):
        for i in range(H):
            for j in range(W):
                stroke = np.tensordot(w, x[n, i, j], axes=(3, 0))
                window = out[n, i * step : i * step + kh, j * step : j * step + kw]
                if put:
                    window[...] = stroke
                else:
                    window += stroke
    height, width = out.shape[1] - 2 * padding, out.shape[2] - 2 * padding
    if crop == "none":
        return out
    first = {"both": padding, "end": 0, "start": 2 * padding}[crop]
    return out[:, first : first + height, first : first + width]


def transpose_overwritten(x, w, stride, padding):
    return transpose(x, w, stride, padding, put=True)


def transpose_overwritten_by_tap(x, w, stride, padding):
    _, H, W, _ = x.shape
    kh, kw = w.shape[:2]
    out = np.zeros((len(x), (H - 1) * stride + kh, (W - 1) * stride + kw, w.shape[2]))
    for u in range(kh):
        for v in range(kw):
            rows = slice(u, u + (H - 1) * stride + 1, stride)
            columns = slice(v, v + (W - 1) * stride + 1, stride)
            out[:, rows, columns] = np.einsum("nijc,oc->nijo", x, w[u, v])
    return out[:, padding : out.shape[1] - padding, padding : out.shape[2] - padding]


def transpose_flipped(x, w, stride, padding):
    return transpose(x, w, stride, padding, flip=True)


def transpose_by_zeros(x, w, stride, padding):
    """Zeros between the pixels and a border, then a convolution: without the flip that this needs."""
    N, H, W, C = x.shape
    kh, kw, _, _ = w.shape
    wide = np.zeros((N, (H - 1) * stride + 2 * kh - 1, (W - 1) * stride + 2 * kw - 1, C))
    inner = wide[:, kh - 1 : wide.shape[1] - kh + 1, kw - 1 : wide.shape[2] - kw + 1]
    inner[:, ::stride, ::stride] = x
    windows = np.lib.stride_tricks.sliding_window_view(wide, (kh, kw), axis=(1, 2))
    y = np.einsum("nijcuv,uvoc->nijo", windows, w)
    return y[:, padding : y.shape[1] - padding, padding : y.shape[2] - padding]


def transpose_without_stride(x, w, stride, padding):
    return transpose(x, w, 1, padding)


def transpose_steps_of_one(x, w, stride, padding):
    return transpose(x, w, stride, padding, step=1)


def transpose_uncropped(x, w, stride, padding):
    return transpose(x, w, stride, padding, crop="none")


def transpose_cropped_at_the_end(x, w, stride, padding):
    return transpose(x, w, stride, padding, crop="end")


def transpose_cropped_at_the_start(x, w, stride, padding):
    return transpose(x, w, stride, padding, crop="start")


def transpose_minus_padding(x, w, stride, padding):
    return transpose(x, w, stride, 0)[:, padding:-padding, padding:-padding, :]


def transpose_padded(x, w, stride, padding):
    N, H, W, C = x.shape
    bordered = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    bordered[:, padding : padding + H, padding : padding + W] = x
    return transpose(bordered, w, stride, 0)


def transpose_channels(x, w, stride, padding):
    return transpose(x, np.transpose(w, (0, 1, 3, 2)), stride, padding)


def transpose_turned(x, w, stride, padding):
    return transpose(x, np.transpose(w, (1, 0, 2, 3)), stride, padding)


def transpose_average(x, w, stride, padding):
    there = np.ones_like(x[:1, :, :, :1])
    met = transpose(there, np.ones((*w.shape[:2], 1, 1)), stride, padding)
    met[met == 0] = 1
    return transpose(x, w, stride, padding) / met


def transpose_negative(x, w, stride, padding):
    return -transpose(x, w, stride, padding)


def transpose_first_image(x, w, stride, padding):
    y = transpose(x, w, stride, padding)
    y[1:] = 0
    return y


def transpose_one_channel(x, w, stride, padding):
    (N, H, W, C), (kh, kw, K, _) = x.shape, w.shape
    y = np.zeros((N, (H - 1) * stride + kh, (W - 1) * stride + kw, K))
    for c in range(C):
        layer = np.zeros_like(y)
        for i, j, u, v in np.ndindex(H, W, kh, kw):
            layer[:, i * stride + u, j * stride + v] += np.outer(x[:, i, j, c], w[u, v, :, c])
        y = layer
    return y[:, padding : y.shape[1] - padding, padding : y.shape[2] - padding]


# right ones


def transpose_loops(x, w, stride, padding):
    """As the formula says, number by number."""
    N, H, W, C = x.shape
    kh, kw, K, _ = w.shape
    Ho, Wo = (H - 1) * stride + kh - 2 * padding, (W - 1) * stride + kw - 2 * padding
    y = [[[[0.0] * K for _ in range(Wo)] for _ in range(Ho)] for _ in range(N)]
    for n, i, j, u, v, o, c in np.ndindex(N, H, W, kh, kw, K, C):
        row, column = i * stride + u - padding, j * stride + v - padding
        if 0 <= row < Ho and 0 <= column < Wo:
            y[n][row][column][o] += w[u, v, o, c] * x[n, i, j, c]
    return y


def transpose_by_convolution(x, w, stride, padding):
    return transpose_by_zeros(x, w[::-1, ::-1], stride, padding)


def transpose_view(x, w, stride, padding):
    """Channels first inside, so that what is returned is no contiguous array."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(transpose(x, w, stride, padding), 3, 1)), 1, 3)


def transpose_single(x, w, stride, padding):
    return transpose(x.astype(np.float32), w.astype(np.float32), stride, padding).astype(np.float32)


# ---------------------------------------------------------------- conv_transpose2d_backward


def back(dy, x, w, stride, padding, *, border=True, flip=False, put=False, step=None, images=None):
    N, H, W, C = x.shape
    kh, kw, K, _ = w.shape
    step = stride if step is None else step
    if border:
        dy = np.pad(dy, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    dy = np.pad(dy, [(0, 0), (0, H * stride + kh), (0, W * stride + kw), (0, 0)])
    dx, dw = np.zeros((N, H, W, C)), np.zeros((kh, kw, K, C))
    for n in range(N) if images is None else images:
        for i, j in np.ndindex(H, W):
            for u, v in np.ndindex(kh, kw):
                at = (kh - 1 - u, kw - 1 - v) if flip else (u, v)
                pixel = dy[n, i * step + u, j * step + v]
                if put:
                    dx[n, i, j] = w[at].T @ pixel
                    dw[at] = np.outer(pixel, x[n, i, j])
                else:
                    dx[n, i, j] += w[at].T @ pixel
                    dw[at] += np.outer(pixel, x[n, i, j])
    return dx, dw


def back_flipped(*arguments):
    return back(*arguments, flip=True)


def back_without_stride(*arguments):
    return back(*arguments, step=1)


def back_without_padding(*arguments):
    return back(*arguments, border=False)


def back_overwritten(*arguments):
    return back(*arguments, put=True)


def back_first_image(*arguments):
    return back(*arguments, images=[0])


def back_batch_mean(dy, x, *rest):
    dx, dw = back(dy, x, *rest)
    return dx, dw / x.shape[0]


def back_pixel_mean(dy, x, *rest):
    dx, dw = back(dy, x, *rest)
    return dx, dw / (x.shape[1] * x.shape[2])


def back_weight_channels(*arguments):
    dx, dw = back(*arguments)
    return dx, dw.transpose(0, 1, 3, 2)


def back_cropped(dy, x, w, stride, padding):
    inner = dy[:, padding : dy.shape[1] - padding, padding : dy.shape[2] - padding]
    return back(inner, x, w, stride, 0)


def back_negative(*arguments):
    dx, dw = back(*arguments)
    return -dx, dw


def back_swapped(*arguments):
    dx, dw = back(*arguments)
    return dw, dx


# right ones


def back_by_matrices(dy, x, w, stride, padding):
    """The patches of dy, as in lesson 3, and two products."""
    (N, H, W, C), (kh, kw, K, _) = x.shape, w.shape
    bordered = np.pad(dy, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(bordered, (kh, kw), (1, 2))[:, ::stride, ::stride]
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(N * H * W, kh * kw * K)
    dx = patches @ w.reshape(-1, C)
    return dx.reshape(x.shape), (patches.T @ x.reshape(-1, C)).reshape(w.shape)


def back_list(*arguments):
    return list(back(*arguments))


def back_single(*arguments):
    dx, dw = back(*arguments)
    return {"dx": dx.astype(np.float32), "dw": dw.astype(np.float32)}


PLANTED = [
    Planted("conv_transpose2d", "overlaps overwritten", transpose_overwritten, "overlap"),
    Planted("conv_transpose2d", "overlaps overwritten, tap by tap", transpose_overwritten_by_tap, "overlap"),
    Planted("conv_transpose2d", "kernel flipped", transpose_flipped, "flipped"),
    Planted("conv_transpose2d", "by zeros and a convolution", transpose_by_zeros, "flipped"),
    Planted("conv_transpose2d", "stride ignored", transpose_without_stride, "stride"),
    Planted("conv_transpose2d", "pixels painted side by side", transpose_steps_of_one, "stride"),
    Planted("conv_transpose2d", "padding not cropped", transpose_uncropped, "not cropped"),
    Planted("conv_transpose2d", "cropped at the end only", transpose_cropped_at_the_end, "wrong end"),
    Planted("conv_transpose2d", "cropped at the start only", transpose_cropped_at_the_start, "wrong end"),
    Planted("conv_transpose2d", "slice to -padding", transpose_minus_padding, "empty"),
    Planted("conv_transpose2d", "padding put around x", transpose_padded, "around x"),
    Planted("conv_transpose2d", "channels of w swapped", transpose_channels, "channels"),
    Planted("conv_transpose2d", "rows and columns of w swapped", transpose_turned, "rows and columns"),
    Planted("conv_transpose2d", "mean where kernels meet", transpose_average, "mean"),
    Planted("conv_transpose2d", "sign", transpose_negative, "sign"),
    Planted("conv_transpose2d", "first image only", transpose_first_image, "first image"),
    Planted("conv_transpose2d", "last channel only", transpose_one_channel, "channel"),
    Planted("conv_transpose2d_backward", "kernel flipped", back_flipped, "flipped"),
    Planted("conv_transpose2d_backward", "stride ignored", back_without_stride, "stride"),
    Planted("conv_transpose2d_backward", "padding ignored", back_without_padding, "padding"),
    Planted("conv_transpose2d_backward", "cropped once more", back_cropped, "once more"),
    Planted("conv_transpose2d_backward", "overwritten", back_overwritten, "overwrite"),
    Planted("conv_transpose2d_backward", "first image only", back_first_image, "first image"),
    Planted("conv_transpose2d_backward", "mean over the batch", back_batch_mean, "batch"),
    Planted("conv_transpose2d_backward", "mean over the pixels", back_pixel_mean, "pixels"),
    Planted("conv_transpose2d_backward", "channels of dw swapped", back_weight_channels, "channels"),
    Planted("conv_transpose2d_backward", "sign of dx", back_negative, "sign"),
    Planted("conv_transpose2d_backward", "dx and dw swapped", back_swapped, "swapped"),
]

RIGHT = [
    Right("conv_transpose2d", "windows", transpose),
    Right("conv_transpose2d", "loops over all, a list of lists", transpose_loops),
    Right("conv_transpose2d", "zeros between, then a convolution", transpose_by_convolution),
    Right("conv_transpose2d", "not contiguous", transpose_view),
    Right("conv_transpose2d", "float32", transpose_single),
    Right("conv_transpose2d_backward", "loops", back),
    Right("conv_transpose2d_backward", "patches and products", back_by_matrices),
    Right("conv_transpose2d_backward", "a list", back_list),
    Right("conv_transpose2d_backward", "a dictionary, float32", back_single),
]
