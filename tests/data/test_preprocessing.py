"""What a network reads: mean, scale, and the order of the channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data import Preprocessing

numbers = st.floats(0, 255, width=32)
means = st.tuples(numbers, numbers, numbers)
scales = st.floats(0.5, 200, width=32)
orders = st.sampled_from(["RGB", "BGR"])


def photo(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@given(means, scales | st.tuples(scales, scales, scales), orders, st.integers(0, 99))
def test_each_channel_on_its_own(mean, std, channels, seed):
    images = photo(seed, 2, 3, 5)
    before = images.copy()
    found = Preprocessing(mean, std, channels)(images)
    assert found.dtype == np.float32 and found.flags.c_contiguous and found.shape == images.shape
    for k, name in enumerate(channels):
        deviation = std[k] if isinstance(std, tuple) else std
        expected = (images[..., "RGB".index(name)].astype(float) - mean[k]) / deviation
        np.testing.assert_allclose(found[..., k], expected, rtol=1e-5, atol=1e-4)
    assert np.array_equal(images, before)


def test_red_first_by_default():
    assert Preprocessing((1.0, 2.0, 3.0), 2.0)(np.uint8([[[3, 6, 9]]])).tolist() == [[[1, 2, 3]]]


@given(means, scales, orders)
def test_fill_is_the_rgb_colour_that_becomes_almost_zero(mean, std, channels):
    preprocessing = Preprocessing(mean, std, channels)
    fill = preprocessing.fill
    assert fill.dtype == np.uint8 and fill.shape == (3,)
    assert np.abs(preprocessing(fill[None, None]) * std).max() <= 0.5001


def test_other_orders_are_refused():
    with pytest.raises(ValueError, match="channels is 'RBG'; expected RGB or BGR"):
        Preprocessing((1.0, 2.0, 3.0), 1.0, "RBG")
