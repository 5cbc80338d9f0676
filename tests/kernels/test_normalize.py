"""The passes of batch normalisation against what they say they compute."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.normalize import (
    gradient_sums,
    gradient_sums_definition,
    input_gradient,
    moments,
    moments_definition,
    parameter_gradients,
    remember,
    scale_and_shift,
)

EPS = 1e-5


@st.composite
def pixels(draw, count=1):
    """Arrays (pixels, C) of one shape and type; fewer pixels than threads, too."""
    shape = draw(st.integers(1, 60)), draw(st.sampled_from([1, 2, 3, 8, 16, 17, 33]))
    dtype, seed = draw(st.sampled_from([np.float32, np.float64])), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(shape) + rng.integers(-50, 50)).astype(dtype) for _ in range(count)], rng


@given(case=pixels())
def test_moments(case):
    ((x,), _) = case
    few = {np.float32: 1e-6, np.float64: 1e-12}[x.dtype.type]
    for found, expected in zip(moments(x), moments_definition(x)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=few * np.abs(x).max() ** 2)


def drawn_channels(rng, x, count):
    """A number for each channel, so many times; and positive ones, for variances."""
    return *(rng.standard_normal(x.shape[1]).astype(x.dtype) for _ in range(count)), rng.uniform(
        0.1, 2, x.shape[1]
    ).astype(x.dtype)


@given(case=pixels(), least=st.sampled_from([-np.inf, 0]))
def test_scale_and_shift(case, least):
    ((x,), rng) = case
    mean, weight, bias, variance = drawn_channels(rng, x, 3)
    y = np.full_like(x, 77)
    scale_and_shift(x, mean, variance, EPS, weight, bias, y, x.dtype.type(least))
    expected = np.maximum(weight * (x - mean) / np.sqrt(variance + EPS) + bias, least)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-3)
    x[0, 0] = np.nan
    scale_and_shift(x, mean, variance, EPS, weight, bias, y, x.dtype.type(least))
    assert np.isnan(y[0, 0])


@given(case=pixels(count=2))
def test_gradient_sums(case):
    ((dy, x), rng) = case
    mean, _ = drawn_channels(rng, x, 1)
    plain, centred = gradient_sums(dy, x, mean).sum(axis=0).reshape(2, -1)
    scale = np.abs(dy).max() * np.abs(x).max() * len(x)
    np.testing.assert_allclose(plain, dy.sum(axis=0, dtype=np.float64), rtol=0, atol=1e-7 * scale)
    expected = (dy * (x.astype(np.float64) - mean)).sum(axis=0)
    np.testing.assert_allclose(centred, expected, rtol=0, atol=1e-6 * scale)


@given(case=pixels(count=2), of_batch=st.booleans())
def test_gradients(case, of_batch):
    ((dy, x), rng) = case
    mean, weight, variance = drawn_channels(rng, x, 2)
    sums = gradient_sums_definition(dy, x, mean)
    plain, centred = sums.reshape(2, -1)
    deviation = np.sqrt(variance.astype(np.float64) + EPS)
    x_hat, dweight = (x - mean) / deviation, centred / deviation
    expected = dy - (plain + x_hat * dweight) / len(x) if of_batch else dy
    expected = expected * weight / deviation
    parts = np.stack([sums / 4, 3 * sums / 4])  # as two threads would have them
    dx = np.full_like(x, 77)
    input_gradient(dy, x, mean, variance, EPS, weight, parts, of_batch, dx)
    np.testing.assert_allclose(dx, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max() + 1e-12)
    found = np.full((2, x.shape[1]), 77, x.dtype)
    parameter_gradients(parts, variance, EPS, *found)
    np.testing.assert_allclose(found, [dweight, plain], rtol=1e-5)


@given(case=pixels(), momentum=st.floats(0, 1), factor=st.floats(1, 2))
def test_remember(case, momentum, factor):
    ((x,), rng) = case
    running, batch, _ = drawn_channels(rng, x, 2)
    expected = (1 - momentum) * running + momentum * factor * batch
    remember(running, batch, factor, momentum)
    np.testing.assert_allclose(running, expected, rtol=1e-4, atol=1e-6)
