"""max(x, 0) over flat arrays of any length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.rectify import rectify, rectify_backward, rectify_definition

lengths = st.integers(1, 40) | st.integers(1000, 1100)
dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)


@given(length=lengths, dtype=dtypes, seed=seeds)
def test_rectify(length, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.choice([-np.inf, -2.5, -1e-30, 0.0, 1e-30, 3.5, np.inf, np.nan], length).astype(dtype)
    y = np.full_like(x, 77)
    rectify(x, y)
    np.testing.assert_array_equal(y, rectify_definition(x))


@given(length=lengths, dtype=dtypes, seed=seeds)
def test_rectify_backward(length, dtype, seed):
    rng = np.random.default_rng(seed)
    x, dy = (rng.integers(-3, 4, length).astype(dtype) for _ in range(2))
    dx = np.full_like(x, 77)
    rectify_backward(dy, rectify_definition(x), dx)
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, 0))
