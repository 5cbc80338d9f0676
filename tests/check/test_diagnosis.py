"""A mistake is named if it gives the numbers that came, in all cases; otherwise nothing is claimed."""

import numpy as np
import pytest
from toy import backward, flipped, one_image, stride_ignored, toy

from minifcn.check.cases import arguments, distinct, simple
from minifcn.check.exercise import Exercise


def of_dw(change):
    """The right function, but for dw: change(dw, dy, x)."""

    def function(dy, x, stride):
        dw, db = backward(dy, x, stride)
        return change(dw, dy, x), db

    return function


KNOWN = {
    'dw: The kernel is flipped: nothing is flipped in deep learning. See lesson 2, "No flip".': flipped,
    'dw: The stride is ignored. See lesson 3, "Strides".': stride_ignored,
    'dw and db: Only the first image counts. See lesson 3, "Batches".': one_image,
}


@pytest.mark.parametrize("says", KNOWN)
def test_a_known_mistake_is_named_with_its_paragraph(says):
    answer = toy(KNOWN[says])
    assert answer.diagnosis == (says,)
    assert f"\n\n{says}\n\n" in answer.text


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


def test_each_output_has_its_own_diagnosis():
    def function(dy, x, stride):
        return flipped(dy, x, stride)[0], -dy.sum(axis=(0, 1, 2))

    assert [said[:20] for said in toy(function).diagnosis] == ["dw: The kernel is fl", "The sign of db is wr"]


def test_a_known_and_a_general_mistake_in_one_output():
    (said,) = toy(of_dw(lambda dw, dy, x: -dw[::-1, ::-1])).diagnosis
    assert said.startswith("dw: Two things. The kernel is flipped") and "The sign of dw is wrong." in said


def test_what_fits_only_some_cases_is_not_claimed():
    """The sign is wrong only for large sums; and one number of many is off."""
    assert toy(of_dw(lambda dw, dy, x: np.where(dw > 3, -dw, dw))).diagnosis == ()
    answer = toy(of_dw(lambda dw, dy, x: -dw + (dw.size > 8)))
    assert (answer.state, answer.diagnosis) == ("wrong", ())


def test_random_numbers_have_no_diagnosis_but_a_remark():
    rng = np.random.default_rng()
    answer = toy(of_dw(lambda dw, dy, x: rng.random(dw.shape)))
    assert answer.diagnosis == ()
    assert "Called twice with the same arguments, it gives two results." in answer.text


def images():
    return arguments(x=distinct((2, 4, 5, 2)))


def smooth(x):
    return np.cumsum(np.cumsum(x, axis=1), axis=2) / 3


places = Exercise(name="places", lesson=1, reference=smooth, cases=images(), returns=("y",), rtol=1e-9)


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


def with_border(x):
    y = smooth(x)
    y[:, 0], y[:, -1], y[:, :, 0], y[:, :, -1] = 9, 8, 7, 6
    return y


def second_image(x):
    return np.where(np.arange(2)[:, None, None, None] == 1, np.sin(smooth(x)), smooth(x))


WHERE = {
    "Only the border of y is wrong; inside it is right.": with_border,
    "y[0] is always right; what comes after it is not.": second_image,
    "The error is small, at most": lambda x: smooth(x) * (1 + 1e-7 * np.sin(smooth(x))),
}


@pytest.mark.parametrize("says", WHERE)
def test_what_has_no_name_is_placed(says):
    answer = places(WHERE[says])
    assert answer.diagnosis == ()
    assert says in answer.text


def test_an_option_that_must_be_at_its_least_is_said():
    def function(dy, x, stride):
        dw, db = backward(dy, x, stride)
        return dw + (stride - 1) * np.sin(dw + 1), db

    assert "cases with stride = 1." in toy(function).text


def test_overflow_is_placed():
    softplus = Exercise(
        name="softplus",
        lesson=5,
        reference=lambda x: np.logaddexp(0, x),
        cases=arguments(x=simple((2,), np.array([0.0, 1.0, 1000.0]))),
        returns=("y",),
    )
    answer = softplus(lambda x: np.log(1 + np.exp(x)))
    assert "That happens only with large arguments, from 1000 on: is it an overflow?" in answer.text
    assert "y[1] is inf." in answer.text
