"""First weights: the spread of the random ones, and that bilinear ones interpolate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.initialize import bilinear, bilinear_1d, he, identity

kernel_sizes = st.integers(1, 40)
strides = st.integers(1, 16)


def transposed_convolution(x, w, stride):
    """Every input paints the kernel, `stride` apart."""
    y = np.zeros(stride * (len(x) - 1) + len(w))
    for i, value in enumerate(x):
        y[stride * i : stride * i + len(w)] += value * w
    return y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fan_in", [1, 27, 512])
def test_he_has_mean_0_and_variance_2_over_fan_in(fan_in, dtype):
    w = he((3, 3, 50, 100), fan_in, np.random.default_rng(7), dtype)
    assert (w.shape, w.dtype) == ((3, 3, 50, 100), dtype)
    standard = w.astype(float).ravel() * math.sqrt(fan_in / 2)
    assert standard.mean() == pytest.approx(0, abs=0.02)  # four standard errors of 45,000 draws
    assert standard.std() == pytest.approx(1, abs=0.015)
    assert np.mean(standard**4) == pytest.approx(3, abs=0.2)  # of a normal; a uniform has 1.8


def test_he_keeps_the_mean_square_through_a_relu():
    rng = np.random.default_rng(3)
    x = np.maximum(rng.standard_normal((2000, 400)), 0)
    y = np.maximum(x @ he((400, 400), fan_in=400, rng=rng, dtype=np.float64), 0)
    assert np.mean(y**2) == pytest.approx(np.mean(x**2), rel=0.05)


def test_he_is_drawn_from_the_generator():
    first, again = (he((4, 5), 20, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(he((4, 5), 20, rng), first)
    assert not np.array_equal(he((4, 5), 20, rng), first)


@pytest.mark.parametrize(
    ("kernel_size", "expected"),
    [
        (1, [1]),
        (2, [0.5, 0.5]),
        (3, [0.5, 1, 0.5]),
        (4, [0.25, 0.75, 0.75, 0.25]),
        (16, [n / 16 for n in (1, 3, 5, 7, 9, 11, 13, 15, 15, 13, 11, 9, 7, 5, 3, 1)]),
    ],
)
def test_bilinear_1d_values(kernel_size, expected):
    np.testing.assert_array_equal(bilinear_1d(kernel_size), expected)


@given(kernel_sizes)
def test_bilinear_1d_is_a_symmetric_triangle_of_sum_half_the_kernel(kernel_size):
    w = bilinear_1d(kernel_size)
    assert w.shape == (kernel_size,)
    assert (w > 0).all()
    np.testing.assert_array_equal(w, w[::-1])
    assert w.sum() == pytest.approx(math.ceil(kernel_size / 2))


@given(strides, st.floats(-3, 3), st.floats(-3, 3))
def test_bilinear_1d_interpolates_linearly(stride, slope, offset):
    k = 2 * stride - stride % 2
    y = transposed_convolution(offset + slope * np.arange(9), bilinear_1d(k), stride)
    at = (np.arange(len(y)) - (k - 1) / 2) / stride  # where each output lies among the inputs
    inside = (at >= 0) & (at <= 8)
    np.testing.assert_allclose(y[inside], (offset + slope * at)[inside], atol=1e-12)


@given(kernel_sizes, st.integers(1, 5), st.sampled_from([np.float32, np.float64]))
def test_bilinear_upsamples_each_channel_by_itself(kernel_size, channels, dtype):
    w = bilinear(kernel_size, channels, dtype)
    assert (w.shape, w.dtype) == ((kernel_size, kernel_size, channels, channels), dtype)
    line = bilinear_1d(kernel_size)
    for i in range(channels):
        for j in range(channels):
            expected = np.outer(line, line).astype(dtype) if i == j else np.zeros_like(w[:, :, i, j])
            np.testing.assert_array_equal(w[:, :, i, j], expected)


@given(
    k=st.sampled_from([1, 3, 5]),
    groups=st.integers(1, 4),
    factors=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    std=st.sampled_from([0.0, 0.01]),
)
def test_identity_is_that_of_the_paper(k, groups, factors, std):
    """Equation 5, number by number."""
    inputs, outputs = (groups * factor for factor in factors)
    w = identity(k, inputs, outputs, groups, std, np.random.default_rng(0))
    assert w.shape == (k, k, inputs, outputs) and w.dtype == np.float32
    for (i, j, a, b), value in np.ndenumerate(w):
        if (i, j) == (k // 2, k // 2) and groups * a // inputs == groups * b // outputs:
            assert value == np.float32(groups / outputs)
        else:
            assert (value != 0) == (std > 0) and abs(value) < 6 * std + 1e-9


@given(st.integers(1, 4), st.lists(st.integers(1, 5), max_size=4))
def test_more_channels_and_less_again_are_the_identity(groups, factors):
    x = np.random.default_rng(0).standard_normal((3, groups))
    y, channels = x, groups
    for factor in [*factors, 1]:
        y, channels = y @ identity(1, channels, factor * groups, groups)[0, 0], factor * groups
    np.testing.assert_allclose(y, x, atol=1e-5)


def test_the_noise_of_the_identity():
    w = identity(3, 64, 64, 64, 0.01, 0)
    noise = w[w != 1]
    assert noise.size == w.size - 64
    assert abs(noise.mean()) < 1e-4 and noise.std() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: he((2, 2), 0, np.random.default_rng(0)), "fan_in must be positive, found 0"),
        (lambda: bilinear_1d(0), "kernel_size must be positive, found 0"),
        (lambda: bilinear(-1, 2), "kernel_size must be positive, found -1"),
        (lambda: bilinear(4, 0), "channels must be positive, found 0"),
        (lambda: identity(2, 4, 4, 4), "kernel_size is 2; expected an odd number"),
        (lambda: identity(3, 4, 6, 4), "groups is 4, which does not divide 4 and 6 channels"),
    ],
)
def test_bad_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_he_refuses_integers():
    with pytest.raises(TypeError, match="int32"):
        he((2, 2), 4, np.random.default_rng(0), np.int32)
