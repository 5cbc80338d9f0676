"""Activations and dropout: gradients, known values, extreme numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import images
from minifcn.layers import Dropout, ReLU, Sigmoid, Softmax, Tanh

seeds = st.integers(0, 2**32 - 1)
every = st.sampled_from([ReLU(), Sigmoid(), Softmax(), Tanh()])


@given(layer=every, x=images(), seed=seeds)
def test_gradients(layer, x, seed):
    check_layer(layer, x, rng=seed)


@given(layer=every, x=images(largest=20, channels=20), seed=seeds)
def test_adjoint(layer, x, seed):
    check_layer(layer, x, rng=seed, adjoint=True)


@given(x=images())
def test_values(x):
    np.testing.assert_array_equal(ReLU().forward(x)[0], np.where(x > 0, x, 0))
    np.testing.assert_allclose(Sigmoid().forward(x)[0], 1 / (1 + np.exp(-x)), rtol=1e-14)
    np.testing.assert_allclose(Tanh().forward(x)[0], 2 / (1 + np.exp(-2 * x)) - 1, rtol=1e-12)
    e = np.exp(x)
    np.testing.assert_allclose(Softmax().forward(x)[0], e / e.sum(axis=3, keepdims=True), rtol=1e-14)


def test_relu_of_a_nan_is_a_nan():
    y, _ = ReLU().forward(np.array([-1.0, np.nan, 2.0, np.inf, -np.inf], np.float32))
    np.testing.assert_array_equal(y, np.array([0, np.nan, 2, np.inf, 0], np.float32))


def test_the_gradient_of_relu_at_zero_is_zero():
    _, cache = ReLU().forward(np.array([-0.0, 0.0, 1e-30]))
    dx, _ = ReLU().backward(np.array([3.0, 4.0, 5.0]), cache)
    np.testing.assert_array_equal(dx, [0, 0, 5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_numbers_do_not_overflow(dtype):
    x = np.array([[-1e30, -800.0, 0.0, 800.0, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(Sigmoid().forward(x)[0], [[0, 0, 0.5, 1, 1]])
        np.testing.assert_array_equal(Softmax().forward(x)[0], [[0, 0, 0, 0, 1]])
        np.testing.assert_array_equal(Tanh().forward(x)[0], [[-1, -1, 0, 1, 1]])


@given(x=images(), shift=st.floats(-100, 100))
def test_softmax_gives_probabilities_that_a_shift_does_not_change(x, shift):
    y, _ = Softmax().forward(x)
    np.testing.assert_allclose(y.sum(axis=3), 1, rtol=1e-14)
    np.testing.assert_allclose(Softmax().forward(x + shift)[0], y, rtol=1e-11)


# ---------------------------------------------------------------- dropout

probabilities = st.sampled_from([0.0, 0.1, 0.5, 0.9])


@given(p=probabilities, train=st.booleans(), x=images(), seed=seeds)
def test_dropout_gradients(p, train, x, seed):
    check_layer(Dropout(p), x, train=train, rng=seed)


@given(p=probabilities, x=images(), seed=seeds)
def test_dropout_drops_or_scales_and_backward_does_the_same(p, x, seed):
    layer = Dropout(p)
    y, cache = layer.forward(x, train=True, rng=np.random.default_rng(seed))
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - p), rtol=1e-14)
    dx, _ = layer.backward(np.ones_like(x), cache)
    np.testing.assert_allclose(dx, kept / (1 - p), rtol=1e-14)
    again, _ = layer.forward(x, train=True, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(again, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_the_share_p_and_keeps_the_mean(p, dtype):
    x = np.ones((4, 50, 50, 10), dtype)
    y, _ = Dropout(p).forward(x, train=True, rng=np.random.default_rng(0))
    deviation = np.sqrt(p * (1 - p) / x.size)  # of the share, if every number is dropped by itself
    assert abs(np.mean(y == 0) - p) < 5 * deviation
    assert abs(y.mean(dtype=np.float64) - 1) < 5 * deviation / (1 - p)
    assert y.dtype == dtype


@given(x=images())
def test_dropout_outside_training_is_nothing(x):
    y, cache = Dropout(0.5).forward(x)
    np.testing.assert_array_equal(y, x)
    dx, _ = Dropout(0.5).backward(2 * x, cache)
    np.testing.assert_array_equal(dx, 2 * x)


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
def test_dropout_of_no_probability(p):
    with pytest.raises(ValueError, match=rf"p is {p}; expected a probability, 0 <= p < 1"):
        Dropout(p)


@pytest.mark.parametrize("text", ["Dropout(0.3)", "ReLU()", "Sigmoid()", "Softmax()", "Tanh()"])
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
