"""Sums and copied channels against NumPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.merge import add, copy_channels

kinds = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)


@given(size=st.integers(1, 200), dtype=kinds, seed=seeds)
def test_add(size, dtype, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, size)).astype(dtype)
    y = np.empty_like(a)
    add(a, b, y)
    np.testing.assert_array_equal(y, a + b, strict=True)
    add(y, b, y)
    np.testing.assert_array_equal(y, a + b + b)


@given(pixels=st.integers(1, 40), data=st.data(), dtype=kinds, seed=seeds)
def test_copy_channels(pixels, data, dtype, seed):
    channels = data.draw(st.integers(1, 40))
    before, after, x_from, y_from = (data.draw(st.integers(0, 9)) for _ in range(4))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((pixels, x_from + channels + before)).astype(dtype)
    y = rng.standard_normal((pixels, y_from + channels + after)).astype(dtype)
    expected = y.copy()
    expected[:, y_from : y_from + channels] = x[:, x_from : x_from + channels]
    copy_channels(x, x_from, y, y_from, channels)
    np.testing.assert_array_equal(y, expected)
