"""A bias and its gradient against their definitions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.bias import add_bias, bias_gradient, bias_gradient_definition

shapes = st.tuples(st.integers(1, 90), st.sampled_from([1, 2, 3, 8, 16, 17, 33]))


@given(shape=shapes, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 2**32 - 1))
def test_a_bias_and_its_gradient(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    y, bias = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
    expected = y + bias
    add_bias(y, bias)
    np.testing.assert_array_equal(y, expected)

    db, by_definition = np.empty_like(bias), np.empty_like(bias)
    bias_gradient(y, db)
    bias_gradient_definition(y, by_definition)
    few = {np.float32: 1e-6, np.float64: 1e-15}[dtype]
    np.testing.assert_allclose(db, by_definition, rtol=0, atol=few * np.abs(y).sum(axis=0).max())
