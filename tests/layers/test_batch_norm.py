"""BatchNorm2d: its two modes, what it remembers, and PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import distinct, images
from minifcn.layers import BatchNorm2d

seeds = st.integers(0, 2**32 - 1)


def drawn(channels, seed, dtype=np.float64, **options):
    """A layer in which no number is that of the start."""
    rng = np.random.default_rng(seed)
    layer = BatchNorm2d(channels, dtype=dtype, **options)
    layer.params = {name: rng.uniform(-2, 2, channels).astype(dtype) for name in layer.params}
    layer.state = {name: rng.uniform(0.5, 2, channels).astype(dtype) for name in layer.state}
    return layer


@given(x=images(), train=st.booleans(), batch_statistics=st.booleans(), seed=seeds)
def test_gradients(x, train, batch_statistics, seed):
    layer = drawn(x.shape[3], seed, batch_statistics=batch_statistics)
    check_layer(layer, x, train=train, rng=seed)


@given(data=st.data(), seed=seeds)
def test_adjoint(data, seed):
    x = data.draw(images(largest=12, channels=40))
    check_layer(drawn(x.shape[3], seed), x, train=True, rng=seed, adjoint=True)


@given(x=images(channels=40), seed=seeds)
def test_in_training_each_channel_has_the_learned_mean_and_deviation(x, seed):
    layer = drawn(x.shape[3], seed, eps=1e-30)
    y, _ = layer.forward(x, train=True)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), layer.params["bias"], rtol=0, atol=1e-9)
    if x[..., 0].size > 1:
        deviation = np.abs(layer.params["weight"])
        np.testing.assert_allclose(y.std(axis=(0, 1, 2)), deviation, rtol=1e-9)


@given(x=images(), factor=st.floats(0.5, 4), shift=st.floats(-9, 9), seed=seeds)
def test_in_training_scale_and_shift_of_a_channel_do_not_matter(x, factor, shift, seed):
    layer = drawn(x.shape[3], seed, eps=1e-30)
    expected, _ = layer.forward(x, train=True)
    np.testing.assert_allclose(layer.forward(factor * x + shift, train=True)[0], expected, rtol=0, atol=1e-6)


@given(x=images(), seed=seeds)
def test_afterwards_a_pixel_does_not_depend_on_the_others(x, seed):
    layer = drawn(x.shape[3], seed)
    y, _ = layer.forward(x)
    for n, i, j in np.ndindex(x.shape[:3]):
        alone, _ = layer.forward(x[n : n + 1, i : i + 1, j : j + 1])
        np.testing.assert_array_equal(alone[0, 0, 0], y[n, i, j])


@given(x=images(), seed=seeds)
def test_batch_statistics_are_those_of_training_at_all_times(x, seed):
    layer, plain = drawn(x.shape[3], seed, batch_statistics=True), drawn(x.shape[3], seed)
    np.testing.assert_array_equal(layer.forward(x)[0], plain.forward(x, train=True)[0])


@given(data=st.data(), seed=seeds)
def test_running_averages_come_to_the_statistics_that_return(data, seed):
    x = data.draw(images().filter(lambda x: x[..., 0].size > 1))
    layer = drawn(x.shape[3], seed)
    _, cache = layer.forward(x, train=True)
    for _ in range(300):
        layer.remember(cache)
    flat = x.reshape(-1, x.shape[3])
    np.testing.assert_allclose(layer.state["running_mean"], flat.mean(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(layer.state["running_var"], flat.var(axis=0, ddof=1), rtol=1e-9)


def test_one_pixel_has_no_deviation():
    """And no unbiased estimate of it: 0 is remembered."""
    layer = BatchNorm2d(1, momentum=1.0)
    y, cache = layer.forward(np.full((1, 1, 1, 1), 7, np.float32), train=True)
    layer.remember(cache)
    assert y.item() == 0
    assert layer.state["running_mean"] == 7 and layer.state["running_var"] == 0


def test_gradients_that_nobody_needs_are_left_out():
    layer, x = drawn(3, 0), np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    y, cache = layer.forward(x, train=True)
    dx, grads = layer.backward(y, cache)
    only_dx, none = layer.backward(y, cache, ("input",))
    nothing, only_grads = layer.backward(y, cache, ("parameters",))
    assert none == {} and nothing is None
    np.testing.assert_array_equal(only_dx, dx)
    assert all(np.array_equal(only_grads[name], grads[name]) for name in grads)


# ---------------------------------------------------------------- PyTorch


@pytest.mark.oracle
@given(shape=st.tuples(*[st.integers(2, 6)] * 3, st.sampled_from([1, 3, 17, 40])), momentum=st.floats(0, 1),
       dtype=st.sampled_from([np.float32, np.float64]), seed=seeds)  # fmt: skip
def test_pytorch_computes_the_same(shape, momentum, dtype, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    rng = np.random.default_rng(seed)
    layer = drawn(shape[3], seed, dtype, eps=1e-3, momentum=momentum)
    module = torch.nn.BatchNorm2d(shape[3], eps=1e-3, momentum=momentum)
    module = module.to(torch.tensor(np.zeros(1, dtype)).dtype)
    module.load_state_dict(
        {name: torch.tensor(array) for name, array in (layer.params | layer.state).items()}, strict=False
    )
    atol = 1e-5 if dtype == np.float32 else 1e-12
    for train in (True, False, True):
        x = (3 * rng.standard_normal(shape) + 1).astype(dtype)
        dy = rng.standard_normal(shape).astype(dtype)
        y, cache = layer.forward(x, train=train)
        dx, grads = layer.backward(dy, cache)
        if train:
            layer.remember(cache)

        module.train(train).zero_grad()
        image = torch.tensor(x, requires_grad=True)
        expected = module(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        expected.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=atol)
        np.testing.assert_allclose(dx, image.grad.numpy(), rtol=0, atol=atol)
        for name, array in grads.items():
            assert array.dtype == dtype
            theirs = getattr(module, name).grad.numpy()
            np.testing.assert_allclose(array, theirs, rtol=0, atol=atol * max(1, np.abs(theirs).max()))
        for name, array in layer.state.items():
            np.testing.assert_allclose(array, getattr(module, name).numpy(), rtol=0, atol=atol * 10)


# ---------------------------------------------------------------- what does not fit


def test_options_that_make_no_sense():
    for options, message in (
        ({"num_features": 0}, "num_features is 0; expected at least 1"),
        ({"num_features": 2, "eps": 0}, "eps is 0; expected a positive number"),
        ({"num_features": 2, "momentum": 1.5}, "momentum is 1.5; expected 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            BatchNorm2d(**options)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match=r"BatchNorm2d\(3\) expects an input of shape \(N, H, W, 3\)"):
        BatchNorm2d(3).forward(np.ones((1, 2, 2, 4), np.float32))
    with pytest.raises(TypeError, match="works in float32 here, got an input of float64"):
        BatchNorm2d(3).forward(np.ones((1, 2, 2, 3)))


@pytest.mark.parametrize(
    "text", ["BatchNorm2d(3)", "BatchNorm2d(3, eps=0.001, momentum=0.5, batch_statistics=True)"]
)
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text


@given(data=st.data(), seed=seeds)
def test_a_large_mean_costs_no_digits(data, seed):
    """The variance of 1000 ± 1 is that of ± 1."""
    x = data.draw(distinct((2, 5, 4, 3)))
    layer = drawn(3, seed)
    expected, _ = layer.forward(x, train=True)
    found, _ = layer.forward(x + 1e6, train=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
