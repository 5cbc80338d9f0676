"""Run lengths: there and back again, against a plain count of the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minifcn.data.run_lengths import decode, encode

masks = arrays.arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 1))


@given(masks)
def test_there_and_back_again(mask):
    found = decode(encode(mask), *mask.shape)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, mask)


@given(masks)
def test_runs_are_those_of_the_columns_one_after_the_other(mask):
    runs = []
    pixel = 0
    for column in mask.T.tolist():
        for value in column:
            pixel += 1
            if value and runs and runs[-1][0] + runs[-1][1] == pixel:
                runs[-1][1] += 1
            elif value:
                runs.append([pixel, 1])
    assert encode(mask) == " ".join(f"{start} {length}" for start, length in runs)


@given(masks)
def test_any_mask_that_is_not_zero_counts(mask):
    assert encode(mask.astype(bool)) == encode(mask.astype(np.int64) * 255) == encode(mask)


def test_known_values():
    mask = np.zeros((3, 4), np.uint8)
    mask[[1, 2, 0], [1, 1, 2]] = 1
    assert encode(mask) == "5 3"
    assert encode(np.zeros((2, 2))) == "" and not decode(" ", 2, 2).any()
    assert decode("1 2 3 2", 2, 2).all(), "runs may follow each other at once"


@pytest.mark.parametrize(
    "text", ["1", "1 x", "1.0 2", "+1 2", "0 1", "1 0", "4 2", "1 2 2 1", "3 1 1 1", "² 1"]
)
def test_texts_that_are_no_mask(text):
    with pytest.raises(ValueError, match=r"expected|ends at|starts before"):
        decode(text, 2, 2)
