"""exp and log: against NumPy in float64, on all they are meant for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.elementary import exp, log


@given(st.lists(st.floats(-200, 0, width=32), min_size=1, max_size=40))
def test_exp(numbers):
    for x in numbers:
        near = {"rel": 1.5e-7, "abs": 0} if x >= -87.2 else {"abs": 2e-38}
        assert float(exp(np.float32(x))) == pytest.approx(float(np.exp(x)), **near)


@given(st.lists(st.floats(1, 1.01) | st.floats(1, 1000) | st.floats(1, 2.0**100), min_size=1, max_size=40))
def test_log(numbers):
    for x in numbers:
        assert log(x) == pytest.approx(np.log(x), rel=3e-9, abs=0)


def test_what_has_no_digits():
    assert exp(np.float32(0)) == 1 and exp(np.float32(-np.inf)) == 0 and np.isnan(exp(np.float32(np.nan)))
    assert log(1.0) == 0 and np.isnan(log(np.nan))
