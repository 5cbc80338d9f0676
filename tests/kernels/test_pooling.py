"""The poolings against their definitions, forward and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check.cases import pooling
from minifcn.kernels.pooling import (
    avg_pool,
    avg_pool_backward,
    avg_pool_definition,
    max_pool,
    max_pool_2x2,
    max_pool_2x2_backward,
    max_pool_backward,
    max_pool_definition,
)
from minifcn.layers import AvgPool2d, MaxPool2d

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])


@st.composite
def cases(draw, kind, channels=20):
    """Images with many ties, the size of the output, and where the windows are."""
    layer, shape = draw(pooling(kind, channels=channels, dilation=3))
    x = np.random.default_rng(draw(seeds)).integers(-3, 4, shape).astype(draw(dtypes))
    w = layer.window
    overlapping = any(s < d * (k - 1) + 1 for s, k, d in zip(w.stride, w.kernel_size, w.dilation))
    return x, layer.output_shape(shape)[1:3], (w.kernel_size, w.stride, w.padding, w.dilation), overlapping


def places(output_size, window):
    """For every place of the window: i, j, and its pixels in a padded image (cut off where it sticks out)."""
    (kh, kw), (sh, sw), _, (dh, dw) = window
    for i, j in np.ndindex(*output_size):
        rows, columns = slice(i * sh, i * sh + dh * kh, dh), slice(j * sw, j * sw + dw * kw, dw)
        yield i, j, (slice(None), rows, columns)


def framed(x, padding, value):
    (ph, pw) = padding
    return np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=value)


def pooled(x, output_size, window):
    y = np.full((x.shape[0], *output_size, x.shape[3]), 77, x.dtype)
    argmax = np.full(y.shape, -1, np.int32)
    max_pool(x, y, argmax, *window)
    return y, argmax


@given(case=cases(MaxPool2d))
def test_max_pool(case):
    x, output_size, window, _ = case
    y, argmax = pooled(x, output_size, window)
    np.testing.assert_array_equal(y, max_pool_definition(x, output_size, *window))

    _, (sh, sw), (ph, pw), (dh, dw) = window
    for i, j, at in places(output_size, window):
        pixels = framed(x, (ph, pw), -np.inf)[at]
        first = pixels.reshape(len(x), -1, x.shape[3]).argmax(axis=1)  # of equal ones the first
        u, v = np.unravel_index(first, pixels.shape[1:3])
        h, w = i * sh - ph + u * dh, j * sw - pw + v * dw
        np.testing.assert_array_equal(argmax[:, i, j], h * x.shape[2] + w)


def test_a_maximum_of_minus_infinity_has_a_place():
    x = np.full((1, 2, 2, 1), -np.inf)
    y, argmax = pooled(x, (1, 1), ((2, 2), (2, 2), (0, 0), (1, 1)))
    assert y.item() == -np.inf and argmax.item() == 0


def test_a_window_without_a_pixel_has_none():
    y, argmax = pooled(np.ones((1, 1, 1, 1)), (1, 1), ((2, 2), (1, 1), (1, 1), (2, 2)))
    assert y.item() == -np.inf and argmax.item() == -1
    dx = np.zeros((1, 1, 1, 1))
    max_pool_backward(np.ones_like(y), argmax, dx, True)
    assert dx.item() == 0


@given(case=cases(MaxPool2d, channels=4), data=st.data())
def test_a_nan_is_the_maximum_of_its_windows(case, data):
    x, output_size, window, _ = case
    for _ in range(data.draw(st.integers(1, 3))):
        x[tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)] = np.nan
    y, argmax = pooled(x, output_size, window)
    np.testing.assert_array_equal(y, max_pool_definition(x, output_size, *window))
    N, H, W, C = x.shape
    at = np.take_along_axis(x.reshape(N, H * W, C), argmax.reshape(N, -1, C), axis=1)
    np.testing.assert_array_equal(at.reshape(y.shape), y)


@given(case=cases(MaxPool2d), seed=seeds)
def test_max_pool_backward(case, seed):
    x, output_size, window, overlapping = case
    y, argmax = pooled(x, output_size, window)
    dy = np.random.default_rng(seed).integers(-9, 10, y.shape).astype(x.dtype)
    dx = x.copy()
    max_pool_backward(dy, argmax, dx, overlapping)
    expected = x.copy()
    for n, i, j, c in np.argwhere(argmax >= 0):
        expected[n, argmax[n, i, j, c] // x.shape[2], argmax[n, i, j, c] % x.shape[2], c] += dy[n, i, j, c]
    np.testing.assert_array_equal(dx, expected)


@given(case=cases(AvgPool2d))
def test_avg_pool(case):
    x, output_size, window, _ = case
    y = np.full((x.shape[0], *output_size, x.shape[3]), 77, x.dtype)
    avg_pool(x, y, *window)
    np.testing.assert_allclose(y, avg_pool_definition(x, output_size, *window), rtol=1e-6, atol=0)


@given(case=cases(AvgPool2d), seed=seeds)
def test_avg_pool_backward_is_the_transpose(case, seed):
    """<avg x, dy> = <x, backward dy>, and what dx held before is added to."""
    x, output_size, window, overlapping = case
    y = np.empty((x.shape[0], *output_size, x.shape[3]), x.dtype)
    avg_pool(x, y, *window)
    dy = np.random.default_rng(seed).integers(-9, 10, y.shape).astype(x.dtype)
    dx = np.full_like(x, 5)
    avg_pool_backward(dy, dx, *window, overlapping)
    left, right = np.vdot(y.astype(np.float64), dy), np.vdot(x.astype(np.float64), dx - x.dtype.type(5))
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-5 * np.abs(x).sum() + 1e-5 * np.abs(dy).sum())


@given(case=cases(AvgPool2d))
def test_avg_pool_backward_shares_out_evenly(case):
    x, output_size, window, _ = case
    (ph, pw), (H, W) = window[2], x.shape[1:3]
    share = framed(np.zeros(x.shape), (ph, pw), 0)
    for _, _, at in places(output_size, window):
        share[at] += 1 / share[0, ..., 0][at[1:]].size
    dx = np.zeros_like(x)
    avg_pool_backward(np.ones((len(x), *output_size, x.shape[3]), x.dtype), dx, *window, True)
    np.testing.assert_allclose(dx, share[:, ph : ph + H, pw : pw + W], rtol=1e-5, atol=0)


@given(case=cases(MaxPool2d), seed=seeds)
def test_windows_side_by_side_need_not_be_taken_image_by_image(case, seed):
    """The other way to share out the work gives the same where windows do not overlap."""
    x, output_size, window, overlapping = case
    y, argmax = pooled(x, output_size, window)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(x.dtype)
    for backward in (
        lambda dx, how: max_pool_backward(dy, argmax, dx, how),
        lambda dx, how: avg_pool_backward(dy, dx, *window, how),
    ):
        first, second = np.zeros_like(x), np.zeros_like(x)
        backward(first, True)
        backward(second, overlapping)
        np.testing.assert_array_equal(first, second)


# ---------------------------------------------------------------- windows of 2x2 side by side

SIDE_BY_SIDE = ((2, 2), (2, 2), (0, 0), (1, 1))


@st.composite
def images_2x2(draw, special=(-np.inf, np.inf)):
    """Images of odd and even sizes with many ties and some special numbers; the output's size, rounded as drawn."""
    ceil_mode = draw(st.booleans())
    N, C = draw(st.integers(1, 3)), draw(st.integers(1, 20) | st.sampled_from([32, 33]))
    H, W = (draw(st.integers(1 if ceil_mode else 2, 9)) for _ in range(2))
    rng, dtype = np.random.default_rng(draw(seeds)), draw(dtypes)
    x = rng.integers(-2, 3, (N, H, W, C)).astype(dtype)
    for value in special:
        x[rng.random(x.shape) < draw(st.sampled_from([0, 0.1, 0.9]))] = value
    return x, tuple(-(-n // 2) if ceil_mode else n // 2 for n in (H, W))


def pooled_2x2(x, output_size):
    y = np.full((x.shape[0], *output_size, x.shape[3]), 77, x.dtype)
    where = np.full(y.shape, 77, np.uint8)
    max_pool_2x2(x, y, where)
    return y, where


def places_2x2(where, width):
    """The argmax of max_pool: where the maxima stand in the image."""
    i, j = np.ogrid[: where.shape[1], : where.shape[2]]
    u, v = np.divmod(where.astype(int), 2)
    return (2 * i[..., None] + u) * width + 2 * j[..., None] + v


def backward_2x2(dy, where, y, gated, shape):
    dx = np.full(shape, 77, dy.dtype)
    max_pool_2x2_backward(dy, where, y, gated, dx)
    return dx


@given(case=images_2x2())
def test_2x2_is_the_pooling_of_any_window(case):
    """The same numbers from the same places: of equal ones the first."""
    x, output_size = case
    y, argmax = pooled(x, output_size, SIDE_BY_SIDE)
    found, where = pooled_2x2(x, output_size)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(places_2x2(where, x.shape[2]), argmax)


@given(case=images_2x2(special=(np.nan,)))
def test_2x2_finds_every_nan(case):
    x, output_size = case
    y, _ = pooled(x, output_size, SIDE_BY_SIDE)
    np.testing.assert_array_equal(pooled_2x2(x, output_size)[0], y)


@given(case=images_2x2(), gated=st.booleans(), seed=seeds)
def test_2x2_backward(case, gated, seed):
    """All is written: 0 too, in a last row or column that no window covers."""
    x, output_size = case
    y, where = pooled_2x2(x, output_size)
    dy = np.random.default_rng(seed).integers(1, 10, y.shape).astype(x.dtype)
    expected = np.zeros_like(x)
    passing = np.where(y > 0, dy, 0) if gated else dy
    max_pool_backward(passing, places_2x2(where, x.shape[2]).astype(np.int32), expected, False)
    np.testing.assert_array_equal(backward_2x2(dy, where, y, gated, x.shape), expected)


@given(case=images_2x2(), seed=seeds)
def test_2x2_gated_is_the_gradient_of_a_rectifier_before_it(case, seed):
    x, output_size = case
    y, where = pooled_2x2(np.maximum(x, 0), output_size)
    dy = np.random.default_rng(seed).integers(-9, 10, y.shape).astype(x.dtype)
    through = np.where(x > 0, backward_2x2(dy, where, y, False, x.shape), 0)
    np.testing.assert_array_equal(backward_2x2(dy, where, y, True, x.shape), through)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 2, 1), (1, 3, 3, 1)])
def test_2x2_the_gradient_of_a_nan_stays_in_the_image(shape):
    x = np.full(shape, np.nan)
    output_size = tuple(-(-n // 2) for n in shape[1:3])
    y, where = pooled_2x2(x, output_size)
    dx = backward_2x2(np.ones_like(y), where, y, False, shape)
    assert dx.sum() == y.size
