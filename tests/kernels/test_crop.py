"""Parts of arrays, cut out or set into zeros."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.crop import crop, crop_definition, fill, fill_pixels

sides = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
offsets = st.tuples(*(st.integers(-7, 7) for _ in range(4)))


@given(shape=sides, offset=offsets | st.tuples(*(st.integers(-2, 2) for _ in range(4))), cut=sides)
def test_crop(shape, offset, cut):
    x = np.arange(1.0, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    y, expected = np.full(cut, 77, np.float32), np.full(cut, 78, np.float32)
    crop(x, offset, y)
    crop_definition(x, offset, expected)
    np.testing.assert_array_equal(y, expected)


@given(shape=sides, top=st.integers(-3, 3), left=st.integers(-3, 3), size=st.tuples(*[st.integers(1, 6)] * 2))
def test_crop_of_images(shape, top, left, size):
    """All images and channels, where rows are copied whole."""
    x = np.random.default_rng(0).standard_normal(shape)
    y = np.full((shape[0], *size, shape[3]), 77.0)
    expected = y.copy()
    crop(x, (0, top, left, 0), y)
    crop_definition(x, (0, top, left, 0), expected)
    np.testing.assert_array_equal(y, expected)


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 5)), dtype=st.sampled_from([np.float32, np.float64]))
def test_fill(shape, dtype):
    y = np.full(shape, 77, dtype)
    fill(y.reshape(-1), 3)
    np.testing.assert_array_equal(y, 3)
    values = np.arange(shape[1], dtype=dtype)
    fill_pixels(y, values)
    np.testing.assert_array_equal(y, np.tile(values, (shape[0], 1)))
