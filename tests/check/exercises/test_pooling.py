"""The exercises of lesson 4: their answers are the library's and those of the definitions; mistakes are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import geometry
from minifcn.check import check_gradients
from minifcn.check.exercises import pooling
from minifcn.check.exercises.pooling import field_and_stride, signals, windows
from minifcn.check.exercises.pooling_gradients import pooled
from minifcn.layers import Conv2d
from minifcn.network import Network

EXERCISES = [getattr(pooling, name) for name in pooling.__all__]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@given(signals())
def test_the_rectifiers_gate(case):
    expected = np.where(case["x"] > 0, case["dy"], 0)
    np.testing.assert_array_equal(pooling.relu_backward.reference(**case), expected)


@given(pooled(None))
def test_the_largest_of_each_window(case):
    expected = windows(**case).max(axis=(4, 5))
    np.testing.assert_array_equal(pooling.max_pool2d.reference(**case), expected)


@given(pooled("max"), st.randoms(use_true_random=False))
def test_the_gradient_of_max_pooling(case, random):
    """Without ties, differences of the definition tell."""
    values = list(range(case["x"].size))
    random.shuffle(values)
    x, options = np.reshape(values, case["x"].shape).astype(float), (case["kernel_size"], case["stride"])
    check_gradients(
        lambda x: (windows(x, *options).max(axis=(4, 5)), x),
        lambda dy, x: pooling.max_pool2d_backward.reference(dy, x, *options),
        {"x": x},
        case["dy"],
    )


@given(pooled("mean"))
def test_the_gradient_of_average_pooling(case):
    dy, shape, *options = case.values()
    check_gradients(
        lambda x: (windows(x, *options).mean(axis=(4, 5)), None),
        lambda dy, _: pooling.avg_pool2d_backward.reference(dy, shape, *options),
        {"x": np.zeros(shape)},
        dy,
    )


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=5))
def test_the_receptive_field_is_that_of_the_library(layers):
    net = Network()
    for number, (kernel, stride) in enumerate(layers):
        net.add(f"conv{number}", Conv2d(1, 1, kernel, stride))
    view = geometry.view(net, net.output)
    assert field_and_stride(layers) == (view.field, view.stride)


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
