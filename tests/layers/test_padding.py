"""Pad2d: zeros and mirror images, their gradients, and PyTorch."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import distinct
from minifcn.layers import Conv2d, Pad2d

seeds = st.integers(0, 2**32 - 1)


@st.composite
def cases(draw):
    """Paddings smaller and larger than the image, down to a single pixel."""
    layer = Pad2d(draw(st.tuples(*[st.integers(0, 6)] * 2)), draw(st.sampled_from(["zeros", "reflect"])))
    size = draw(st.tuples(*[st.integers(1, 6)] * 2))
    return layer, draw(distinct((draw(st.integers(1, 2)), *size, draw(st.integers(1, 3)))))


@given(case=cases(), seed=seeds)
def test_gradients(case, seed):
    layer, x = case
    check_layer(layer, x, rng=seed)


@given(case=cases())
def test_the_image_is_in_the_middle(case):
    layer, x = case
    y, _ = layer.forward(x)
    (ph, pw), (_, H, W, _) = layer.padding, x.shape
    np.testing.assert_array_equal(y[:, ph : ph + H, pw : pw + W], x)
    if layer.mode == "zeros":
        assert np.count_nonzero(y) == x.size


@given(case=cases())
def test_a_mirror_shows_the_same_on_both_sides_of_the_border_pixel(case):
    """As far as there is something on both sides; beyond, the mirror image is mirrored again."""
    layer, x = case
    y, _ = Pad2d(layer.padding, "reflect").forward(x)
    for axis, p in zip((1, 2), layer.padding):
        z, n = y.swapaxes(0, axis), x.shape[axis]
        for border in (p, p + n - 1):
            for k in range(1, min(border, len(z) - 1 - border) + 1):
                np.testing.assert_array_equal(z[border - k], z[border + k])


@given(padding=st.tuples(*[st.integers(0, 2)] * 2), data=st.data(), seed=seeds)
def test_zeros_are_the_padding_of_a_convolution(padding, data, seed):
    x = data.draw(distinct((1, 4, 5, 2)))
    inside, outside = (Conv2d(2, 3, 3, padding=p, rng=seed, dtype=np.float64) for p in (padding, 0))
    found, _ = outside.forward(Pad2d(padding).forward(x)[0])
    np.testing.assert_allclose(found, inside.forward(x)[0], rtol=0, atol=1e-12)


@pytest.mark.oracle
@given(case=cases(), seed=seeds)
def test_pytorch_computes_the_same(case, seed):
    """It mirrors once only."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    layer, x = case
    assume(layer.mode == "zeros" or all(p < n for n, p in zip(x.shape[1:3], layer.padding)))
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    image = torch.tensor(x, requires_grad=True)
    (ph, pw), mode = layer.padding, {"zeros": "constant"}.get(layer.mode, layer.mode)
    expected = torch.nn.functional.pad(image.permute(0, 3, 1, 2), (pw, pw, ph, ph), mode)
    expected = expected.permute(0, 2, 3, 1)
    expected.backward(torch.tensor(dy))
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_allclose(layer.backward(dy, cache)[0], image.grad.numpy(), rtol=0, atol=1e-14)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="mode is 'mirror'; expected zeros or reflect"):
        Pad2d(1, "mirror")
    with pytest.raises(ValueError, match="padding is -1; expected at least 0"):
        Pad2d(-1)
    with pytest.raises(ValueError, match=r"expects an input of shape \(N, H, W, C\), got \(4, 3\)"):
        Pad2d(3, "reflect").forward(np.ones((4, 3)))


@pytest.mark.parametrize("text", ["Pad2d(2)", "Pad2d((1, 2), mode='reflect')"])
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
