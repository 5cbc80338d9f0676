"""MaxUnpool2d: what pooling takes it gives back, and PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import distinct
from minifcn.layers import MaxPool2d, MaxUnpool2d

seeds = st.integers(0, 2**32 - 1)


@st.composite
def cases(draw, most=9, channels=4):
    """Options, and an image of odd or even size with some ties."""
    kernel = draw(st.sampled_from([2, 2, (1, 3), (3, 2)]))
    options = {"kernel_size": kernel, "ceil_mode": draw(st.booleans())}
    if kernel != 2:
        options |= {
            "stride": draw(st.sampled_from([3, (4, 3)])),
            "padding": draw(st.sampled_from([0, (0, 1)])),
        }
    shape = (
        draw(st.integers(1, 2)),
        *draw(st.tuples(*[st.integers(3, most)] * 2)),
        draw(st.integers(1, channels)),
    )
    return options, draw(distinct(shape))


@given(case=cases(), data=st.data(), seed=seeds)
def test_gradients(case, data, seed):
    options, pooled = case
    x = data.draw(distinct(MaxPool2d(**options).output_shape(pooled.shape)))
    check_layer(MaxUnpool2d(**options), x, pooled, rng=seed)


@given(case=cases(most=16, channels=20), data=st.data(), seed=seeds)
def test_adjoint(case, data, seed):
    options, pooled = case
    x = data.draw(distinct(MaxPool2d(**options).output_shape(pooled.shape)))
    check_layer(MaxUnpool2d(**options), x, pooled, rng=seed, adjoint=True)


@given(case=cases(channels=20))
def test_the_maxima_come_back_to_their_places(case):
    options, pooled = case
    y, _ = MaxPool2d(**options).forward(pooled)
    back, _ = MaxUnpool2d(**options).forward(y, pooled)
    assert back.shape == pooled.shape
    assert np.count_nonzero(back) == y.size
    np.testing.assert_array_equal(back[back != 0], pooled[back != 0])


@given(case=cases(channels=20), data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_it_is_the_gradient_of_the_pooling(case, data, dtype):
    """Also where maxima are equal: of these the first, for both."""
    options, pooled = case
    pooled = np.round(pooled).astype(dtype)
    pool, unpool = MaxPool2d(**options), MaxUnpool2d(**options)
    y, cache = pool.forward(pooled)
    x = data.draw(distinct(y.shape)).astype(dtype)
    unpooled, unpool_cache = unpool.forward(x, pooled)
    np.testing.assert_array_equal(unpooled, pool.backward(x, cache)[0])
    (dx, none), _ = unpool.backward(pooled, unpool_cache)
    np.testing.assert_array_equal(dx, y)
    assert none is None


@pytest.mark.oracle
@given(case=cases(channels=20), data=st.data())
def test_pytorch_computes_the_same(case, data):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    options, pooled = case
    F = torch.nn.functional
    image = torch.tensor(pooled).permute(0, 3, 1, 2)
    y, where = F.max_pool2d(image, **options, return_indices=True)
    x = data.draw(distinct((len(pooled), *y.shape[2:], y.shape[1])))
    theirs = torch.tensor(x, requires_grad=True)
    # max_unpool2d refuses some of the sizes that max_pool2d reads; this is what it computes.
    flat = torch.zeros((*image.shape[:2], image.shape[2] * image.shape[3]), dtype=image.dtype)
    expected = flat.scatter(2, where.flatten(2), theirs.permute(0, 3, 1, 2).flatten(2))
    expected = expected.reshape(image.shape).permute(0, 2, 3, 1)
    dy = data.draw(distinct(pooled.shape))
    expected.backward(torch.tensor(dy))

    layer = MaxUnpool2d(**options)
    found, cache = layer.forward(x, pooled)
    np.testing.assert_array_equal(found, expected.detach().numpy())
    np.testing.assert_array_equal(layer.backward(dy, cache)[0][0], theirs.grad.numpy())


def test_windows_without_a_pixel_give_nothing():
    layer = MaxUnpool2d(2, 3, padding=1, dilation=2)
    y, cache = layer.forward(np.full((1, 1, 1, 1), 5.0), np.full((1, 1, 1, 1), 6.0))
    assert y.item() == 0
    assert layer.backward(np.ones_like(y), cache)[0][0].item() == 0


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"MaxUnpool2d\(3, stride=2\) has windows that overlap"):
        MaxUnpool2d(3, stride=2)
    message = r"MaxUnpool2d\(2\) expects an input of \(1, 2, 3, 4\) for an image of \(1, 5, 6, 4\), got"
    with pytest.raises(ValueError, match=message):
        MaxUnpool2d(2).forward(np.ones((1, 3, 3, 4)), np.ones((1, 5, 6, 4)))
    with pytest.raises(TypeError, match="works in float64 here, got an input of float32"):
        MaxUnpool2d(2).forward(np.ones((1, 1, 1, 4)), np.ones((1, 2, 2, 4), np.float32))


@pytest.mark.parametrize("text", ["MaxUnpool2d(2)", "MaxUnpool2d((3, 2), stride=3, ceil_mode=True)"])
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
