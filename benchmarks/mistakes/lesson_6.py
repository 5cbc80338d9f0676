"""Lesson 6, as learners write it: kernels, sizes and maps with one mistake in each, and some that are right."""

import math

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- to_conv


def kernel_by_loops(weight, input_shape):
    H, W, C = input_shape
    kernel = np.zeros((H, W, C, weight.shape[1]))
    row = 0
    for i in range(H):
        for j in range(W):
            for c in range(C):
                kernel[i, j, c] = weight[row]
                row += 1
    return kernel


def kernel_channels_slowest(weight, input_shape):
    H, W, C = input_shape
    kernel = np.zeros((H, W, C, weight.shape[1]))
    row = 0
    for c in range(C):
        for i in range(H):
            for j in range(W):
                kernel[i, j, c] = weight[row]
                row += 1
    return kernel


def kernel_one_by_one(weight, input_shape):
    return np.reshape(weight, (1, 1, *weight.shape))


def kernel_outputs_first(weight, input_shape):
    return np.stack([weight[:, k].reshape(input_shape) for k in range(weight.shape[1])])


def kernel_misread(weight, input_shape):
    """As if the weight were (outputs, inputs)."""
    return np.moveaxis(np.reshape(weight, (weight.shape[1], *input_shape)), 0, 3)


def kernel_turned(weight, input_shape):
    return np.rot90(kernel_by_loops(weight, input_shape), 2)


def kernel_columns_first(weight, input_shape):
    return np.einsum("hwco->whco", kernel_by_loops(weight, input_shape))


def kernel_column_by_column(weight, input_shape):
    H, W, C = input_shape
    kernel = np.zeros((H, W, C, weight.shape[1]))
    for i in range(H):
        for j in range(W):
            start = (j * H + i) * C
            kernel[i, j] = weight[start : start + C]
    return kernel


def kernel_unchanged(weight, input_shape):
    return weight * 1.0


# ---------------------------------------------------------------- from_chw


def reordered_by_loops(weight, input_shape):
    H, W, C = input_shape
    result = np.empty_like(weight)
    for i in range(H):
        for j in range(W):
            for c in range(C):
                result[(i * W + j) * C + c] = weight[(c * H + i) * W + j]
    return result


def reordered_by_index(weight, input_shape):
    H, W, C = input_shape
    return weight[np.arange(C * H * W).reshape(C, H * W).T.ravel()]


def reordered_backwards(weight, input_shape):
    H, W, C = input_shape
    result = np.empty_like(weight)
    for i in range(H):
        for j in range(W):
            for c in range(C):
                result[(c * H + i) * W + j] = weight[(i * W + j) * C + c]
    return result


def reordered_not_at_all(weight, input_shape):
    H, W, C = input_shape
    return weight.reshape(C, H, W, -1).reshape(H, W, C, -1).reshape(H * W * C, -1)


def reordered_columns_first(weight, input_shape):
    H, W, C = input_shape
    return np.concatenate([weight[np.arange(C) * H * W + i * W + j] for j in range(W) for i in range(H)])


def reordered_whc(weight, input_shape):
    """As if it had been flattened W, H, C."""
    H, W, C = input_shape
    return np.concatenate([weight[(j * H + i) * C : (j * H + i) * C + C] for i in range(H) for j in range(W)])


def reordered_not_flattened(weight, input_shape):
    H, W, C = input_shape
    return np.moveaxis(weight.reshape(C, H, W, -1), 0, 2)


def reordered_outputs_first(weight, input_shape):
    return reordered_by_loops(weight, input_shape).T


# ---------------------------------------------------------------- heat_map_size


def size_by_counting(size, window, stride):
    count, start = 0, 0
    while start + window <= size:
        count, start = count + 1, start + stride
    return count


def size_last_missed(size, window, stride):
    return len(range(0, size - window, stride))


def size_rounded_up(size, window, stride):
    return math.ceil((size - window) / stride) + 1


def size_first_missed(size, window, stride):
    return int((size - window) / stride)


def size_without_window(size, window, stride):
    return size // stride


def size_of_all_starts(size, window, stride):
    return len(range(0, size, stride))


def size_without_stride(size, window, stride):
    return len(range(size - window + 1))


def size_not_rounded(size, window, stride):
    return 1 + (size - window) / stride


def size_side_by_side(size, window, stride):
    return int(size / window)


def size_one_too_early(size, window, stride):
    return (size + 1 - window) // stride


# ---------------------------------------------------------------- interlace


