"""Strides, offsets, receptive fields and crops: the formulas against what networks do to real arrays."""

import math
import re
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import initialize
from minifcn.geometry import IMAGE, crop_offset, view
from minifcn.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
)
from minifcn.models import fcn2s, fcn4s, fcn8s, fcn16s, fcn32s
from minifcn.network import Network

AXES = (0, 1)


def pairs(low, high):
    """Two numbers drawn separately, so that no test is blind to swapped axes."""
    return st.tuples(st.integers(low, high), st.integers(low, high))


def positive(layer, rng):
    """Random weights above zero: nothing cancels, so a gradient is zero only where nothing is seen."""
    layer.params["weight"] = rng.uniform(0.5, 1, layer.params["weight"].shape)
    return layer


def averaging(layer):
    """Equal weights that add up to one."""
    shape = layer.params["weight"].shape
    layer.params["weight"] = np.full(shape, 1 / math.prod(shape[:2]))
    return layer


def interpolating(stride, padding=0):
    """Bilinear upsampling, with another factor along each axis."""
    lines = [initialize.bilinear_1d(2 * s - s % 2) for s in stride]
    layer = ConvTranspose2d(1, 1, tuple(map(len, lines)), stride, padding, bias=False)
    layer.params["weight"] = np.outer(*lines)[:, :, None, None]
    return layer


def convolutions(most=2):
    return st.builds(
        lambda *window: Conv2d(1, 1, *window, bias=False, dtype=np.float64),
        pairs(1, 4), pairs(1, most), pairs(0, 2), pairs(1, 3),
    )  # fmt: skip


def pools():
    return st.builds(AvgPool2d, pairs(2, 4), pairs(1, 2), pairs(0, 1), pairs(1, 2), st.booleans())


def upsamplings():
    return st.builds(
        lambda kernel_size, stride, padding: ConvTranspose2d(1, 1, kernel_size, stride, padding, bias=False),
        pairs(1, 5), pairs(1, 3), pairs(0, 1),
    )  # fmt: skip


class Cut:
    """Stands for a crop by `offset` that leaves `spare` pixels at the far side."""

    def __init__(self, offset, spare):
        self.offset, self.spare = offset, spare


cuts = st.builds(Cut, pairs(0, 3), pairs(0, 2))


def chain(layers, net=None, prefix=""):
    """The layers behind one another. What a crop is cut to is a branch of its own, with a larger field."""
    net, path = net or Network(), [IMAGE]
    for k, layer in enumerate(layers):
        name = f"{prefix}{k}"
        if isinstance(layer, Cut):
            kernel_size = tuple(o + s + 1 for o, s in zip(layer.offset, layer.spare, strict=True))
            net.add(f"{name} like", Conv2d(1, 1, kernel_size, dtype=np.float64), path[-1])
            net.add(name, Crop(layer.offset), path[-1], f"{name} like")
        else:
            net.add(name, layer, path[-1])
        path.append(name)
    return net, path


def span(v, i):
    """The first and the last whole pixel from stride i + first to stride i + last."""
    return math.ceil(v.stride * i + v.first), math.floor(v.stride * i + v.last)


def shapes(net, size):
    """The shapes for an image of this size, None if it is too small."""
    try:
        return net.shapes((1, *size, 1))
    except ValueError:
        return None


def middle(net, *paths):
    """An image's size, and pixels i, i + 1, i + 2 along each axis where the ends of all paths meet no border.

    That is to say: what they see of every node on their path lies inside it.
    """
    pairs = [middle_of_axis(net, paths, axis) for axis in AXES]
    return [n for n, _ in pairs], [i for _, i in pairs]


def middle_of_axis(net, paths, axis):
    views = [(node, view(net, path[-1], of=node, axis=axis)) for path in paths for node in path]
    for n in range(2, 1000, 3):
        if found := shapes(net, (n, n)):
            size = {node: shape[1 + axis] for node, shape in found.items()}
            i = min(size[path[-1]] for path in paths) // 2 - 1
            if all(span(v, i)[0] >= 0 and span(v, i + 2)[1] < size[node] for node, v in views):
                return n, i
    raise AssertionError("no image is large enough")


