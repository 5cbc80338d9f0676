"""Every equality of surgery.py: hypothesis draws the networks, the sizes and the weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import models, surgery
from minifcn.geometry import view
from minifcn.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
)
from minifcn.network import Network

seeds = st.integers(0, 2**32 - 1)


def close(a, b, tolerance=1e-10):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


# ---------------------------------------------------------------- a fully connected layer is a convolution


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5)),
    out=st.integers(1, 6),
    N=st.integers(1, 3),
    bias=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=seeds,
)
def test_a_linear_layer_equals_its_convolution(shape, out, N, bias, dtype, seed):
    rng = np.random.default_rng(seed)
    linear = Linear(int(np.prod(shape)), out, bias, rng=rng, dtype=dtype)
    if bias:
        linear.params["bias"][:] = rng.standard_normal(out)
    conv = surgery.to_conv(linear, shape)
    x = rng.standard_normal((N, *shape)).astype(dtype)
    dy = rng.standard_normal((N, out)).astype(dtype)
    y, cache = linear.forward(x.reshape(N, -1))
    maps, conv_cache = conv.forward(x)
    tolerance = 1e-10 if dtype is np.float64 else 1e-4
    close(maps, y.reshape(N, 1, 1, out), tolerance)
    dx, grads = linear.backward(dy, cache)
    dmaps, conv_grads = conv.backward(dy.reshape(N, 1, 1, out), conv_cache)
    close(dmaps, dx.reshape(x.shape), tolerance)
    assert conv_grads.keys() == grads.keys()
    for key in grads:
        close(conv_grads[key].reshape(grads[key].shape), grads[key], tolerance)
    assert np.shares_memory(conv.params["weight"], linear.params["weight"])
    back = surgery.to_linear(conv, shape)
    assert np.shares_memory(back.params["weight"], linear.params["weight"])
    assert np.array_equal(back.params["weight"], linear.params["weight"])
    assert (back.in_features, back.out_features) == (linear.in_features, linear.out_features)


@pytest.mark.parametrize(
    ("shape", "out"), [((3, 3, 5), 4096), ((6, 6, 256), 64), ((7, 7, 512), 32), ((1, 1, 4096), 1000)]
)
def test_worked_sizes(shape, out):
    """3x3x5 -> 4096, AlexNet's 6x6x256 and VGG16's 7x7x512 (fewer outputs here), and fc8's 1x1x4096 -> 1000."""
    linear = Linear(int(np.prod(shape)), out, rng=0)
    conv = surgery.to_conv(linear, shape)
    assert conv.params["weight"].shape == (*shape, out)
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    close(conv.forward(x)[0].reshape(2, out), linear.forward(x.reshape(2, -1))[0], 1e-4)


def test_the_flattening_order_is_rows_columns_channels():
    linear = Linear(2 * 3 * 2, 1, bias=False, rng=0)
    weight = surgery.to_conv(linear, (2, 3, 2)).params["weight"]
    for y in range(2):
        for x in range(3):
            for c in range(2):
                assert weight[y, x, c, 0] == linear.params["weight"][(y * 3 + x) * 2 + c, 0]


def test_layers_that_do_not_fit():
    with pytest.raises(ValueError, match=r"has 12 inputs; 2x2x2 = 8 do not fit"):
        surgery.to_conv(Linear(12, 3), (2, 2, 2))
    for conv in (Conv2d(2, 3, 2), Conv2d(2, 3, 3, padding=1), Conv2d(2, 3, 3, dilation=2)):
        with pytest.raises(ValueError, match="does not cover an input of 3x3"):
            surgery.to_linear(conv, (3, 3, 2))
    with pytest.raises(ValueError, match="2 channels at once"):
        surgery.to_linear(Conv2d(2, 4, 3, groups=2), (3, 3, 2))


# ---------------------------------------------------------------- whole classifiers


@st.composite
def classifiers(draw, padding=True):
    """A classifier with a random trunk and a tail of one to three linear layers, or global average pooling."""
    rng = np.random.default_rng(draw(seeds))
    H, W, C = draw(st.integers(14, 18)), draw(st.integers(14, 18)), draw(st.integers(1, 3))
    net, channels = Network((1, H, W, C)), C
    for k in range(draw(st.integers(1, 2))):
        width = draw(st.integers(1, 4))
        pad = draw(st.integers(0, 1)) if padding else 0
        net.add(f"conv{k}", Conv2d(channels, width, draw(st.integers(1, 3)), padding=pad, rng=rng))
        net.add(f"act{k}", draw(st.sampled_from([ReLU(), Sigmoid()])))
        if draw(st.booleans()):
            net.add(f"pool{k}", draw(st.sampled_from([MaxPool2d(2), AvgPool2d(2), MaxPool2d(3, stride=2)])))
        channels = width
    _, h, w, _ = net.shapes(net.image_shape)[net.output]
    if draw(st.booleans()):
        net.add("gap", GlobalAvgPool2d())
        features = channels
    else:
        net.add("flatten", Flatten())
        features = h * w * channels
    for k in range(draw(st.integers(1, 3))):
        width = draw(st.integers(1, 5))
        net.add(f"fc{k}", Linear(features, width, rng=rng))
        if draw(st.booleans()):
            net.add(f"relu_fc{k}", ReLU())
            net.add(f"drop{k}", Dropout(0.5))
        features = width
    return net.astype(np.float64), (H, W, C)


