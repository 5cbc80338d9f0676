"""Transposed convolution by phases, against its definition: the input gradient of a convolution, in float64.

Images and weights of small whole numbers, so that nothing is only close.
"""

from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minifcn.kernels import im2col, jit, subpixel
from minifcn.kernels.convolution import (
    transposed_convolve,
    transposed_input_gradient,
    transposed_weight_gradient,
)
from minifcn.kernels.window import Window

MARGIN = 37  # numbers in front of and behind an array

seeds = st.integers(0, 2**32 - 1)
channels = st.integers(1, 9) | st.sampled_from([15, 16, 17, 21, 33, 60])
jobs = st.sampled_from([subpixel.JOB, 1, 5])  # rows of the matrix that a thread takes at a time


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def windows(draw):
    """Kernels smaller and larger than the stride, multiples of it and not; and the output padding."""
    stride = draw(st.sampled_from([(2, 2), (8, 8)]) | pairs(1, 5))
    kernel_size = tuple(draw(st.sampled_from([s, 2 * s]) | st.integers(1, 2 * s + 3)) for s in stride)
    padding = tuple(draw(st.sampled_from([0, k // 4]) | st.integers(0, k + 1)) for k in kernel_size)
    return Window(kernel_size, stride, padding), [draw(st.integers(0, s - 1)) for s in stride]


def output_size(size, window, output_padding):
    return [
        (n - 1) * s - 2 * p + k + extra
        for n, s, p, k, extra in zip(size, window.stride, window.padding, window.kernel_size, output_padding)
    ]


class Case:
    """x, w, dy and their window, all of whole numbers."""

    def __init__(self, window, output_padding, shape, C_out, seed=0):
        rng = np.random.default_rng(seed)
        self.window, (N, *size, C_in) = window, shape
        self.x = rng.integers(-9, 10, shape).astype(np.float32)
        self.w = rng.integers(-9, 10, (*window.kernel_size, C_out, C_in)).astype(np.float32)
        y_shape = (N, *output_size(size, window, output_padding), C_out)
        self.dy = rng.integers(-9, 10, y_shape).astype(np.float32)

    def __repr__(self):
        return f"Case({self.window}, {self.x.shape}, {self.dy.shape})"


@st.composite
def cases(draw):
    """Images from the smallest on of which the padding leaves something."""
    window, output_padding = draw(windows())
    least = [
        max(1, 1 - (k + extra - 2 * p) // s)
        for k, s, p, extra in zip(window.kernel_size, window.stride, window.padding, output_padding)
    ]
    sizes = [n + draw(st.integers(0, 5)) for n in least]
    shape = (draw(st.sampled_from([1, 1, 2, 9])), *sizes, draw(channels))
    return Case(window, output_padding, shape, draw(channels), draw(seeds))


def value_definition(case):
    y = np.empty(case.dy.shape)
    im2col.input_gradient(case.x.astype(np.float64), case.w.astype(np.float64), case.window, y)
    return y


def input_gradient_definition(case):
    dx = np.empty(case.x.shape)
    im2col.convolve(case.dy.astype(np.float64), case.w.astype(np.float64), None, case.window, dx)
    return dx


def weight_gradient_definition(case):
    dw = np.empty(case.w.shape)
    im2col.weight_gradient(case.dy.astype(np.float64), case.x.astype(np.float64), case.window, dw)
    return dw


def among(array, value):
    """A copy of the array, and the memory that it lies in, full of `value`."""
    memory = np.full(array.size + 2 * MARGIN, value, np.float32)
    copy = memory[MARGIN:-MARGIN].reshape(array.shape)
    copy[...] = array
    return copy, memory


def run(product, inputs, shape, *options):
    """What `product` writes to an array full of NaNs: all of it, nothing beyond, and not to its inputs.

    The inputs lie among NaNs, so that a number that is read from outside would be seen.
    """
    copies = [among(array, np.nan)[0] for array in inputs]
    out, memory = among(np.full(shape, np.nan, np.float32), 77)
    product(*copies, *options, out)
    for copy, array in zip(copies, inputs):
        np.testing.assert_array_equal(copy, array)
    assert not np.isnan(out).any(), "a number was not written"
    assert np.all(memory[:MARGIN] == 77) and np.all(memory[-MARGIN:] == 77), "written beyond the array"
    return out


def value(case, bias=None):
    def product(x, w, y):
        subpixel.transposed_convolve(x, w, bias, case.window.stride, case.window.padding, y)

    return run(product, (case.x, case.w), case.dy.shape)


def input_gradient(case):
    options = case.window.stride, case.window.padding
    return run(subpixel.input_gradient, (case.dy, case.w), case.x.shape, *options)


def weight_gradient(case):
    options = case.window.stride, case.window.padding
    return run(subpixel.weight_gradient, (case.dy, case.x), case.w.shape, *options)


large = [
    Case(Window((16, 16), (8, 8), (4, 4)), (0, 0), (2, 16, 24, 21), 21),  # as FCN-8s's last layer
    Case(Window((4, 4), (2, 2)), (0, 0), (1, 9, 9, 70), 64),  # several panels deep, several strips wide
    Case(Window((64, 64), (32, 32), (16, 16)), (0, 0), (1, 3, 2, 3), 2),  # as FCN-32s's
    Case(Window((2, 2), (2, 2)), (1, 1), (1, 1, 1000, 3), 5),
    Case(Window((3, 1), (2, 1), (1, 0)), (1, 0), (1, 1000, 1, 5), 3),
    Case(Window((2, 2), (5, 5), (1, 1)), (4, 4), (3, 1, 1, 2), 3),  # of which a part is not painted on
    Case(Window((3, 3), (1, 1), (1, 1)), (0, 0), (2, 5, 6, 8), 17),
]


def assert_all(case):
    np.testing.assert_array_equal(value(case), value_definition(case))
    np.testing.assert_array_equal(input_gradient(case), input_gradient_definition(case))
    np.testing.assert_array_equal(weight_gradient(case), weight_gradient_definition(case))


@given(case=cases(), job=jobs)
def test_transposed_convolve(case, job):
    with mock.patch.object(subpixel, "JOB", job):
        expected = value_definition(case)
        np.testing.assert_array_equal(value(case), expected)
        bias = np.arange(1, expected.shape[3] + 1, dtype=np.float32)
        np.testing.assert_array_equal(value(case, bias), expected + bias)


@given(case=cases(), job=jobs)
def test_input_gradient(case, job):
    with mock.patch.object(subpixel, "JOB", job):
        np.testing.assert_array_equal(input_gradient(case), input_gradient_definition(case))


@given(case=cases())
def test_weight_gradient(case):
    np.testing.assert_array_equal(weight_gradient(case), weight_gradient_definition(case))


@pytest.mark.parametrize("case", large, ids=repr)
def test_large_ones(case):
    assert_all(case)


@given(case=cases(), job=jobs, seed=seeds)
@example(case=large[0], job=1, seed=0)
def test_the_same_bits_in_every_run_and_for_every_number_of_threads(case, job, seed):
    rng, before = np.random.default_rng(seed), jit.get_threads()
    for name in ("x", "w", "dy"):
        setattr(case, name, rng.standard_normal(getattr(case, name).shape, np.float32))
    results = set()
    try:
        for threads in (1, 1, min(2, jit.numba.config.NUMBA_NUM_THREADS)):
            jit.set_threads(threads)
            results.add(tuple(f(case).tobytes() for f in (value, input_gradient, weight_gradient)))
            with mock.patch.object(subpixel, "JOB", job):
                results.add(tuple(f(case).tobytes() for f in (value, input_gradient, weight_gradient)))
    finally:
        jit.set_threads(before)
    assert len(results) == 1


@given(case=cases(), seed=seeds)
def test_value_and_gradients_are_those_of_one_bilinear_form(case, seed):
    """<dy, value(x, w)> = <x, input gradient(dy, w)> = <w, weight gradient(dy, x)>, to the last bit."""
    form = np.vdot(case.dy.astype(int), value(case).astype(int))
    assert form == np.vdot(case.x.astype(int), input_gradient(case).astype(int))
    assert form == np.vdot(case.w.astype(int), weight_gradient(case).astype(int))


# ---------------------------------------------------------------- when it is used


def used(function):
    """How often `function` of this module was called by what is run within."""
    return mock.patch.object(subpixel, function, side_effect=getattr(subpixel, function))


@pytest.mark.parametrize(
    ("window", "algorithm", "dtype", "expected"),
    [
        (Window((4, 4), (2, 2)), "auto", np.float32, True),
        (Window((4, 4), (2, 2)), "subpixel", np.float32, True),
        (Window((4, 4), (2, 1)), "auto", np.float32, True),
        (Window((4, 4)), "subpixel", np.float32, True),
        (Window((4, 4), (2, 2)), "im2col", np.float32, False),
        (Window((4, 4), (2, 2)), "auto", np.float64, False),
        (Window((4, 4), (2, 2)), "subpixel", np.float64, False),
        (Window((4, 4)), "auto", np.float32, False),
        (Window((4, 4), (2, 2), groups=2), "auto", np.float32, False),
        (Window((4, 4), (2, 2), dilation=(1, 2)), "auto", np.float32, False),
    ],
)
def test_when_it_is_used(window, algorithm, dtype, expected):
    rng = np.random.default_rng(0)
    sizes = [(n - 1) * s + 3 * d + 1 for n, s, d in zip((5, 6), window.stride, window.dilation)]
    x = rng.integers(-9, 10, (2, 5, 6, 8)).astype(dtype)
    w = rng.integers(-9, 10, (4, 4, 4 // window.groups, 8)).astype(dtype)
    dy = rng.integers(-9, 10, (2, *sizes, 4)).astype(dtype)
    y, dx, dw = (np.full_like(array, np.nan) for array in (dy, x, w))
    with used("transposed_convolve") as f, used("input_gradient") as g, used("weight_gradient") as h:
        transposed_convolve(x, w, None, window, y, algorithm)
        transposed_input_gradient(dy, w, window, dx, algorithm)
        transposed_weight_gradient(dy, x, window, dw, algorithm)
    assert (f.called, g.called, h.called) == (expected,) * 3
    y_expected, dx_expected, dw_expected = (np.empty(array.shape) for array in (dy, x, w))
    im2col.input_gradient(x.astype(np.float64), w.astype(np.float64), window, y_expected)
    im2col.convolve(dy.astype(np.float64), w.astype(np.float64), None, window, dx_expected)
    im2col.weight_gradient(dy.astype(np.float64), x.astype(np.float64), window, dw_expected)
    np.testing.assert_array_equal(y, y_expected)
    np.testing.assert_array_equal(dx, dx_expected)
    np.testing.assert_array_equal(dw, dw_expected)
