"""Upsample2d, ResizeLike and AdaptiveAvgPool2d: gradients, identities, and PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import initialize
from minifcn.check import check_layer
from minifcn.check.cases import distinct, images
from minifcn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    ResizeLike,
    Upsample2d,
)

seeds = st.integers(0, 2**32 - 1)
pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))
layers = st.builds(Upsample2d, pairs, st.sampled_from(["nearest", "bilinear"])) | pairs.map(AdaptiveAvgPool2d)


@given(layer=layers, x=images(), seed=seeds)
def test_gradients(layer, x, seed):
    check_layer(layer, x, rng=seed)


@given(layer=layers, x=images(largest=20, channels=20), seed=seeds)
def test_adjoint(layer, x, seed):
    check_layer(layer, x, rng=seed, adjoint=True)


@given(layer=layers, x=images(), value=st.floats(-9, 9, allow_subnormal=False))
def test_one_colour_stays_that_colour(layer, x, value):
    y, _ = layer.forward(np.full_like(x, value))
    np.testing.assert_allclose(y, value, rtol=1e-14)


@given(factors=pairs, x=images())
def test_nearest_repeats_pixels(factors, x):
    y, _ = Upsample2d(factors).forward(x)
    np.testing.assert_array_equal(y, x.repeat(factors[0], axis=1).repeat(factors[1], axis=2))


@given(factor=st.integers(2, 5), x=images(largest=5, channels=2))
def test_bilinear_is_the_transposed_convolution_of_fcn_away_from_the_border(factor, x):
    size = 2 * factor - factor % 2
    layer = ConvTranspose2d(
        x.shape[3], x.shape[3], size, factor, padding=(size - factor) // 2, bias=False, dtype=np.float64
    )
    layer.params["weight"] = initialize.bilinear(size, x.shape[3], np.float64)
    expected, (y, _) = layer.forward(x)[0], Upsample2d(factor, "bilinear").forward(x)
    inside = slice(factor, -factor)
    np.testing.assert_allclose(y[:, inside, inside], expected[:, inside, inside], rtol=0, atol=1e-14)


@given(bins=pairs, size=pairs, data=st.data())
def test_bins_side_by_side_are_average_pooling(bins, size, data):
    x = data.draw(distinct((2, bins[0] * size[0], bins[1] * size[1], 3)))
    y, _ = AdaptiveAvgPool2d(bins).forward(x)
    np.testing.assert_allclose(y, AvgPool2d(size).forward(x)[0], rtol=0, atol=1e-14)


@given(x=images(largest=9))
def test_one_bin_is_the_mean_of_all(x):
    y, _ = AdaptiveAvgPool2d(1).forward(x)
    np.testing.assert_allclose(y[:, 0, 0], GlobalAvgPool2d().forward(x)[0], rtol=0, atol=1e-14)


def test_bins_overlap_where_they_must():
    y, cache = AdaptiveAvgPool2d((1, 2)).forward(np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1))
    assert y.ravel().tolist() == [1.5, 4.0]
    dx, _ = AdaptiveAvgPool2d((1, 2)).backward(np.array([2.0, 4.0]).reshape(y.shape), cache)
    assert dx.ravel().tolist() == [1.0, 3.0, 2.0]


# ---------------------------------------------------------------- to the size of another


def canvas(x, size):
    return np.zeros((len(x), *size, 2), x.dtype)


@given(x=images(), size=pairs, seed=seeds)
def test_gradients_of_resizing(x, size, seed):
    check_layer(ResizeLike(), x, canvas(x, size), rng=seed)


@given(x=images(), size=pairs)
def test_corners_stay_corners_and_a_ramp_stays_a_ramp(x, size):
    y, _ = ResizeLike().forward(x, canvas(x, size))
    assert y.shape == (len(x), *size, x.shape[3])
    for i in (0, -1) if size[0] > 1 else (0,):
        for j in (0, -1) if size[1] > 1 else (0,):
            np.testing.assert_allclose(y[:, i, j], x[:, i, j], rtol=0, atol=1e-13)
    ramp = np.broadcast_to(np.linspace(0, 1, x.shape[1])[:, None, None], x.shape[1:])[None]
    expected = np.linspace(0, 1, size[0]) if x.shape[1] > 1 else np.zeros(size[0])
    found, _ = ResizeLike().forward(np.ascontiguousarray(ramp), canvas(ramp, size))
    np.testing.assert_allclose(found[0, :, 0, 0], expected, rtol=0, atol=1e-13)


@pytest.mark.oracle
@given(x=images(largest=9, channels=9), size=st.tuples(*[st.integers(1, 12)] * 2), seed=seeds)
def test_pytorch_resizes_the_same(x, size, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    y, cache = ResizeLike().forward(x, canvas(x, size))
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    (dx, nothing), _ = ResizeLike().backward(dy, cache)
    image = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.interpolate(
        image.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True
    ).permute(0, 2, 3, 1)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, image.grad.numpy(), rtol=0, atol=1e-12)
    assert nothing is None


# ---------------------------------------------------------------- PyTorch


@pytest.mark.oracle
@given(layer=layers, x=images(largest=9, channels=9), seed=seeds)
def test_pytorch_computes_the_same(layer, x, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx, _ = layer.backward(dy, cache)

    image = torch.tensor(x, requires_grad=True)
    if isinstance(layer, AdaptiveAvgPool2d):
        expected = torch.nn.functional.adaptive_avg_pool2d(image.permute(0, 3, 1, 2), layer.numbers)
    else:
        options = {"align_corners": False} if layer.mode == "bilinear" else {}
        expected = torch.nn.functional.interpolate(
            image.permute(0, 3, 1, 2), scale_factor=layer.numbers, mode=layer.mode, **options
        )
    expected = expected.permute(0, 2, 3, 1)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, image.grad.numpy(), rtol=0, atol=1e-12)


# ---------------------------------------------------------------- what does not fit


def test_options_that_make_no_sense():
    with pytest.raises(ValueError, match="mode is 'cubic'; expected nearest or bilinear"):
        Upsample2d(2, "cubic")
    with pytest.raises(ValueError, match="scale_factor is 0; expected at least 1"):
        Upsample2d(0)
    with pytest.raises(TypeError, match=r"scale_factor is 1\.5; expected a whole number"):
        Upsample2d(1.5)
    with pytest.raises(ValueError, match="bins is 0; expected at least 1"):
        AdaptiveAvgPool2d(0)


@pytest.mark.parametrize(
    "text", ["Upsample2d(2, mode='nearest')", "Upsample2d((2, 3), mode='bilinear')", "AdaptiveAvgPool2d(6)"]
)
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
