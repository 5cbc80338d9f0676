"""The exercises of lesson 6: their answers are the library's and those of the definitions; mistakes are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, models, surgery
from minifcn.check.exercises.dense import (
    connected,
    from_chw,
    heat_map_size,
    interlace,
    lengths,
    numbered,
    passes,
    to_conv,
)
from minifcn.layers import Linear

EXERCISES = to_conv, from_chw, heat_map_size, interlace
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@given(connected())
def test_the_kernel_is_the_librarys(case):
    weight, input_shape = case.values()
    linear = Linear(*weight.shape)
    linear.params["weight"] = weight
    kernel = surgery.to_conv(linear, input_shape).params["weight"]
    assert np.array_equal(to_conv.reference(weight, input_shape), kernel)


@given(connected())
def test_scores_stay_when_inputs_and_weights_change_their_order_together(case):
    weight, (H, W, C) = case.values()
    x = numbered(H, W, C)
    before = x.transpose(2, 0, 1).ravel() @ weight
    np.testing.assert_allclose(x.ravel() @ from_chw.reference(weight, (H, W, C)), before)


@given(lengths())
def test_the_size_is_the_number_of_windows_that_fit(case):
    size, window, stride = case.values()
    assert heat_map_size.reference(**case) == sum(i + window <= size for i in range(0, size, stride))


@given(passes())
def test_interlaced_maps_are_all_numbers_in_order(case):
    """The cases are cut out of such an array."""
    dense = interlace.reference(case["maps"])
    assert np.array_equal(dense, numbered(*dense.shape))


@given(st.integers(35, 45), st.integers(35, 45), st.sampled_from([1, 2, 4]))
def test_interlaced_passes_are_shift_and_stitch(height, width, stride):
    net = surgery.convolutionize(models.window_net(2, width=2, fc=3, rng=0), (32, 32, 3))
    image = np.random.default_rng(0).standard_normal((height, width, 3)).astype(np.float32)
    shifts = range(0, 4, stride)
    maps = [[net(np.ascontiguousarray(image[None, a:, b:]))[0] for b in shifts] for a in shifts]
    assert np.array_equal(interlace.reference(maps), inference.shift_and_stitch(net, image, stride))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_right_answer_is_right(exercise):
    assert exercise(exercise.reference).right
    assert exercise.solution().text and exercise.hints


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda one: getattr(one, "name", ""))
def test_who_makes_a_mistake_is_told_so(exercise, mistake):
    answer = exercise(mistake.wrong)
    assert answer.state == "wrong"
    assert any(mistake.says in sentence and mistake.see in sentence for sentence in answer.diagnosis)