def interlaced_by_loops(maps):
    f = len(maps)
    H, W = sum(row[0].shape[0] for row in maps), sum(part.shape[1] for part in maps[0])
    dense = np.zeros((H, W, maps[0][0].shape[-1]))
    for y in range(H):
        for x in range(W):
            dense[y, x] = maps[y % f][x % f][y // f, x // f]
    return dense


def interlaced_by_stacking(maps):
    """Filled up to one size, stacked, cut."""
    f, (h, w, K) = len(maps), maps[0][0].shape
    full = np.zeros((f, f, h, w, K))
    for a in range(f):
        for b in range(f):
            part = maps[a][b]
            full[a, b, : part.shape[0], : part.shape[1]] = part
    H, W = sum(row[0].shape[0] for row in maps), sum(part.shape[1] for part in maps[0])
    return full.transpose(2, 0, 3, 1, 4).reshape(h * f, w * f, K)[:H, :W]


def interlaced_swapped(maps):
    f = len(maps)
    H, W = sum(row[0].shape[0] for row in maps), sum(part.shape[1] for part in maps[0])
    dense = np.zeros((H, W, maps[0][0].shape[-1]))
    for a in range(f):
        for b in range(f):
            dense[b::f, a::f] = maps[a][b]
    return dense


def blocks(maps):
    return np.vstack([np.hstack(row) for row in maps])


def interlaced_rows_only(maps):
    f, wide = len(maps), [np.hstack(row) for row in maps]
    dense = np.zeros((sum(map(len, wide)), *wide[0].shape[1:]))
    for a, rows in enumerate(wide):
        dense[a::f] = rows
    return dense


def interlaced_in_reverse(maps):
    f = len(maps)
    H, W = sum(row[0].shape[0] for row in maps), sum(part.shape[1] for part in maps[0])
    dense = np.zeros((H, W, maps[0][0].shape[-1]))
    for a in range(f):
        for b in range(f):
            dense[f - 1 - a :: f, f - 1 - b :: f] = maps[a][b]
    return dense


def interlaced_first_enlarged(maps):
    f = len(maps)
    H, W = sum(row[0].shape[0] for row in maps), sum(part.shape[1] for part in maps[0])
    return maps[0][0].repeat(f, 0).repeat(f, 1)[:H, :W]


def interlaced_equal_sizes(maps):
    """It takes all maps for as large as the first."""
    f, (h, w, K) = len(maps), maps[0][0].shape
    dense = np.zeros((h * f, w * f, K))
    for a in range(f):
        for b in range(f):
            dense[a::f, b::f][: maps[a][b].shape[0], : maps[a][b].shape[1]] = maps[a][b]
    return dense


def interlaced_first_channel(maps):
    return interlaced_by_loops([[part[..., :1] for part in row] for row in maps])


PLANTED = [
    Planted("to_conv", "flattened C, H, W", kernel_channels_slowest, "C, H, W"),
    Planted("to_conv", "a 1x1 kernel", kernel_one_by_one, "1x1 kernel"),
    Planted("to_conv", "outputs first", kernel_outputs_first, "outputs come first"),
    Planted("to_conv", "weight taken for (outputs, inputs)", kernel_misread, "(outputs, inputs)"),
    Planted("to_conv", "kernel flipped", kernel_turned, "flipped"),
    Planted("to_conv", "rows and columns swapped", kernel_columns_first, "swapped"),
    Planted("to_conv", "read column by column", kernel_column_by_column, "swapped"),
    Planted("to_conv", "not reshaped", kernel_unchanged, "unchanged"),
    Planted("from_chw", "the other way round", reordered_backwards, "other way round"),
    Planted("from_chw", "reshaped only", reordered_not_at_all, "unchanged"),
    Planted("from_chw", "columns before rows", reordered_columns_first, "swapped"),
    Planted("from_chw", "from W, H, C", reordered_whc, "C, H, W, not W, H, C"),
    Planted("from_chw", "not flattened again", reordered_not_flattened, "another shape"),
    Planted("from_chw", "outputs first", reordered_outputs_first, "axes 0 and 1"),
    Planted("heat_map_size", "last window missed", size_last_missed, "fits exactly"),
    Planted("heat_map_size", "rounded up", size_rounded_up, "round down"),
    Planted("heat_map_size", "first window missed", size_first_missed, "one is missing"),
    Planted("heat_map_size", "window forgotten", size_without_window, "window is forgotten"),
    Planted("heat_map_size", "every start within the picture", size_of_all_starts, "window is forgotten"),
    Planted("heat_map_size", "stride ignored", size_without_stride, "stride is ignored"),
    Planted("heat_map_size", "not rounded", size_not_rounded, "not rounded"),
    Planted("heat_map_size", "windows side by side", size_side_by_side, "side by side"),
    Planted("heat_map_size", "1 added too early", size_one_too_early, "too early"),
    Planted("interlace", "down and right swapped", interlaced_swapped, "swapped"),
    Planted("interlace", "side by side", blocks, "side by side"),
    Planted("interlace", "rows only", interlaced_rows_only, "one axis"),
    Planted("interlace", "shifts in reverse", interlaced_in_reverse, "reverse"),
    Planted("interlace", "first pass enlarged", interlaced_first_enlarged, "repeated"),
    Planted("interlace", "smaller maps filled up", interlaced_equal_sizes, "too large"),
    Planted("interlace", "first channel only", interlaced_first_channel, "too small"),
]

RIGHT = [
    Right("to_conv", "loops", kernel_by_loops),
    Right(
        "to_conv",
        "a view of a copy",
        lambda weight, shape: weight.T.copy().reshape(-1, *shape).transpose(1, 2, 3, 0),
    ),
    Right("to_conv", "float32", lambda weight, shape: kernel_by_loops(weight.astype(np.float32), shape)),
    Right("from_chw", "loops", reordered_by_loops),
    Right("from_chw", "a list of rows", reordered_by_index),
    Right("heat_map_size", "counted", size_by_counting),
    Right(
        "heat_map_size",
        "floor of a float",
        lambda size, window, stride: np.floor((size - window) / stride) + 1,
    ),
    Right("interlace", "pixel by pixel", interlaced_by_loops),
    Right("interlace", "stacked and cut", interlaced_by_stacking),
]
