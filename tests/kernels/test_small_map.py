"""How many products a small map needs, by which `choose` decides; and taps that meet no pixel.

That it computes what the others do is in tests/kernels/test_convolution.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels import small_map

axes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(0, 8))  # pixels, taps, padding


def met(n, k, p):
    """How often a tap stands on a pixel, and not beside the map, and which taps ever do."""
    places = n + 2 * p - k + 1
    pairs = [(i, u) for i in range(places) for u in range(k) if 0 <= i + u - p < n]
    return len(pairs), places, {u for _, u in pairs}


@given(vertical=axes, horizontal=axes, images=st.integers(1, 20))
def test_products(vertical, horizontal, images):
    """Each tap, at each place, that meets a pixel: once for the images in each block of eight."""
    (down, Ho, _), (across, Wo, _) = met(*vertical), met(*horizontal)
    sizes, kernel_size, padding = zip(vertical, horizontal)
    found = small_map.products((images, *sizes, 5), (images, Ho, Wo, 7), kernel_size, padding)
    assert found == down * across * -(-images // 8) * 8


@pytest.mark.parametrize("images", [1, 8, 9])
def test_taps_that_meet_no_pixel(images):
    """They may be anything, and their gradient is 0."""
    rng = np.random.default_rng(0)
    x, dy = rng.integers(1, 9, (images, 2, 1, 5)), rng.integers(1, 9, (images, 2, 1, 17))
    x, dy = x.astype(np.float32), dy.astype(np.float32)
    rows, columns = met(2, 7, 3)[2], met(1, 7, 3)[2]
    assert (rows, columns) == ({2, 3, 4}, {3})
    w = np.full((7, 7, 5, 17), np.nan, np.float32)
    w[2:5, 3:4] = 1
    y, dx, dw = np.full_like(dy, np.nan), np.full_like(x, np.nan), np.full_like(w, np.nan)
    small_map.convolve(x, w, None, (3, 3), y)
    small_map.input_gradient(dy, w, (3, 3), dx)
    small_map.weight_gradient(x, dy, (3, 3), dw)
    np.testing.assert_array_equal(y, np.repeat(x.sum(axis=(1, 2, 3)), 34).reshape(y.shape))
    np.testing.assert_array_equal(dx, np.repeat(dy.sum(axis=(1, 2, 3)), 10).reshape(x.shape))
    assert np.all(dw[2:5, 3] > 0)
    dw[2:5, 3] = 0
    assert not dw.any()
