"""What the strategies draw: always valid, and all the corners."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from minifcn.check.cases import arguments, conv2d, conv_transpose2d, distinct, images, pooling, simple
from minifcn.layers import AvgPool2d, Conv2d, ConvTranspose2d, MaxPool2d

POOLS = [pooling(MaxPool2d), pooling(AvgPool2d)]


def exists(strategy, condition):
    """Look for a case until there is one; the simplest such is not needed."""
    once = settings(max_examples=5000, phases=[Phase.generate], database=None)
    return find(strategy, condition, settings=once)


@given(shape=st.lists(st.integers(1, 6), max_size=4).map(tuple), data=st.data())
def test_distinct_numbers_keep_their_distance(shape, data):
    x = data.draw(distinct(shape))
    assert x.shape == shape and x.dtype == np.float64
    gap = 4 / x.size
    assert np.abs(x).min() >= 0.499 * gap and np.abs(x).max() <= 2
    assert np.diff(np.sort(x.ravel())).min(initial=4) >= 0.999 * gap


def test_distinct_numbers_come_in_any_order_and_sign():
    for numbers in ((-2, 2), (2, -2), (2,), (-2,)):
        wanted = np.array(numbers) / len(numbers)
        exists(distinct(wanted.shape), lambda x, wanted=wanted: np.allclose(x, wanted))


@given(shape=st.lists(st.integers(0, 4), max_size=4).map(tuple), data=st.data())
def test_simple_numbers(shape, data):
    x = data.draw(simple(shape))
    assert x.shape == shape and set(x.ravel()) <= {1, 2, -1, 3, -2, 0.5}


def test_simple_numbers_shrink_to_what_is_needed():
    x = find(simple((2, 2)), lambda x: x[1, 0] < 0, settings=settings(database=None))
    assert x.tolist() == [[1, 1], [-1, 1]]


@given(case=arguments(b=st.integers(), a=st.text()))
def test_arguments_keep_their_order(case):
    assert list(case) == ["b", "a"] and isinstance(case["b"], int) and isinstance(case["a"], str)


@given(x=images(largest=3, channels=2))
def test_images(x):
    N, H, W, C = x.shape
    assert 1 <= N <= 2 and 1 <= H <= 3 and 1 <= W <= 3 and 1 <= C <= 2


@given(case=st.one_of(conv2d(), conv_transpose2d(), *POOLS), data=st.data())
def test_every_case_is_valid(case, data):
    layer, shape = case
    assert all(array.dtype == np.float64 for array in layer.params.values())
    y, _ = layer.forward(data.draw(distinct(shape)))
    assert y.size


@given(case=st.one_of(conv2d(), conv_transpose2d()))
def test_every_parameter_is_random(case):
    layer, _ = case
    for array in layer.params.values():
        assert np.all(array != 0) and np.unique(array).size == array.size


@pytest.mark.parametrize(
    "condition",
    [
        lambda layer, shape: shape[1:3] == (1, 1),
        lambda layer, shape: layer.window.kernel_size[0] > shape[1],
        lambda layer, shape: layer.window.kernel_size[0] != layer.window.kernel_size[1],
        lambda layer, shape: layer.window.kernel_size == (4, 4),
        lambda layer, shape: layer.window.stride[1] > layer.window.kernel_size[1],
        lambda layer, shape: layer.window.groups == 4,
        lambda layer, shape: layer.window.groups == 2 and layer.in_channels != layer.out_channels,
        lambda layer, shape: layer.window.dilation == (1, 2) and layer.window.padding == (2, 1),
        lambda layer, shape: not layer.window.copies,
        lambda layer, shape: "bias" not in layer.params,
        lambda layer, shape: shape[0] == 2,
    ],
)
@pytest.mark.parametrize("strategy", [conv2d(), conv_transpose2d()], ids=["conv", "transposed"])
def test_convolutions_reach_the_corners(strategy, condition):
    exists(strategy, lambda case: condition(*case))


@pytest.mark.parametrize(
    "condition",
    [
        lambda layer: layer.output_padding[0] >= layer.window.stride[0],
        lambda layer: layer.output_padding == (2, 0),
        lambda layer: layer.window.kernel_size == (1, 1) and layer.output_padding == (1, 1),
    ],
)
def test_transposed_convolutions_reach_the_output_padding(condition):
    exists(conv_transpose2d(), lambda case: condition(case[0]))


@pytest.mark.parametrize(
    "condition",
    [
        lambda layer, shape: shape[1:3] == (1, 1),
        lambda layer, shape: layer.window.kernel_size[0] > shape[1] and layer.window.padding[0] == 0,
        lambda layer, shape: layer.window.kernel_size[0] > shape[1] and not layer.ceil_mode,
        lambda layer, shape: layer.window.stride[0] > layer.window.kernel_size[0],
        lambda layer, shape: layer.window.stride[0] < layer.window.kernel_size[0] and layer.ceil_mode,
        lambda layer, shape: layer.window.dilation == (2, 1) and layer.window.padding[0] > 1,
        lambda layer, shape: layer.window.kernel_size == (4, 3),
    ],
)
@pytest.mark.parametrize("strategy", POOLS, ids=["max", "average"])
def test_poolings_reach_the_corners(strategy, condition):
    exists(strategy, lambda case: condition(*case))


def test_sizes_go_as_far_as_asked():
    exists(conv2d(more=9, channels=7), lambda case: case[1][1] > 5 and case[0].in_channels > 4)
    kinds = {
        type(case[0]) for case in (exists(s, lambda _: True) for s in (conv2d(), conv_transpose2d(), *POOLS))
    }
    assert kinds == {Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d}
