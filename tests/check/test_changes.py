"""General mistakes are named: right numbers with something done to them."""

import numpy as np
import pytest
from toy import images, of_dw, places, smooth, toy

from minifcn.check.exercise import Exercise

GENERAL = {
    "dw is all zeros.": lambda dw, dy, x: 0 * dw,
    "The sign of dw is wrong.": lambda dw, dy, x: -dw,
    "dw is 2 times what it should be.": lambda dw, dy, x: 2 * dw,
    "dw is 1/9 of what it should be.": lambda dw, dy, x: dw / 9,
    "dw is 3.1416 times what it should be.": lambda dw, dy, x: np.pi * dw,
    "dw is 1 too large, everywhere.": lambda dw, dy, x: dw + 1,
    "dw is divided by len(dy), and should not be: a mean where the sum is asked.": lambda dw, dy, x: (
        dw / len(x)
    ),
    "dw is divided by dy.shape[1] * dy.shape[2], and should not be: a mean where the sum is asked.": (
        lambda dw, dy, x: dw / dy[0, :, :, 0].size
    ),
    "dw is dy.size times too large: a sum where the mean is asked.": lambda dw, dy, x: dw * dy.size,
    "dw has its axes 0 and 1 swapped.": lambda dw, dy, x: dw.transpose(1, 0, 2, 3),
    "dw has its axes 2 and 3 swapped.": lambda dw, dy, x: dw.transpose(0, 1, 3, 2),
    "dw is flipped along axis 1.": lambda dw, dy, x: dw[:, ::-1],
    "dw has the right numbers, in another shape.": lambda dw, dy, x: dw.reshape(-1),
    "dw is summed over axes 0 and 1, and should not be.": lambda dw, dy, x: dw.sum(axis=(0, 1)),
    "dw should be summed over axis 2.": lambda dw, dy, x: np.stack([dw, 0 * dw], axis=2),
    "dw is too large: the right numbers are inside it, with others around.": lambda dw, dy, x: np.pad(
        dw, ((1, 1), (1, 1), (0, 0), (0, 0)), constant_values=7
    ),
    "dw is too small: a part of the right numbers is missing, at the border.": lambda dw, dy, x: dw[1:],
}


@pytest.mark.parametrize("says", GENERAL)
def test_a_general_mistake_is_named(says):
    assert toy(of_dw(GENERAL[says])).diagnosis == (says,)


def shifted(x):
    y = smooth(x)
    y[:, 1:] = y[:, :-1].copy()
    return y


PLACED = {
    "y is shifted by one along axis 1.": shifted,
    "y is x itself, unchanged.": lambda x: x,
    "y is cut to whole numbers: an array of integers cannot hold fractions.": lambda x: smooth(x).astype(int),
    "y has the precision of float32: compute in float64 all the way.": lambda x: smooth(x.astype(np.float32)),
}


@pytest.mark.parametrize("says", PLACED)
def test_a_general_mistake_in_images_is_named(says):
    assert places(PLACED[says]).diagnosis == (says,)


def test_swapped_outputs_are_named():
    both = Exercise(
        name="both",
        lesson=1,
        reference=lambda x: (x.sum(0), x[0]),
        cases=images(),
        returns=("total", "first"),
    )
    assert both(lambda x: (x[0], x.sum(0))).diagnosis == (
        "total is what first should be. Are they swapped?",
        "first is what total should be. Are they swapped?",
    )
