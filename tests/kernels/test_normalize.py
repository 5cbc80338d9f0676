"""The passes of batch normalisation against what they say they compute."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.normalize import (
    gradient_sums,
    input_gradient,
    moments,
    moments_definition,
    scale_and_shift,
)


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


@given(case=pixels(), least=st.sampled_from([-np.inf, 0]))
def test_scale_and_shift(case, least):
    ((x,), rng) = case
    mean, scale, shift = (rng.standard_normal(x.shape[1]).astype(x.dtype) for _ in range(3))
    y = np.full_like(x, 77)
    scale_and_shift(x, mean, scale, shift, y, x.dtype.type(least))
    expected = np.maximum(scale * (x - mean) + shift, least)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    x[0, 0] = np.nan
    scale_and_shift(x, mean, scale, shift, y, x.dtype.type(least))
    assert np.isnan(y[0, 0])


@given(case=pixels(count=2))
def test_gradient_sums(case):
    ((dy, x), rng) = case
    mean = rng.standard_normal(x.shape[1]).astype(x.dtype)
    plain, centred = gradient_sums(dy, x, mean)
    scale = np.abs(dy).max() * np.abs(x).max() * len(x)
    np.testing.assert_allclose(plain, dy.sum(axis=0, dtype=np.float64), rtol=0, atol=1e-7 * scale)
    expected = (dy * (x.astype(np.float64) - mean)).sum(axis=0)
    np.testing.assert_allclose(centred, expected, rtol=0, atol=1e-6 * scale)


@given(case=pixels(count=2))
def test_input_gradient(case):
    ((dy, x), rng) = case
    mean, scale, slope, shift = (rng.standard_normal(x.shape[1]).astype(x.dtype) for _ in range(4))
    dx = np.full_like(x, 77)
    input_gradient(dy, x, mean, scale, slope, shift, dx)
    np.testing.assert_allclose(dx, scale * dy + slope * (x - mean) + shift, rtol=1e-4, atol=1e-4)
