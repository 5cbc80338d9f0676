"""Add, Concat and Crop: gradients, values, and inputs that do not fit together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import distinct, images
from minifcn.layers import Add, Concat, Crop

seeds = st.integers(0, 2**32 - 1)
channels = st.lists(st.integers(1, 3), min_size=1, max_size=3)
offsets = st.tuples(st.integers(0, 3), st.integers(0, 3))


@given(data=st.data(), inputs=st.integers(1, 3), seed=seeds)
def test_add(data, inputs, seed):
    shape = data.draw(images(largest=4)).shape
    parts = [data.draw(distinct(shape)) for _ in range(inputs)]
    check_layer(Add(), *parts, rng=seed)
    y, cache = Add().forward(*parts)
    np.testing.assert_allclose(y, np.sum(parts, axis=0), rtol=1e-15, atol=1e-15)
    dx, _ = Add().backward(y, cache)
    assert isinstance(dx, tuple) and len(dx) == inputs


@given(data=st.data(), channels=channels, seed=seeds)
def test_concat(data, channels, seed):
    N, H, W, _ = data.draw(images(largest=4)).shape
    parts = [data.draw(distinct((N, H, W, C))) for C in channels]
    check_layer(Concat(), *parts, rng=seed)
    y, _ = Concat().forward(*parts)
    first = 0
    for part in parts:
        np.testing.assert_array_equal(y[..., first : first + part.shape[3]], part)
        first += part.shape[3]
    assert y.shape[3] == first


@given(data=st.data(), like=images(largest=4), offset=offsets, seed=seeds)
def test_crop(data, like, offset, seed):
    (N, h, w, _), (top, left) = like.shape, offset
    bottom, right, C = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 3)))
    x = data.draw(distinct((N, top + h + bottom, left + w + right, C)))
    layer = Crop(offset)
    check_layer(layer, x, like, rng=seed)

    y, cache = layer.forward(x, like)
    np.testing.assert_array_equal(y, x[:, top : top + h, left : left + w])
    dy = data.draw(distinct(y.shape))
    (dx, dlike), grads = layer.backward(dy, cache)
    np.testing.assert_array_equal(dx, np.pad(dy, ((0, 0), (top, bottom), (left, right), (0, 0))))
    assert dlike is None and grads == {}


@given(x=images(), offset=offsets)
def test_a_crop_at_an_offset_undoes_a_frame(x, offset):
    (top, left) = offset
    frame = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)))
    np.testing.assert_array_equal(Crop(offset).forward(frame, x)[0], x)


def test_one_offset_counts_for_both_axes():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    assert Crop(2).forward(x, x[:, :1, :1])[0].item() == 8.0
    assert Crop((2, 0)).forward(x, x[:, :1, :1])[0].item() == 6.0
    assert Crop((0, 2)).forward(x, x[:, :1, :1])[0].item() == 2.0


def test_inputs_that_do_not_fit_together():
    small, wide, deep = np.ones((1, 2, 2, 3)), np.ones((1, 2, 3, 3)), np.ones((1, 2, 2, 4))
    with pytest.raises(ValueError, match=r"one shape, got \(1, 2, 2, 3\), \(1, 2, 2, 4\)"):
        Add().forward(small, deep)
    with pytest.raises(ValueError, match=r"differ in channels only, got \(1, 2, 2, 3\), \(1, 2, 3, 3\)"):
        Concat().forward(small, wide)
    with pytest.raises(ValueError, match=r"Crop\(1\) cannot cut 2x2 out of an input of 2x3"):
        Crop(1).forward(wide, small)
    with pytest.raises(ValueError, match=r"Crop\(\(0, 2\)\) cannot cut 2x2 out of an input of 2x3"):
        Crop((0, 2)).forward(wide, small)
    with pytest.raises(ValueError, match=r"offset is -1; expected at least 0"):
        Crop(-1)


@pytest.mark.parametrize("layer", [Add(), Concat()])
def test_inputs_of_different_types(layer):
    x = np.ones((1, 2, 2, 3))
    with pytest.raises(TypeError, match=r"float64.*float32"):
        layer.forward(x, x.astype(np.float32))
    with pytest.raises(TypeError, match="expects a float32 or float64 array, got uint8"):
        layer.forward(x.astype(np.uint8), x)


@pytest.mark.parametrize("text", ["Add()", "Concat()", "Crop(0)", "Crop((3, 4))"])
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
