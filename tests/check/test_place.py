"""What has no name is placed: which cases, and which numbers."""

import numpy as np
import pytest
from toy import backward, places, smooth, toy

from minifcn.check.cases import arguments, simple
from minifcn.check.exercise import Exercise


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
