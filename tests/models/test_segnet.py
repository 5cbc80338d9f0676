"""SegNet and SegNet-Basic: sizes and parameters as released, any size, and PyTorch as the oracle."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, models
from minifcn.geometry import view
from minifcn.layers import Conv2d, MaxUnpool2d, ReLU
from minifcn.models import segnet, segnet_basic
from minifcn.models.encoder_decoder import STAGES
from minifcn.models.segnet import BASIC_WIDTHS

BOTH = [segnet, segnet_basic]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(STAGES, "small", ((2, 1), (3, 2), (4, 1)))
    monkeypatch.setitem(BASIC_WIDTHS, "small", 2)


def size(net):
    return sum(array.size for array in net.params.values())


# ---------------------------------------------------------------- sizes and parameters


def test_every_size_of_the_released_segnet(zeros):
    """360x480: poolings round up, and unpooling goes back to 23 and 45 rows, which doubling would not give."""
    shapes = segnet(11, "vgg16").shapes((1, 360, 480, 3))
    pools = [(180, 240), (90, 120), (45, 60), (23, 30), (12, 15)]
    assert [shapes[f"pool{k}"][1:3] for k in range(1, 6)] == pools
    assert [shapes[f"upsample{k}"][1:3] for k in range(5, 0, -1)] == [*pools[3::-1], (360, 480)]
    decoder = ["5_3", "5_2", "5_1", "4_3", "4_2", "4_1", "3_3", "3_2", "3_1", "2_2", "2_1", "1_2", "1_1"]
    widths = [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 11]
    assert [shapes[f"conv{name}_D"][3] for name in decoder] == widths
    assert shapes["conv1_1_D"] == (1, 360, 480, 11)


def test_parameters_of_the_released_segnet(zeros):
    net = segnet(11, "vgg16")
    assert sum(isinstance(node.layer, Conv2d) for node in net.nodes.values()) == 26
    encoder = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
    encoder += [(512, 512)] * 5
    decoder = [(b, a) for a, b in encoder[:0:-1]] + [(64, 11)]
    expected = sum((9 * a + 1) * b for a, b in encoder + decoder)
    expected += 2 * sum(b for _, b in encoder + decoder[:-1])  # scale and shift; none behind the classifier
    assert size(net) == expected == 29_449_355


def test_segnet_basic_as_released(zeros):
    """The field of its encoder is 106 pixels: section 3.1 of the paper."""
    net = segnet_basic(11, "paper")
    assert size(net) == (49 * 3 + 1) * 64 + 7 * (49 * 64 + 1) * 64 + 8 * 2 * 64 + 65 * 11 == 1_416_587
    assert view(net, "pool4").field == 106
    layers = [node.layer for node in net.nodes.values()]
    assert sum(isinstance(layer, ReLU) for layer in layers) == 4
    assert sum(isinstance(layer, MaxUnpool2d) for layer in layers) == 4
    shapes = net.shapes((1, 360, 480, 3))
    pools = [180, 90, 45, 23]
    assert [shapes[f"pool{k}"][1] for k in range(1, 5)] == pools
    assert [shapes[f"conv_decode{k}"][1] for k in range(4, 0, -1)] == [*pools[2::-1], 360]
    assert shapes["conv_classifier"] == (1, 360, 480, 11)


@pytest.mark.parametrize("model", BOTH)
@given(size=st.tuples(*[st.integers(1, 70)] * 2))
def test_every_size_is_kept(model, size):
    net, shape = model(3), (1, *size, 3)
    assert net(np.ones(shape, np.float32)).shape == net.shapes(shape)[net.output] == shape


# ---------------------------------------------------------------- what it computes


def test_the_slope_of_the_whole(check_slope, random_images, tiny):
    """Of tiny ones: where a maximum moves, unpooling jumps, and the more maxima there are, the sooner one does."""
    check_slope(segnet(2, rng=1), random_images(2, 21, 18, 3))
    check_slope(segnet_basic(2, rng=1), random_images(2, 21, 35, 3))


@pytest.mark.parametrize(("model", "steps"), [(segnet, 60), (segnet_basic, 150)])
def test_it_overfits_a_toy_image(model, steps, overfits):
    assert overfits(model(4, rng=0), steps) > 0.9


def test_its_encoder_starts_from_vgg16(load_vgg16, monkeypatch):
    widths = (2, 3, 4, 5, 6)
    monkeypatch.setitem(STAGES, "vgg16", [*zip(widths, (2, 2, 3, 3, 3))])
    source, _ = load_vgg16(segnet(3, "vgg16"), widths, fc=7)
    assert all("_D" in name or "_bn" in name for name in source.kept)
    assert {name.rpartition(".")[0] for name in source.skipped} == {f"classifier.{k}" for k in (0, 3, 6)}


@given(extra=st.tuples(*[st.integers(0, 60)] * 2), seed=st.integers(0, 2**32 - 1))
def test_tiles_equal_one_pass(extra, seed):
    with mock.patch.dict(STAGES, small=((2, 1), (3, 2), (4, 1))):
        net = segnet(2, rng=seed).astype(np.float64)
    image = np.random.default_rng(seed).standard_normal((100 + extra[0], 110 + extra[1], 3))
    np.testing.assert_allclose(inference.tiled(net, image, 96), net(image[None])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("model", BOTH)
def test_the_recipe_makes_the_network_again(model):
    net = model(3, rng=5)
    again = models.build(**net.recipe, rng=5)
    assert str(again) == str(net)
    assert all(np.array_equal(array, again.arrays[name]) for name, array in net.arrays.items())


# ---------------------------------------------------------------- PyTorch as the oracle


def unpool(layers, x, where, size):
    flat = layers.torch.zeros((*x.shape[:2], size[0] * size[1]))
    return flat.scatter(2, where.flatten(2), x.flatten(2)).reshape(*x.shape[:2], *size)


def segnet_in_torch(depths):
    def forward(layers, x):
        F, pools = layers.F, []

        def convolution(x, name):
            return F.relu(layers.norm(layers.conv(x, f"conv{name}", padding=1), f"conv{name}_bn"))

        for stage, depth in enumerate(depths, start=1):
            for k in range(1, depth + 1):
                x = convolution(x, f"{stage}_{k}")
            before = x.shape[2:]
            x, where = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            pools.append((where, before))
        for stage in range(len(depths), 0, -1):
            x = unpool(layers, x, *pools.pop())
            for k in range(depths[stage - 1], 0, -1):
                if (stage, k) == (1, 1):
                    return layers.conv(x, "conv1_1_D", padding=1)
                x = convolution(x, f"{stage}_{k}_D")

    return forward


def segnet_basic_in_torch(layers, x):
    F, pools = layers.F, []
    x = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75)
    for k in range(1, 5):
        x = F.relu(layers.norm(layers.conv(x, f"conv{k}", padding=3), f"conv{k}_bn"))
        before = x.shape[2:]
        x, where = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        pools.append((where, before))
    for k in range(4, 0, -1):
        x = unpool(layers, x, *pools.pop())
        x = layers.norm(layers.conv(x, f"conv_decode{k}", padding=3), f"conv_decode{k}_bn")
    return layers.conv(x, "conv_classifier")


@pytest.mark.oracle
@pytest.mark.parametrize("size", [(64, 48), (45, 50)])
def test_small_ones_compute_what_pytorch_does(agrees_with, random_images, size):
    images = random_images(2, *size, 3)
    agrees_with(segnet_in_torch((2,) * 5), segnet(3, rng=1), images)
    agrees_with(segnet_basic_in_torch, segnet_basic(3, rng=1), images)


@pytest.mark.oracle
@pytest.mark.slow
def test_the_released_ones_compute_what_pytorch_does(agrees_with, random_images):
    images = random_images(1, 90, 75, 3)
    agrees_with(segnet_in_torch((2, 2, 3, 3, 3)), segnet(11, "vgg16", rng=1), images)
    agrees_with(segnet_basic_in_torch, segnet_basic(11, "paper", rng=1), images)
