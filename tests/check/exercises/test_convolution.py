"""The exercises of lesson 2: their answers are the library's; mistakes are named."""

import numpy as np
import pytest
from hypothesis import given

from minifcn import check, surgery
from minifcn.check.exercises import LESSONS
from minifcn.check.exercises.convolution import convolutions, with_kernel_size
from minifcn.check.exercises.large_matrix import small_pictures
from minifcn.check.exercises.sizes import sizes
from minifcn.layers import Conv2d

EXERCISES = [getattr(check, name) for name in LESSONS["convolution"]]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@given(sizes())
def test_the_size_is_that_of_the_layers_output(case):
    size, kernel, stride, padding, dilation = case.values()
    layer = Conv2d(1, 1, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
    assert check.output_size.reference(**case) == layer.output_shape((1, size, 1, 1))[1]


@given(convolutions())
def test_the_convolution_is_patches_times_a_matrix(case):
    x, w, b, stride, padding, dilation = case.values()
    layer = Conv2d(*w.shape[2:], w.shape[:2], stride, padding, dilation, dtype=np.float64)
    layer.params |= {"weight": w, "bias": b}
    y, _ = layer.forward(x)
    np.testing.assert_allclose(check.conv2d.reference(**case), y)
    patches = check.im2col.reference(**with_kernel_size(case))
    np.testing.assert_allclose(np.tensordot(patches, w, axes=3) + b, y)


@given(small_pictures())
def test_the_matrix_is_that_of_the_surgery(case):
    w, height, width = case.values()
    layer = Conv2d(1, 1, w.shape, bias=False, dtype=np.float64)
    layer.params["weight"] = w[:, :, None, None].astype(float)
    np.testing.assert_array_equal(
        check.conv_matrix.reference(**case), surgery.to_matrix(layer, (height, width, 1))
    )


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
