"""Linear and Flatten: gradients, what they mean, and what does not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import distinct, images
from minifcn.layers import Conv2d, Flatten, Linear

seeds = st.integers(0, 2**32 - 1)


@st.composite
def linear(draw, most=5):
    """A float64 Linear with or without a drawn bias, and an input of two to four axes for it."""
    C_in, C_out = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    layer = Linear(C_in, C_out, bias=draw(st.booleans()), rng=draw(seeds), dtype=np.float64)
    if "bias" in layer.params:
        layer.params["bias"][:] = draw(distinct((C_out,)))
    batch = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    return layer, draw(distinct((*batch, C_in)))


@given(case=linear(), seed=seeds)
def test_gradients(case, seed):
    layer, x = case
    check_layer(layer, x, rng=seed)


@given(case=linear(most=100), seed=seeds)
def test_adjoint(case, seed):
    layer, x = case
    check_layer(layer, x, rng=seed, adjoint=True)


@given(case=linear(most=100))
def test_value(case):
    layer, x = case
    expected = np.einsum("...i,io->...o", x, layer.params["weight"]) + layer.params.get("bias", 0)
    y, _ = layer.forward(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    layer.params = {name: array.astype(np.float32) for name, array in layer.params.items()}
    y, _ = layer.forward(x.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@given(case=linear(), seed=seeds)
def test_backward_computes_only_what_is_asked_for(case, seed):
    layer, x = case
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    only_dx, no_grads = layer.backward(dy, cache, needs=("input",))
    no_dx, only_grads = layer.backward(dy, cache, needs=("parameters",))
    assert no_dx is None and no_grads == {}
    np.testing.assert_array_equal(only_dx, dx)
    assert only_grads.keys() == grads.keys() == layer.params.keys()
    for name in grads:
        np.testing.assert_array_equal(only_grads[name], grads[name])


@given(x=images(), classes=st.integers(1, 4), seed=seeds)
def test_behind_a_flatten_it_is_a_convolution_of_the_whole_image(x, classes, seed):
    _, H, W, C = x.shape
    flat, _ = Flatten().forward(x)
    linear = Linear(H * W * C, classes, rng=seed, dtype=np.float64)
    conv = Conv2d(C, classes, kernel_size=(H, W), dtype=np.float64)
    conv.params["weight"] = linear.params["weight"].reshape(H, W, C, classes)
    np.testing.assert_allclose(
        conv.forward(x)[0][:, 0, 0], linear.forward(flat)[0], rtol=0, atol=1e-12 * np.abs(x).sum()
    )


@given(x=images(), seed=seeds)
def test_flatten_gradient(x, seed):
    check_layer(Flatten(), x, rng=seed)


def test_flatten_goes_row_by_row_with_channels_last():
    y, _ = Flatten().forward(np.arange(24.0).reshape(2, 2, 3, 2))
    np.testing.assert_array_equal(y, np.arange(24.0).reshape(2, 12))


def test_initial_parameters():
    first, again, other = (Linear(50, 40, rng=seed).params for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["weight"], again["weight"])
    assert not np.array_equal(first["weight"], other["weight"])
    assert first["weight"].dtype == first["bias"].dtype == np.float32
    assert first["weight"].std() == pytest.approx(np.sqrt(2 / 50), rel=0.1)
    assert not first["bias"].any()


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ((0, 2), ValueError, "in_features is 0; expected at least 1"),
        ((2, -1), ValueError, "out_features is -1; expected at least 1"),
        ((2.0, 2), TypeError, "in_features is 2.0; expected a whole number"),
    ],
)
def test_options_that_make_no_sense(features, error, message):
    with pytest.raises(error, match=message):
        Linear(*features)


@pytest.mark.parametrize("shape", [(2, 4), (3,), (0, 3), (2, 3, 4)])
def test_inputs_of_the_wrong_shape(shape):
    found = r"\(" + ", ".join(map(str, shape)) + (",?") + r"\)"
    with pytest.raises(ValueError, match=rf"Linear\(3, 2\) expects .* shape \(N, 3\), got {found}"):
        Linear(3, 2).forward(np.zeros(shape, np.float32))


def test_inputs_of_the_wrong_type():
    with pytest.raises(TypeError, match="works in float32 here, got an input of float64"):
        Linear(3, 2).forward(np.zeros((1, 3)))
    with pytest.raises(TypeError, match="expects a float32 or float64 array, got int64"):
        Linear(3, 2).forward(np.zeros((1, 3), np.int64))


@pytest.mark.parametrize("text", ["Linear(3, 2)", "Linear(3, 2, bias=False)", "Flatten()"])
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