def seen(net, size, pixel):
    """The rows and the columns of the image on which this output pixel depends, measured."""
    y, tape = net.forward(np.ones((1, *size, 1)))
    dy = np.zeros_like(y)
    dy[0, *pixel, 0] = 1
    gradient = net.backward(dy, tape, image_gradient=True)[IMAGE][0, :, :, 0]
    return np.flatnonzero(gradient.any(axis=1)), np.flatnonzero(gradient.any(axis=0))


# ---------------------------------------------------------------- formulas against arrays


@given(st.lists(st.one_of(convolutions(), pools(), cuts), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_a_pixel_sees_its_receptive_field_and_nothing_else(layers, seed):
    rng = np.random.default_rng(seed)
    layers = [positive(layer, rng) if isinstance(layer, Conv2d) else layer for layer in layers]
    net, path = chain(layers)
    size, pixel = middle(net, path)
    for axis, found in enumerate(seen(net, size, pixel)):
        v = view(net, path[-1], axis=axis)
        assert (found[0], found[-1]) == span(v, pixel[axis])
        assert found[-1] - found[0] + 1 == v.field


@given(
    st.lists(st.one_of(convolutions(), pools(), upsamplings(), cuts), min_size=1, max_size=4),
    pairs(1, 20),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_at_borders_and_behind_upsampling_a_pixel_sees_no_more_than_its_field(layers, size, seed, data):
    rng = np.random.default_rng(seed)
    layers = [
        positive(layer, rng) if hasattr(layer, "params") and layer.params else layer for layer in layers
    ]
    net, path = chain(layers)
    while not shapes(net, size):
        size = (size[0] + 5, size[1] + 5)
    shape = shapes(net, size)[net.output]
    pixel = tuple(data.draw(st.integers(0, n - 1), label="pixel") for n in shape[1:3])
    for axis, found in enumerate(seen(net, size, pixel)):
        low, high = span(view(net, path[-1], axis=axis), pixel[axis])
        assert all(low <= n <= high for n in found)


symmetric = st.one_of(
    st.builds(averaging, convolutions()), pools(), st.builds(interpolating, pairs(1, 3), pairs(0, 1)), cuts
)


@given(st.lists(symmetric, min_size=1, max_size=4))
def test_a_ramp_through_averaging_layers_tells_where_pixels_are_centred(layers):
    """In an image whose pixels are their own coordinate, averaging and interpolation give back coordinates."""
    net, path = chain(layers)
    size, pixel = middle(net, path)
    for axis, ramp in enumerate(np.indices(size, np.float64)):
        v, y = view(net, path[-1], axis=axis), net(ramp[None, :, :, None])[0, :, :, 0]
        for near in (0, 1, 2):
            at = list(pixel)
            at[axis] += near
            assert y[*at] == pytest.approx(float(v.stride * at[axis] + v.offset), abs=1e-9)


@given(st.lists(st.one_of(convolutions(), pools(), upsamplings(), cuts), min_size=1, max_size=5), st.data())
def test_views_compose(layers, data):
    net, path = chain(layers)
    between = data.draw(st.sampled_from(path), label="between")
    for axis in AXES:
        whole = view(net, path[-1], axis=axis)
        outer, inner = view(net, path[-1], of=between, axis=axis), view(net, between, axis=axis)
        assert whole.stride == inner.stride * outer.stride
        assert whole.offset == inner.stride * outer.offset + inner.offset
        assert whole.first == inner.stride * outer.first + inner.first
        assert whole.last == inner.stride * outer.last + inner.last
        assert whole.offset == (whole.first + whole.last) / 2


same_stride = st.lists(st.one_of(st.builds(averaging, convolutions(most=1)), cuts), max_size=3)


@given(same_stride, same_stride, pairs(1, 3), pairs(1, 4))
def test_a_crop_brings_equal_coordinates_together(branch, other, factor, kernel_size):
    """One branch goes down and up again. Ramps measure how far apart the two are, in pixels."""
    down, up = AvgPool2d(kernel_size, factor), interpolating(factor)
    net, path = chain([*branch, down, up], prefix="a")
    net, other_path = chain(other, net, prefix="b")
    node, reference = path[-1], other_path[-1]
    size, pixel = middle(net, path, other_path)
    apart = []
    for ramp in np.indices(size, np.float64):
        maps = net.activations(ramp[None, :, :, None], [node, reference])
        apart.append(maps[reference][0, *pixel, 0] - maps[node][0, *pixel, 0])
    offset = np.round(apart).astype(int)
    if np.allclose(apart, offset) and min(offset) >= 0:
        assert crop_offset(net, node, reference) == tuple(offset)
    else:
        with pytest.raises(ValueError, match="would have to be cropped by"):
            crop_offset(net, node, reference)


# ---------------------------------------------------------------- known values


def released(model, **options):
    """The released network on VGG16, 21 classes, with weights of zero, which take neither time nor memory."""
    with mock.patch.object(initialize, "he", lambda shape, fan_in, rng, dtype: np.zeros(shape, dtype)):
        return model(21, "vgg16", **options)


@pytest.mark.parametrize(
    ("node", "field", "stride"),
    [("pool3", 44, 8), ("pool4", 100, 16), ("pool5", 212, 32), ("fc6", 404, 32), ("score_fr", 404, 32)],
)
def test_vgg16_has_the_published_fields_and_strides(node, field, stride):
    """The 404 pixels at stride 32 are those of Long, Shelhamer & Darrell (2015), table 1."""
    net = released(fcn32s)
    for axis in AXES:
        v = view(net, node, axis=axis)
        assert (v.field, v.stride) == (field, stride)


@given(st.integers(81, 300))
def test_fcn_crops_follow_from_the_padding(padding):
    """19, 27, 31, 5 and 9 in the released networks, which pad by 100; the skips do not depend on it."""
    for model, upsampled, expected in [
        (fcn32s, "upscore", {"score": padding - 81}),
        (fcn16s, "upscore16", {"score_pool4c": 5, "score": padding - 73}),
        (fcn8s, "upscore8", {"score_pool4c": 5, "score_pool3c": 9, "score": padding - 69}),
        (
            fcn4s,
            "upscore4",
            {"score_pool4c": 5, "score_pool3c": 9, "score_pool2c": 17, "score": padding - 67},
        ),
        (
            fcn2s,
            "upscore_pool1",
            {
                "score_pool4c": 5,
                "score_pool3c": 9,
                "score_pool2c": 17,
                "score_pool1c": 33,
                "score": padding - 66,
            },
        ),
    ]:
        net = released(model, padding=padding)
        assert crop_offset(net, upsampled, IMAGE) == (expected["score"],) * 2
        crops = {name: node.layer for name, node in net.nodes.items() if isinstance(node.layer, Crop)}
        assert {name: layer.offset for name, layer in crops.items()} == {
            k: (n, n) for k, n in expected.items()
        }
        score = view(net, "score")
        assert (score.stride, score.offset) == (1, 0)


def test_too_little_padding_leaves_nothing_to_crop():
    with pytest.raises(ValueError, match="upscore would have to be cropped by -1 pixels to lie on image"):
        released(fcn32s, padding=80)


def alexnet():
    """FCN-AlexNet's convolutions and pools, one channel wide: what they see does not depend on the channels."""
    net = Network()
    for name, layer in {
        "conv1": Conv2d(3, 1, kernel_size=11, stride=4, padding=100),
        "pool1": MaxPool2d(3, stride=2, ceil_mode=True),
        "conv2": Conv2d(1, 1, kernel_size=5, padding=2),
        "pool2": MaxPool2d(3, stride=2, ceil_mode=True),
        "conv3": Conv2d(1, 1, kernel_size=3, padding=1),
        "conv4": Conv2d(1, 1, kernel_size=3, padding=1),
        "conv5": Conv2d(1, 1, kernel_size=3, padding=1),
        "pool5": MaxPool2d(3, stride=2, ceil_mode=True),
        "fc6": Conv2d(1, 1, kernel_size=6),
        "fc7": Conv2d(1, 1, kernel_size=1),
        "score_fr": Conv2d(1, 1, kernel_size=1),
        "upscore": ConvTranspose2d(1, 1, kernel_size=63, stride=32, bias=False),
    }.items():
        net.add(name, layer)
    return net


def test_alexnet_has_the_published_field_and_crop():
    """355 pixels at stride 32: Long, Shelhamer & Darrell (2015), table 1. The crop is voc-fcn-alexnet's."""
    net = alexnet()
    assert (view(net, "fc6").field, view(net, "fc6").stride) == (355, 32)
    assert crop_offset(net, "upscore", IMAGE) == (18, 18)
    sizes = {name: shape[1] for name, shape in net.shapes((1, 500, 375, 3)).items()}
    expected = {"conv1": 173, "pool1": 86, "pool2": 43, "pool5": 21, "fc6": 16, "upscore": 543}
    assert {name: sizes[name] for name in expected} == expected


def test_alexnet_needs_the_odd_kernel():
    net = alexnet()
    net.add("even", ConvTranspose2d(1, 1, kernel_size=64, stride=32), "score_fr")
    with pytest.raises(ValueError, match="even would have to be cropped by 37/2 pixels to lie on image"):
        crop_offset(net, "even", IMAGE)


def dilated(*dilations):
    return chain([Conv2d(1, 1, kernel_size=3, padding=d, dilation=d) for d in dilations])


@given(st.integers(0, 12))
def test_doubling_dilations_double_the_field(most):
    """Yu & Koltun, Multi-scale context aggregation by dilated convolutions (2016), section 2."""
    net, path = dilated(*(2**k for k in range(most + 1)))
    assert view(net, path[-1]) == (1, 0, 1 - 2 ** (most + 1), 2 ** (most + 1) - 1)
    assert view(net, path[-1]).field == 2 ** (most + 2) - 1


def test_the_context_module_has_the_published_fields():
    """Yu & Koltun (2016), table 1; its last layer is 1x1."""
    net, path = dilated(1, 1, 2, 4, 8, 16, 1)
    net.add("last", Conv2d(1, 1, kernel_size=1))
    assert [view(net, name).field for name in [*path[1:], "last"]] == [3, 5, 9, 17, 33, 65, 67, 67]


# ---------------------------------------------------------------- where paths meet, and what has no geometry


@given(same_stride, same_stride)
def test_a_join_sees_what_all_its_branches_see(branch, other):
    net, path = chain(branch, prefix="a")
    net, other_path = chain(other, net, prefix="b")
    net.add("join", Concat(), path[-1], other_path[-1])
    for axis in AXES:
        a, b, v = (view(net, node, axis=axis) for node in (path[-1], other_path[-1], "join"))
        assert v == (1, a.offset, min(a.first, b.first), max(a.last, b.last))


def test_the_reference_of_a_crop_is_not_seen():
    net = Network()
    net.add("narrow", Conv2d(3, 1, kernel_size=3, padding=5), IMAGE)
    net.add("wide", Conv2d(3, 1, kernel_size=11, padding=5), IMAGE)
    net.add("crop", Crop(4), "narrow", "wide")
    assert view(net, "crop").field == 3
    assert view(net, "crop", of="narrow") == (1, 4, 4, 4)
    with pytest.raises(ValueError, match="'wide' does not feed 'crop'"):
        view(net, "crop", of="wide")


def test_view_says_what_is_not_there():
    net = alexnet()
    with pytest.raises(ValueError, match="no layer 'fc8'"):
        view(net, "fc8")
    with pytest.raises(ValueError, match="'fc8' does not feed 'fc7'"):
        view(net, "fc7", of="fc8")
    with pytest.raises(ValueError, match="'fc7' does not feed 'fc6'"):
        view(net, "fc6", of="fc7")
    with pytest.raises(ValueError, match="'fc6' does not feed 'image'"):
        view(net, IMAGE, of="fc6")


def test_branches_of_different_strides_have_no_common_view():
    net = Network()
    net.add("half", Conv2d(3, 3, kernel_size=2, stride=2), IMAGE)
    net.add("third", Conv2d(3, 3, kernel_size=3, stride=3), IMAGE)
    net.add("join", Add(), "half", "third")
    with pytest.raises(ValueError, match="join joins branches of strides 2, 3"):
        view(net, "join")
    assert view(net, "join", of="half") == (1, 0, 0, 0)
    with pytest.raises(ValueError, match="half has stride 2 and third has 3: no crop aligns them"):
        crop_offset(net, "half", "third")
    with pytest.raises(ValueError, match="third has stride 3 and image has 1: no crop aligns them"):
        crop_offset(net, "third", IMAGE)


@pytest.mark.parametrize(
    ("kernel_size", "padding", "offset"),
    [(5, 0, "-2"), (4, 0, "-3/2"), (2, 1, "1/2"), ((3, 4), (1, 4), "5/2")],
)
def test_crop_offset_tells_an_offset_that_cannot_be(kernel_size, padding, offset):
    net = Network()
    net.add("conv", Conv2d(3, 1, kernel_size, padding=padding), IMAGE)
    with pytest.raises(ValueError, match=f"conv would have to be cropped by {offset} pixels to lie on image"):
        crop_offset(net, "conv", IMAGE)


def test_many_skips_take_no_time():
    """A hundred residual sums make 2^100 paths; a search along all of them would never end."""
    net = Network()
    net.add("aside", ReLU(), IMAGE)
    net.add("0", ReLU(), IMAGE)
    for k in range(100):
        net.add(f"conv{k}", Conv2d(1, 1, kernel_size=3, padding=1))
        net.add(f"{k + 1}", Add(), f"{k}", f"conv{k}")
    assert view(net, "100") == (1, 0, -100, 100)
    with pytest.raises(ValueError, match="'aside' does not feed '100'"):
        view(net, "100", of="aside")


def test_layers_that_mix_all_pixels_see_everything():
    net = Network()
    net.add("conv", Conv2d(3, 2, kernel_size=(3, 1), padding=(1, 0)), IMAGE)
    net.add("pool", AvgPool2d(2))
    net.add("flat", Flatten())
    net.add("fc", Linear(2 * 3 * 2, 5))
    net.add("relu", ReLU())
    net.add("mean", GlobalAvgPool2d(), "conv")
    for node in ("flat", "fc", "relu", "mean"):
        assert (view(net, node).stride, view(net, node).field) == (0, math.inf)
        assert (view(net, node, of="conv").stride, view(net, node, of="conv").field) == (0, math.inf)
    assert view(net, "relu", of="fc").field == 1
    columns = [re.split(" {2,}", line)[-2:] for line in net.summary((2, 4, 6, 3)).splitlines()]
    assert columns[2:-1] == [
        ["1", "3 x 1"],
        ["2", "4 x 2"],
        *[["–", "all"]] * 4,
    ]
    with pytest.raises(ValueError, match="fc has stride 0 and flat has 0: no crop aligns them"):
        crop_offset(net, "fc", "flat")


def test_an_upsampled_pixel_has_a_fraction_of_a_stride():
    net = Network()
    net.add("up", ConvTranspose2d(1, 1, kernel_size=(64, 4), stride=(32, 2), padding=(16, 1)), IMAGE)
    assert view(net, "up", axis=0) == (Fraction(1, 32), Fraction(-31, 64), Fraction(-47, 32), Fraction(1, 2))
    assert view(net, "up", axis=1) == (Fraction(1, 2), Fraction(-1, 4), Fraction(-1), Fraction(1, 2))


def test_a_mean_of_everything_tells_no_place():
    """Joined with a map it leaves stride and offset as they are, and widens the field to the whole image."""
    net = Network()
    net.add("conv", Conv2d(3, 3, 3, stride=2), IMAGE)
    net.add("bins", AdaptiveAvgPool2d(1))
    net.add("back", Crop(), "conv", "bins")
    net.add("sum", Add(), "bins", "back")
    for reads in (("bins", "back"), ("back", "bins")):
        joined = Network()
        for name, (layer, sources) in net.nodes.items():
            joined.add(name, layer, *(reads if name == "sum" else sources))
        v = view(joined, "sum")
        assert (v.stride, v.offset, v.field) == (2, view(net, "conv").offset, math.inf)


def test_statistics_of_the_batch_keep_the_place_and_see_everything():
    net = Network()
    net.add("conv", Conv2d(3, 3, 3, stride=2), IMAGE)
    net.add("bn", BatchNorm2d(3, batch_statistics=True))
    net.add("more", Conv2d(3, 3, 3))
    assert (view(net, "bn").stride, view(net, "bn").offset) == (2, 1)
    assert (view(net, "more").stride, view(net, "more").offset, view(net, "more").field) == (2, 3, math.inf)
    assert str(net).splitlines()[-2].split()[-1] == "all"
