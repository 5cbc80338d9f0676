"""The exercises of lesson 3: their answers are gradients, and the library's; mistakes are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import check
from minifcn.check import check_gradients
from minifcn.check.exercises import LESSONS
from minifcn.check.search import draw
from minifcn.layers import Conv2d

EXERCISES = [getattr(check, name) for name in LESSONS["backward"]]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]
CASES = draw(check.conv2d_backward.cases, 40)


@given(st.sampled_from(CASES))
def test_the_gradients_are_those_of_the_layer(case):
    dy, x, w, stride, padding, dilation, groups = case.values()
    layer = Conv2d(x.shape[3], w.shape[3], w.shape[:2], stride, padding, dilation, groups, dtype=np.float64)
    layer.params["weight"] = w.astype(float)
    dx, grads = layer.backward(dy.astype(float), layer.forward(x.astype(float))[1])
    found = check.conv2d_backward.reference(**case)
    for one, expected in zip(found, (dx, grads["weight"], grads["bias"])):
        np.testing.assert_allclose(one, expected)


@given(st.sampled_from(CASES))
def test_differences_agree(case):
    dy, x, w, stride, padding, dilation, groups = case.values()

    def forward(x, w):
        layer = Conv2d(
            x.shape[3], w.shape[3], w.shape[:2], stride, padding, dilation, groups, dtype=np.float64
        )
        layer.params["weight"], layer.params["bias"][:] = w, 0
        return layer.forward(x)[0], (x, w)

    def backward(dy, cache):
        return check.conv2d_backward.reference(dy, *cache, stride, padding, dilation, groups)[:2]

    check_gradients(forward, backward, {"x": x.astype(float), "w": w.astype(float)}, dy.astype(float))


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
    assert answer.diagnosis, answer
