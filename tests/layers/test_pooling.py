"""MaxPool2d, AvgPool2d and GlobalAvgPool2d: gradients, identities, and PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import distinct, images, pooling
from minifcn.layers import AvgPool2d, Conv2d, GlobalAvgPool2d, MaxPool2d

seeds = st.integers(0, 2**32 - 1)
small = st.one_of(pooling(MaxPool2d), pooling(AvgPool2d))
large = st.one_of(pooling(MaxPool2d, more=12, channels=12), pooling(AvgPool2d, more=12, channels=12))


@given(case=small, data=st.data(), seed=seeds)
def test_gradients(case, data, seed):
    layer, shape = case
    check_layer(layer, data.draw(distinct(shape)), rng=seed)


@given(case=large, data=st.data(), seed=seeds)
def test_adjoint(case, data, seed):
    layer, shape = case
    check_layer(layer, data.draw(distinct(shape)), rng=seed, adjoint=True)


@given(x=images(), seed=seeds)
def test_global_average_gradients(x, seed):
    check_layer(GlobalAvgPool2d(), x, rng=seed)


@given(x=images())
def test_global_average_is_an_average_pool_of_the_whole_image(x):
    expected, _ = AvgPool2d(x.shape[1:3]).forward(x)
    np.testing.assert_allclose(GlobalAvgPool2d().forward(x)[0], expected[:, 0, 0], rtol=0, atol=1e-14)


@st.composite
def in_both_modes(draw, kind):
    """A layer without ceil_mode, the same with it, and an image for both."""
    layer, (N, H, W, C) = draw(pooling(kind))
    w = layer.window
    options = (w.kernel_size, w.stride, w.padding, w.dilation)
    H, W = (max(n, d * (k - 1) + 1 - 2 * p) for n, k, _, p, d in zip((H, W), *options))
    return kind(*options), kind(*options, ceil_mode=True), draw(distinct((N, H, W, C)))


@given(case=in_both_modes(AvgPool2d))
def test_average_is_a_convolution_with_equal_weights(case):
    layer, _, x = case
    (kh, kw), C, w = layer.window.kernel_size, x.shape[3], layer.window
    conv = Conv2d(C, C, (kh, kw), w.stride, w.padding, w.dilation, groups=C, bias=False, dtype=np.float64)
    conv.params["weight"] = np.full((kh, kw, 1, C), 1 / (kh * kw))
    np.testing.assert_allclose(layer.forward(x)[0], conv.forward(x)[0], rtol=0, atol=1e-14)


@given(case=st.one_of(in_both_modes(MaxPool2d), in_both_modes(AvgPool2d)))
def test_ceil_mode_only_adds_windows_at_the_far_sides(case):
    floor, ceil, x = case
    (y, _), (more, _) = floor.forward(x), ceil.forward(x)
    np.testing.assert_array_equal(more[:, : y.shape[1], : y.shape[2]], y)
    assert more.shape[1] - y.shape[1] in (0, 1) and more.shape[2] - y.shape[2] in (0, 1)


@given(case=pooling(MaxPool2d), data=st.data(), factor=st.floats(0.5, 2), shift=st.floats(-9, 9))
def test_a_maximum_moves_with_its_pixels(case, data, factor, shift):
    """Padding with anything but -inf breaks this: -9 is less than no zero."""
    layer, shape = case
    x = data.draw(distinct(shape))
    moved, _ = layer.forward(factor * x + shift)
    np.testing.assert_array_equal(moved, factor * layer.forward(x)[0] + shift)


@given(case=pooling(MaxPool2d), data=st.data())
def test_the_maximum_of_minus_x_is_minus_the_minimum(case, data):
    layer, shape = case
    x = data.draw(distinct(shape))
    y, _ = layer.forward(-x)
    (kh, kw), (sh, sw) = layer.window.kernel_size, layer.window.stride
    (ph, pw), (dh, dw) = layer.window.padding, layer.window.dilation
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=np.inf)
    for i, j in np.ndindex(y.shape[1:3]):
        window = padded[:, i * sh : i * sh + dh * kh : dh, j * sw : j * sw + dw * kw : dw]
        np.testing.assert_array_equal(y[:, i, j], -window.min(axis=(1, 2)))


@given(case=small, data=st.data())
def test_every_channel_and_image_is_pooled_by_itself(case, data):
    layer, shape = case
    x = data.draw(distinct(shape))
    y, _ = layer.forward(x)
    for n, c in np.ndindex(shape[0], shape[3]):
        alone, _ = layer.forward(x[n : n + 1, :, :, c : c + 1])
        np.testing.assert_array_equal(y[n : n + 1, :, :, c : c + 1], alone)


@pytest.mark.parametrize(
    ("size", "options", "output"),
    [
        (5, {"kernel_size": 2}, 2),
        (5, {"kernel_size": 2, "ceil_mode": True}, 3),
        (6, {"kernel_size": 2, "ceil_mode": True}, 3),
        (1, {"kernel_size": 2, "ceil_mode": True}, 1),
        (6, {"kernel_size": 3, "stride": 2}, 2),
        (6, {"kernel_size": 3, "stride": 2, "padding": 1}, 3),
        (6, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, 4),
        (7, {"kernel_size": 3, "stride": 2, "dilation": 2}, 2),
        (7, {"kernel_size": 2, "dilation": 4}, 2),
        # the third window would start at 2 * 3 - 1 = 5, in the padding, and is left out
        (5, {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}, 2),
    ],
)
@pytest.mark.parametrize("layer", [MaxPool2d, AvgPool2d])
def test_output_sizes(layer, size, options, output):
    pool = layer(**options)
    assert pool.output_shape((2, size, 9, 3))[1] == output
    assert pool.forward(np.ones((2, 9, size, 3)))[0].shape[2] == output


def test_of_equal_pixels_the_first_gets_the_gradient():
    y, cache = MaxPool2d((2, 3)).forward(np.array([[1.0, 7, 7], [7, 7, 2]]).reshape(1, 2, 3, 1))
    dx, _ = MaxPool2d((2, 3)).backward(np.full(y.shape, 5.0), cache)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 5, 0], [0, 0, 0]])


def test_a_nan_is_the_maximum():
    x = np.zeros((1, 2, 6, 1), np.float32)
    x[0, 1, 1], x[0, 0, 2], x[0, 0, 4] = np.nan, np.nan, np.inf
    y, (at, _, _) = MaxPool2d(2).forward(x)
    np.testing.assert_array_equal(y.ravel(), [np.nan, np.nan, np.inf])
    assert at.ravel().tolist() == [3, 0, 0]  # which of the four


def test_a_window_beyond_the_padding_counts_only_the_pixels_it_has():
    y, _ = AvgPool2d(2, ceil_mode=True).forward(np.full((1, 3, 3, 1), 6.0))
    np.testing.assert_array_equal(y[0, :, :, 0], [[6, 6], [6, 6]])
    y, _ = AvgPool2d(2, padding=1).forward(np.full((1, 2, 2, 1), 6.0))
    np.testing.assert_array_equal(y[0, :, :, 0], [[1.5, 1.5], [1.5, 1.5]])


def test_a_window_that_meets_no_pixel():
    """The two taps of a dilated kernel can lie on either side of a small image."""
    x = np.full((1, 1, 1, 1), 6.0)
    for layer, value in ((MaxPool2d(2, 1, 1, dilation=2), -np.inf), (AvgPool2d(2, 1, 1, dilation=2), 0)):
        y, cache = layer.forward(x)
        assert y.shape == (1, 1, 1, 1) and y.item() == value
        dx, _ = layer.backward(np.ones_like(y), cache)
        assert dx.item() == 0


# ---------------------------------------------------------------- PyTorch


@st.composite
def known_to_pytorch(draw):
    """PyTorch dilates no average pooling, and pads a maximum by half of the undilated kernel at most."""
    kind, more, channels = (
        draw(st.sampled_from([MaxPool2d, AvgPool2d])),
        *draw(st.sampled_from([(4, 4), (12, 12)])),
    )
    layer, (N, H, W, C) = draw(pooling(kind, more, channels, dilation=2 if kind is MaxPool2d else 1))
    w = layer.window
    padding = tuple(min(p, k // 2) for p, k in zip(w.padding, w.kernel_size))
    H, W = (n + 2 * (p - less) for n, p, less in zip((H, W), w.padding, padding))
    return kind(w.kernel_size, w.stride, padding, w.dilation, layer.ceil_mode), (N, H, W, C)


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.set_num_threads(1)
    return torch


@pytest.mark.oracle
@given(case=known_to_pytorch(), data=st.data(), seed=seeds)
def test_pytorch_computes_the_same(torch, case, data, seed):
    layer, shape = case
    x = data.draw(distinct(shape))
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx, _ = layer.backward(dy, cache)

    window = layer.window
    options = {"stride": window.stride, "padding": window.padding, "ceil_mode": layer.ceil_mode}
    pool = torch.nn.functional.avg_pool2d
    if isinstance(layer, MaxPool2d):
        pool, options["dilation"] = torch.nn.functional.max_pool2d, window.dilation
    images = torch.tensor(x, requires_grad=True)
    expected = pool(images.permute(0, 3, 1, 2), window.kernel_size, **options).permute(0, 2, 3, 1)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(dx, images.grad.numpy(), rtol=0, atol=1e-10)


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("layer", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel_size": 0}, ValueError, r"kernel_size is 0; expected at least 1"),
        ({"kernel_size": (2, 2, 2)}, TypeError, r"kernel_size is \(2, 2, 2\); expected a whole number or"),
        ({"kernel_size": 2, "stride": 0}, ValueError, r"stride is 0; expected at least 1"),
        ({"kernel_size": 2, "stride": 1.5}, TypeError, r"stride is 1.5; expected a whole number or a pair"),
        ({"kernel_size": 2, "dilation": 0}, ValueError, r"dilation is 0; expected at least 1"),
        ({"kernel_size": 2, "padding": -1}, ValueError, r"padding is -1; expected at least 0"),
        (
            {"kernel_size": 3, "padding": 2},
            ValueError,
            r"padding \(=2\) must be at most half of kernel_size \(=3\)",
        ),
        (
            {"kernel_size": (4, 1), "padding": (2, 1)},
            ValueError,
            r"padding \(=\(2, 1\)\) must be at most half of kernel_size \(=\(4, 1\)\)",
        ),
    ],
)
def test_options_that_make_no_sense(layer, options, error, message):
    with pytest.raises(error, match=message):
        layer(**options)


@pytest.mark.parametrize("layer", [MaxPool2d(2), AvgPool2d(2)])
def test_images_that_do_not_fit(layer):
    with pytest.raises(ValueError, match=r"the window does not fit into an image of 5x1 and its padding"):
        layer.forward(np.ones((1, 5, 1, 1)))
    with pytest.raises(ValueError, match=r"shape \(N, H, W, C\), got \(4, 4, 1\)"):
        layer.forward(np.ones((4, 4, 1)))
    with pytest.raises(TypeError, match=r"expects a float32 or float64 array, got int64"):
        layer.forward(np.ones((1, 4, 4, 1), np.int64))


@pytest.mark.parametrize(
    "text",
    [
        "MaxPool2d(2)",
        "AvgPool2d((3, 2), stride=1, padding=1, ceil_mode=True)",
        "MaxPool2d(3, stride=(2, 1), padding=(0, 1), dilation=2)",
        "GlobalAvgPool2d()",
    ],
)
def test_repr_is_the_call_that_makes_it(text):
    assert repr(eval(text)) == text