@given(classifiers(), seeds)
def test_a_convolutionized_classifier_gives_the_same_scores_and_gradients(drawn, seed):
    net, shape = drawn
    fcn = surgery.convolutionize(net, shape)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, *shape))
    scores, tape = net.forward(x)
    maps, fcn_tape = fcn.forward(x)
    close(maps, scores[:, None, None])
    dscores = rng.standard_normal(scores.shape)
    grads = net.backward(dscores, tape, image_gradient=True)
    fcn_grads = fcn.backward(dscores[:, None, None], fcn_tape, image_gradient=True)
    assert grads.keys() == fcn_grads.keys()
    for name in grads:
        close(fcn_grads[name].reshape(grads[name].shape), grads[name])
    for name, array in net.params.items():
        assert np.shares_memory(array, fcn.params[name]), f"{name} is shared, so training one trains both"


def test_dropout_between_flatten_and_linear():
    """As in PyTorch's AlexNet."""
    net = Network((1, 8, 8, 3))
    net.add("conv", Conv2d(3, 4, 3, rng=0))
    net.add("flatten", Flatten())
    net.add("drop", Dropout(0.5))
    net.add("relu", ReLU())
    net.add("fc", Linear(144, 5, rng=0))
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
    close(surgery.convolutionize(net, (8, 8, 3))(x)[:, 0, 0], net(x), 1e-5)


def test_a_classifier_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"layer fc6: .* expects an input of shape"):
        surgery.convolutionize(models.window_net(3, rng=0), (40, 40, 3))


@given(size=st.tuples(st.integers(32, 50), st.integers(32, 50)), seed=seeds)
def test_the_mean_of_an_activation_map_is_the_score(size, seed):
    rng = np.random.default_rng(seed)
    net = models.gap_net(5, width=4, rng=rng).astype(np.float64)
    net.params["fc.bias"][:] = rng.standard_normal(5)
    x = rng.standard_normal((2, *size, 3))
    maps = surgery.class_activation_maps(net)(x)
    close(maps.mean(axis=(1, 2)), net(x))
    assert maps.shape[1] > 1


def test_activation_maps_need_global_average_pooling():
    with pytest.raises(ValueError, match="ends in GlobalAvgPool2d and Linear"):
        surgery.class_activation_maps(models.window_net(3, rng=0))
    single = Network()
    single.add("conv", Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="ends in GlobalAvgPool2d and Linear"):
        surgery.class_activation_maps(single)


# ---------------------------------------------------------------- a convolution is a matrix


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 2))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    options = {
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "groups": groups,
        "bias": False,
        "rng": draw(seeds),
        "dtype": np.float64,
    }
    C, K = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    conv = Conv2d(C, K, kernel, **options)
    sizes = [
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 7))
        for k, p, d in zip(kernel, options["padding"], options["dilation"])
    ]
    return conv, (*sizes, C), kernel, options


@given(convolutions(), seeds)
def test_a_convolution_is_its_matrix_and_its_gradient_the_transpose(drawn, seed):
    conv, shape, kernel, options = drawn
    rng = np.random.default_rng(seed)
    matrix = surgery.to_matrix(conv, shape)
    x = rng.standard_normal((1, *shape))
    y, cache = conv.forward(x)
    close(matrix @ x.ravel(), y.ravel())
    dy = rng.standard_normal(y.shape)
    close(matrix.T @ dy.ravel(), conv.backward(dy, cache)[0].ravel())

    # The transposed convolution with the same weights; its output padding says which input size was meant.
    extra = [
        n - ((o - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, o, s, p, d, k in zip(
            shape, y.shape[1:3], options["stride"], options["padding"], options["dilation"], kernel
        )
    ]
    transposed = ConvTranspose2d(
        conv.out_channels, conv.in_channels, kernel, output_padding=tuple(extra), **options
    )
    transposed.params["weight"] = conv.params["weight"]
    assert np.array_equal(surgery.to_matrix(transposed, y.shape[1:]), matrix.T)
    close(matrix.T @ dy.ravel(), transposed.forward(dy)[0].ravel())


def test_the_matrix_is_mostly_zero():
    matrix = surgery.to_matrix(Conv2d(1, 1, 3, rng=0), (10, 10, 1))
    assert matrix.shape == (64, 100)
    assert np.count_nonzero(matrix) == 64 * 9


# ---------------------------------------------------------------- multiplications


def test_multiply_adds_of_known_layers():
    net = Network((1, 8, 8, 3))
    net.add("conv", Conv2d(3, 4, 3, padding=1))
    assert surgery.multiply_adds(net, (2, 8, 8, 3)) == 2 * 8 * 8 * 3 * 3 * 3 * 4
    net.add("up", ConvTranspose2d(4, 5, 4, stride=2))
    assert surgery.multiply_adds(net, (1, 8, 8, 3)) == 8 * 8 * 27 * 4 + 8 * 8 * 16 * 4 * 5


def test_convolutionizing_saves_work_and_keeps_the_stride():
    net = models.window_net(3, width=4, rng=0)
    fcn = surgery.convolutionize(net, (32, 32, 3))
    assert surgery.multiply_adds(fcn, (1, 32, 32, 3)) == surgery.multiply_adds(net, (1, 32, 32, 3))
    windows = ((96 - 32) // 4 + 1) ** 2
    assert (
        surgery.multiply_adds(fcn, (1, 96, 96, 3)) < windows * surgery.multiply_adds(net, (1, 32, 32, 3)) / 5
    )
    assert view(fcn, fcn.output).stride == 4
