"""Arrays as text: grids that a person can read, and no wrong number that looks right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check.show import MOST, argument, array, beside, grids


def test_images_fall_into_grids_of_height_and_width():
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    assert (
        "\n".join(array("x", x))
        == """x[0, :, :, 0]   x[0, :, :, 1]
 0   2   4       1   3   5
 6   8  10       7   9  11"""
    )


def test_height_and_width_come_first_in_weights():
    assert [index for index, _ in grids("w", np.zeros((3, 3, 2, 1)))] == [":, :, 0, 0", ":, :, 1, 0"]
    assert [index for index, _ in grids("labels", np.zeros((2, 3, 3)))] == ["0, :, :", "1, :, :"]
    assert [index for index, _ in grids("features", np.zeros((3, 3, 2)))] == [":, :, 0", ":, :, 1"]


@given(st.lists(st.integers(1, 3), max_size=5).map(tuple), st.sampled_from(["x", "w", "labels"]))
def test_every_number_is_in_one_grid(shape, name):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    pieces = [piece for _, piece in grids(name, values)]
    assert sorted(np.concatenate([piece.ravel() for piece in pieces])) == list(range(values.size))
    assert all(piece.ndim <= 2 for piece in pieces)


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (3, ["k = 3"]),
        ((1, 2), ["k = (1, 2)"]),
        ([(3, 1), (2, 2)], ["k = [(3, 1), (2, 2)]"]),
        (np.float64(0.5), ["k = np.float64(0.5)"]),
        (np.array(2), ["k = 2"]),
        (np.zeros((0, 3), np.uint8), ["k, shape (0, 3), uint8:", "    (no numbers)"]),
        (np.array([True]), ["k, shape (1,), bool:", "    True"]),
        ([np.ones(1), 4], ["k[0], shape (1,):", "    1", "k[1] = 4"]),
        ({"a": np.ones(1)}, ["k['a'], shape (1,):", "    1"]),
        (argument, ["k = argument"]),
    ],
    ids=repr,
)
def test_arguments(value, lines):
    assert argument("k", value) == lines


def test_large_arrays_are_summed_up():
    values = np.arange(float(MOST + 1))
    assert array("x", values) == [f"{MOST + 1} numbers between 0 and {MOST}"]
    wrong = values == 7
    assert beside("x", values, values + wrong, wrong) == ["The first is x[7]: expected 7, got 8."]
    assert beside("x", values, values[1:], None) == []


def test_wrong_numbers_are_marked():
    expected = np.array([[1.0, 2.0]])
    assert beside("x", expected, expected + [0, 1], np.array([[False, True]])) == [
        "expected      got  (* = wrong)",
        "1  2          1   3*",
    ]


def test_what_is_too_wide_stands_below():
    wide = np.arange(30.0) / 7
    lines = beside("x", wide, wide + 1, np.ones(30, bool))
    assert (lines[0], lines[2]) == ("expected", "got  (* = wrong)")


@given(st.floats(-1e6, 1e6), st.floats(1e-13, 1.0))
def test_a_wrong_number_never_looks_like_the_right_one(value, error):
    expected = np.array([value])
    found = expected + error * max(1.0, abs(value))
    line = beside("x", expected, found, expected != found)[1]
    left, right = line.split()
    assert left != right.removesuffix("*") or value == found[0]
