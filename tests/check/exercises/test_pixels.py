"""The exercises of lesson 1: their answers are those of the library's metrics; mistakes are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import metrics
from minifcn.check.exercises import LESSONS, pixels
from minifcn.check.exercises.pixels import IGNORED, label_maps, matrices

EXERCISES = [getattr(pixels, name) for name in LESSONS["pixels"]]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@given(label_maps(st.integers(1, 4)))
def test_one_hot_maps_add_up_to_the_pixels_that_count(case):
    labels, classes = case.values()
    maps = pixels.one_hot.reference(labels, classes)
    np.testing.assert_array_equal(maps.sum(axis=-1), labels != IGNORED)
    assert np.array_equal(maps.argmax(axis=-1)[labels != IGNORED], labels[labels != IGNORED])


@given(label_maps(st.integers(1, 4), predicted=True))
def test_the_counts_are_the_librarys(case):
    np.testing.assert_array_equal(pixels.confusion.reference(**case), metrics.confusion(**case))


@given(matrices())
def test_the_measures_are_the_librarys(case):
    assert pixels.pixel_accuracy.reference(**case) == metrics.pixel_accuracy(**case)
    assert pixels.mean_iou.reference(**case) == metrics.mean_iou(**case)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_reference_is_right(exercise):
    assert exercise(exercise.reference).right


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "mistake"),
    MISTAKES,
    ids=lambda value: getattr(value, "name", getattr(value, "says", "")[:40]),
)
def test_each_mistake_is_called_by_its_name(exercise, mistake):
    answer = exercise(mistake.wrong)
    assert answer.state == "wrong"
    assert any(mistake.says in line for line in answer.diagnosis), answer
