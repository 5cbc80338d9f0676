"""Lesson 7, as learners write it: bilinear kernels and coverage with one mistake in each, and some right ones."""

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- bilinear_kernel


def kernel_always_half(size):
    factor = (size + 1) // 2
    center = factor - 0.5
    og = np.ogrid[:size, :size]
    return (1 - abs(og[0] - center) / factor) * (1 - abs(og[1] - center) / factor)


def kernel_always_whole(size):
    factor = (size + 1) // 2
    center = factor - 1
    og = np.ogrid[:size, :size]
    return (1 - abs(og[0] - center) / factor) * (1 - abs(og[1] - center) / factor)


def kernel_rounded_down(size):
    f = size // 2
    row = np.array([1 - abs(i - (size - 1) / 2) / f if f else 0 for i in range(size)])
    return row[:, None] * row[None, :]


def kernel_bartlett(size):
    return np.outer(np.bartlett(size), np.bartlett(size)) if size > 1 else np.full((1, 1), np.nan)


def kernel_bartlett_inside(size):
    """Right for odd sizes only."""
    line = np.bartlett(size + 2)[1:-1]
    return np.outer(line, line)


def kernel_line(size):
    return 1 - abs(np.arange(size) - (size - 1) / 2) / np.ceil(size / 2)


def kernel_normalised(size):
    line = kernel_line(size) / kernel_line(size).sum()
    return np.outer(line, line)


def kernel_sum(size):
    line = kernel_line(size)
    return line[:, np.newaxis] + line


def kernel_shifted(size):
    line = 1 - abs(np.arange(size) - size / 2) / np.ceil(size / 2)
    return np.outer(line, line)


def kernel_linspace(size):
    """Right: half of the tent, and its mirror image."""
    half = (np.arange(size) + (1 if size % 2 else 0.5)) / ((size + 1) // 2)
    line = np.minimum(half, half[::-1])
    return line * line[:, None]


def kernel_caffe(size):
    """Right: as Caffe's filler writes it."""
    f = np.ceil(size / 2)
    c = (size - 1) / (2 * f)
    return [[(1 - abs(i / f - c)) * (1 - abs(j / f - c)) for j in range(size)] for i in range(size)]


def kernel_single(size):
    return np.array(kernel_caffe(size), np.float32)


# ---------------------------------------------------------------- coverage


def coverage_ones(size, kernel, stride):
    hit = np.zeros((size - 1) * stride + kernel)
    for i in range(size):
        for k in range(kernel):
            hit[i * stride + k] = 1
    return hit


def coverage_without_stride(size, kernel, stride):
    counts = [0] * (stride * (size - 1) + kernel)
    for i in range(size):
        for k in range(kernel):
            if i + k < len(counts):
                counts[i + k] += 1
    return counts


def coverage_stride_forgotten(size, kernel, stride):
    return np.convolve(np.ones(size), np.ones(kernel))


def coverage_short(size, kernel, stride):
    counts = np.zeros(size * stride)
    for i in range(size):
        counts[i * stride : i * stride + kernel] += 1
    return counts


def coverage_long(size, kernel, stride):
    counts = np.zeros(size * stride + kernel)
    for i in range(size):
        counts[i * stride : i * stride + kernel] += 1
    return counts


def coverage_of_a_convolution(size, kernel, stride):
    counts = np.zeros(size)
    start = 0
    while start + kernel <= size:
        counts[start : start + kernel] += 1
        start += stride
    return counts


def coverage_swapped(size, kernel, stride):
    counts = np.zeros((size - 1) * kernel + stride)
    for i in range(size):
        counts[i * kernel : i * kernel + stride] += 1
    return counts


def coverage_all_but_one(size, kernel, stride):
    counts = np.zeros((size - 1) * stride + kernel)
    for i in range(size):
        counts[i * stride : i * stride + kernel - 1] += 1
    return counts


def coverage_by_pixel(size, kernel, stride):
    """Right: asks each pixel of the result which kernels reach it."""
    length = (size - 1) * stride + kernel
    return np.array([sum(0 <= p - i * stride < kernel for i in range(size)) for p in range(length)])


def coverage_by_steps(size, kernel, stride):
    """Right: up where a kernel begins, down where it ends."""
    change = np.zeros((size - 1) * stride + kernel + 1)
    change[: (size - 1) * stride + 1 : stride] += 1
    change[kernel::stride] -= 1
    return change.cumsum()[:-1]


PLANTED = [
    Planted("bilinear_kernel", "even kernel used for odd sizes", kernel_always_half, "even sizes"),
    Planted("bilinear_kernel", "odd kernel used for even sizes", kernel_always_whole, "odd sizes"),
    Planted("bilinear_kernel", "slope of odd sizes for even ones", kernel_bartlett_inside, "odd sizes"),
    Planted("bilinear_kernel", "factor rounded down", kernel_rounded_down, "rounded down"),
    Planted("bilinear_kernel", "zero at the ends", kernel_bartlett, "falls to 0"),
    Planted("bilinear_kernel", "one direction only", kernel_line, "one direction"),
    Planted("bilinear_kernel", "divided by its sum", kernel_normalised, "divided by its sum"),
    Planted("bilinear_kernel", "sum for product", kernel_sum, "product"),
    Planted("bilinear_kernel", "half a number too far", kernel_shifted, "half a number"),
    Planted("coverage", "overwritten", coverage_ones, "add"),
    Planted("coverage", "side by side", coverage_without_stride, "stride"),
    Planted("coverage", "stride ignored", coverage_stride_forgotten, "stride"),
    Planted("coverage", "cut to size * stride", coverage_short, "length"),
    Planted("coverage", "longer by a stride", coverage_long, "length"),
    Planted("coverage", "windows that read", coverage_of_a_convolution, "convolution"),
    Planted("coverage", "kernel and stride swapped", coverage_swapped, "swapped"),
    Planted("coverage", "kernel one too short", coverage_all_but_one, "last number"),
]

RIGHT = [
    Right("bilinear_kernel", "smaller of two slopes", kernel_linspace),
    Right("bilinear_kernel", "Caffe's formula, lists", kernel_caffe),
    Right("bilinear_kernel", "float32", kernel_single),
    Right("coverage", "asked by each pixel", coverage_by_pixel),
    Right("coverage", "running sum", coverage_by_steps),
]
