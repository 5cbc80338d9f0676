"""What came beside what was expected: strange values are described, right ones in any clothes are right."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check.compare import LARGE, Unusable, compare, outputs, wrong_numbers

EXPECTED = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


class NoArray:
    def __array__(self, *args, **options):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "None"),
        (..., "..."),
        (NotImplemented, "NotImplemented"),
        ("text", "a str"),
        (b"text", "a bytes"),
        ({}, "a dict"),
        ({1, 2}, "a set"),
        (print, "a builtin_function_or_method"),
        (NoArray(), "a NoArray which NumPy cannot turn into an array"),
        ([[1, 2], [3]], "a list whose parts differ in length"),
        (["a", "b"], "a list of text"),
        ([1, print], "a list of other things than numbers"),
        (np.array("2020-01-01", "M8[D]"), "an ndarray"),
        (np.broadcast_to(0.0, (LARGE + 1,)), f"an array of shape ({LARGE + 1},)"),
        ((x for x in [1]), "a generator"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_array_is_described(value, says):
    found = outputs(value, ("y",))
    found = found["y"] if isinstance(found, dict) else found
    assert isinstance(found, Unusable) and found.says == says
    assert found.nothing == (value is None or value is ... or value is NotImplemented)
    problem = compare("y", found, EXPECTED, 0.0)
    if found.nothing:
        assert (problem.kind, problem.says) == ("missing", f"y is missing: it is {says}.")
    else:
        assert (problem.kind, problem.says) == (
            "type",
            f"y is {says}; an array of shape (2, 3) is expected.",
        )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1, "an int"),
        ((1,), "a tuple of 1"),
        ([1, 2, 3], "a list of 3"),
        ({"dx": 1, "b": 2}, "a dict"),
        (np.ones((2, 2)), "an ndarray"),
        (np.ones(3), "a list of 3"),
    ],
)
def test_another_number_of_outputs_is_described(value, says):
    assert outputs(value, ("dx", "dw")) == Unusable(says)


@pytest.mark.parametrize("value", [(1, 2), [1, 2], {"dw": 2, "dx": 1}, np.array([1, 2])])
def test_several_outputs_come_in_any_box(value):
    assert outputs(value, ("dx", "dw")) == {"dx": 1, "dw": 2}


@pytest.mark.parametrize(
    "right",
    [
        EXPECTED.tolist(),
        tuple(map(tuple, EXPECTED)),
        EXPECTED.astype(np.float32),
        EXPECTED.astype(np.uint8),
        np.asfortranarray(EXPECTED),
        np.repeat(EXPECTED, 2, axis=1)[:, ::2],
        EXPECTED[::-1, ::-1].copy()[::-1, ::-1],
        np.ma.array(EXPECTED),
        np.array([[Fraction(int(v)) for v in row] for row in EXPECTED], object),
        EXPECTED + 1e-9,
    ],
    ids=range(10),
)
def test_the_same_numbers_are_right_in_any_type_and_layout(right):
    assert compare("y", outputs(right, ("y",))["y"], EXPECTED, 1e-6) is None


@pytest.mark.parametrize(
    ("found", "kind", "says"),
    [
        (EXPECTED.T, "shape", "y has shape (3, 2), expected is (2, 3)."),
        (EXPECTED + 1j, "complex", "y is complex (complex128); real numbers are expected."),
        (EXPECTED + 1, "numbers", "y: all numbers are wrong."),
        (np.where(EXPECTED == 2, 0, EXPECTED), "numbers", "y: 1 of 6 numbers is wrong."),
        (np.where(EXPECTED == 2, np.nan, EXPECTED), "not finite", "y[0, 1] is NaN, not a number."),
        (np.where(EXPECTED == 4, np.inf, EXPECTED), "not finite", "y[1, 0] is inf."),
    ],
)
def test_what_is_wrong_is_said(found, kind, says):
    problem = compare("y", found, EXPECTED, 1e-6)
    assert (problem.kind, problem.says) == (kind, says)


def test_a_number_is_not_an_array_of_one():
    assert (
        compare("y", np.array([2.0]), np.array(2.0), 0).says
        == "y has shape (1,), expected is a number, shape ()."
    )
    assert compare("y", np.array(3.0), np.array(2.0), 0).says == "y is wrong."


numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers), min_size=1), st.floats(0, 1e3))
def test_numbers_are_wrong_beyond_the_tolerance(pairs, tolerance):
    a, b = np.array(pairs).T
    assert np.array_equal(wrong_numbers(a, b, tolerance), np.abs(a - b) > tolerance)


def test_nan_equals_nan_and_infinity_itself():
    special = np.array([np.nan, np.inf, -np.inf])
    assert not wrong_numbers(special, special, 0.0).any()
    assert wrong_numbers(special, special[[1, 2, 0]], 1e300).all()
