"""Objects: against a search pixel by pixel, and against sets of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import objects

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)


def search(mask):
    """From each pixel that has no number yet, to all that can be reached."""
    numbers, count = np.zeros(mask.shape, np.int32), 0
    for start in np.ndindex(mask.shape):
        if mask[start] and not numbers[start]:
            count, waiting = count + 1, [start]
            while waiting:
                y, x = waiting.pop()
                inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
                if inside and mask[y, x] and not numbers[y, x]:
                    numbers[y, x] = count
                    waiting += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return numbers


@given(shapes, st.floats(0, 1), seeds)
def test_components_are_what_a_search_reaches(shape, share, seed):
    mask = np.random.default_rng(seed).random(shape) < share
    parts = objects.components(mask)
    assert parts.dtype == np.int32
    np.testing.assert_array_equal(parts, search(mask))


@given(shapes, seeds)
def test_found_by_sets_of_pixels(shape, seed):
    rng = np.random.default_rng(seed)
    truth, prediction = (rng.choice([0, 3, 5, 9], shape) for _ in range(2))
    prediction = np.where(rng.random() < 0.5, truth, prediction)  # random maps hardly ever agree
    prediction[0, 0] = 3
    expected = []
    for number in sorted(set(truth[truth > 0].tolist())):
        true = set(np.flatnonzero(truth == number).tolist())
        others = [
            set(np.flatnonzero(prediction == k).tolist()) for k in set(prediction[prediction > 0].tolist())
        ]
        expected.append(any(len(true & other) / len(true | other) > 0.5 for other in others))
    assert objects.found(truth, prediction).tolist() == expected


def test_two_cells_taken_for_one_are_not_found():
    truth = np.array([[1, 1, 1, 0, 2, 2, 2]])
    assert objects.found(truth, objects.components(truth > 0)).tolist() == [True, True]
    assert objects.found(truth, np.ones_like(truth)).tolist() == [False, False]


def test_half_is_not_enough():
    assert objects.found(np.array([[1, 1]]), np.array([[1, 0]])).tolist() == [False]
    assert objects.found(np.array([[1, 1, 1]]), np.array([[1, 1, 0]])).tolist() == [True]


def test_no_objects():
    nothing = np.zeros((2, 3), int)
    assert objects.found(nothing, nothing).shape == (0,)
    assert objects.found(nothing + 1, nothing).tolist() == [False]
    assert not objects.components(nothing > 0).any()


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"mask must be \(H, W\), found \(2, 3, 4\)"):
        objects.components(np.zeros((2, 3, 4), bool))
    with pytest.raises(ValueError, match=r"truth \(2, 3\) and prediction \(3, 2\) must have one shape"):
        objects.found(np.zeros((2, 3), int), np.zeros((3, 2), int))
