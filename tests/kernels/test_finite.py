"""all_finite: one number that is not finite is found wherever it is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.finite import LARGE, all_finite, all_finite_definition

NUMBERS = [0.0, -0.0, 1e-45, -3.4028235e38, 3.4028235e38, np.inf, -np.inf, np.nan, -np.nan]


@given(
    length=st.integers(1, 40) | st.integers(LARGE - 2, LARGE + 40) | st.integers(3 * LARGE, 3 * LARGE + 40),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    number=st.sampled_from(NUMBERS),
    where=st.floats(0, 1),
    step=st.sampled_from([1, 1, 2, -1]),
)
def test_all_finite(length, dtype, number, where, step):
    with np.errstate(over="ignore"):
        x = np.full(length, -2.5, dtype)[::step]
        assert all_finite(x) is True
        x[int(where * (x.size - 1))] = number
    assert all_finite(x) is all_finite_definition(x)


def test_of_any_shape():
    x = np.zeros((3, 5, LARGE // 8), np.float32)
    assert all_finite(x) is True
    x[2, 4, -1] = np.nan
    assert all_finite(x) is False
    assert all_finite(x[:0]) is True
