"""A mistake is named if it gives the numbers that came, in all cases; otherwise nothing is claimed."""

import numpy as np
import pytest
from toy import flipped, of_dw, one_image, stride_ignored, toy

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
