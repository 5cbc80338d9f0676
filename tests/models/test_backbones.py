"""The trunks: VGG16 layer by layer as published, and the small one for every option."""

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import initialize
from minifcn.layers import Dropout
from minifcn.models import BACKBONES, backbones
from minifcn.network import Network

widths = st.lists(st.integers(1, 6), min_size=5, max_size=5)


def small(**options):
    net = Network()
    channels = backbones.small(net, np.random.default_rng(0), **options)
    return net, channels


def released(backbone):
    """The published trunk with weights of zero, which take neither time nor memory."""
    net = Network()
    with mock.patch.object(initialize, "he", lambda shape, fan_in, rng, dtype: np.zeros(shape, dtype)):
        assert BACKBONES[backbone](net, np.random.default_rng(0)) == 4096
    return net


@pytest.fixture(scope="module")
def vgg16():
    return released("vgg16")


@pytest.fixture(scope="module")
def alexnet():
    return released("alexnet")


def sizes(net, *names):
    return [sum(net.params[f"{name}.{key}"].size for key in ("weight", "bias")) for name in names]


def test_vgg16_is_configuration_d(vgg16):
    """Simonyan & Zisserman (2015), table 1, D, with a padding of 100 and fc6 and fc7 as convolutions."""
    expected, channels = [], 3
    for stage, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        for k in range(1, depth + 1):
            padding = 100 if stage == k == 1 else 1
            conv = f"Conv2d({channels}, {width}, kernel_size=3, padding={padding})"
            expected += [(f"conv{stage}_{k}", conv), (f"relu{stage}_{k}", "ReLU()")]
            channels = width
        expected += [(f"pool{stage}", "MaxPool2d(2, ceil_mode=True)")]
    expected += [("fc6", "Conv2d(512, 4096, kernel_size=7)"), ("relu6", "ReLU()"), ("drop6", "Dropout(0.5)")]
    expected += [("fc7", "Conv2d(4096, 4096, kernel_size=1)"), ("relu7", "ReLU()"), ("drop7", "Dropout(0.5)")]
    assert [(name, repr(node.layer)) for name, node in vgg16.nodes.items()] == expected


def test_alexnet_is_caffenet(alexnet):
    """Krizhevsky, Sutskever & Hinton (2012) with normalisation behind the pools, and a padding of 100."""
    assert [(name, repr(node.layer)) for name, node in alexnet.nodes.items()] == [
        ("conv1", "Conv2d(3, 96, kernel_size=11, stride=4, padding=100)"),
        ("relu1", "ReLU()"),
        ("pool1", "MaxPool2d(3, stride=2, ceil_mode=True)"),
        ("norm1", "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)"),
        ("conv2", "Conv2d(96, 256, kernel_size=5, padding=2, groups=2)"),
        ("relu2", "ReLU()"),
        ("pool2", "MaxPool2d(3, stride=2, ceil_mode=True)"),
        ("norm2", "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)"),
        ("conv3", "Conv2d(256, 384, kernel_size=3, padding=1)"),
        ("relu3", "ReLU()"),
        ("conv4", "Conv2d(384, 384, kernel_size=3, padding=1, groups=2)"),
        ("relu4", "ReLU()"),
        ("conv5", "Conv2d(384, 256, kernel_size=3, padding=1, groups=2)"),
        ("relu5", "ReLU()"),
        ("pool5", "MaxPool2d(3, stride=2, ceil_mode=True)"),
        ("fc6", "Conv2d(256, 4096, kernel_size=6)"),
        ("relu6", "ReLU()"),
        ("drop6", "Dropout(0.5)"),
        ("fc7", "Conv2d(4096, 4096, kernel_size=1)"),
        ("relu7", "ReLU()"),
        ("drop7", "Dropout(0.5)"),
    ]


def test_alexnet_has_the_published_parameters(alexnet):
    """60,965,224 with the 4,097,000 of fc8, which the FCN leaves out."""
    convolutions = [f"conv{k}" for k in range(1, 6)]
    assert sizes(alexnet, *convolutions) == [34_944, 307_456, 885_120, 663_936, 442_624]
    assert sizes(alexnet, "fc6", "fc7") == [37_752_832, 16_781_312]
    assert sum(array.size for array in alexnet.params.values()) == 60_965_224 - 4_097_000


def test_trunks_read_layer_by_layer(vgg16, alexnet):
    for net in (vgg16, alexnet):
        assert [node.reads for node in net.nodes.values()] == [(n,) for n in ["image", *net.nodes][:-1]]


def test_vgg16_has_the_published_parameters(vgg16):
    """138,357,544 with the 4,097,000 of fc8, which the FCNs leave out."""
    convolutions = [name for name in vgg16.nodes if name.startswith("conv")]
    assert sum(sizes(vgg16, *convolutions)) == 14_714_688
    assert sizes(vgg16, "fc6", "fc7") == [102_764_544, 16_781_312]
    assert sum(array.size for array in vgg16.params.values()) == 138_357_544 - 4_097_000
    assert vgg16.trainable.keys() == vgg16.params.keys()


@given(widths, st.integers(1, 3), st.integers(1, 5), st.sampled_from([1, 3, 5]))
def test_small_has_the_parameters_of_its_options(widths, convs, fc, fc_kernel):
    net, channels = small(widths=widths, convs=convs, fc=fc, fc_kernel=fc_kernel)
    assert channels == fc
    expected, inputs = {}, 3
    for stage, width in enumerate(widths, start=1):
        for k in range(1, convs + 1):
            expected |= {f"conv{stage}_{k}.weight": (3, 3, inputs, width), f"conv{stage}_{k}.bias": (width,)}
            inputs = width
    expected |= {"fc6.weight": (fc_kernel, fc_kernel, inputs, fc), "fc6.bias": (fc,)}
    expected |= {"fc7.weight": (1, 1, fc, fc), "fc7.bias": (fc,)}
    assert {name: array.shape for name, array in net.params.items()} == expected


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([1, 3, 7]))
def test_small_halves_five_times_and_rounds_up(H, W, fc_kernel):
    net, _ = small(widths=(1, 2, 3, 4, 5), convs=1, fc=6, fc_kernel=fc_kernel)
    shapes = net.shapes((2, H, W, 3))
    for stage in range(1, 6):
        expected = (2, math.ceil(H / 2**stage), math.ceil(W / 2**stage), stage)
        assert shapes[f"pool{stage}"] == expected
    assert shapes["fc6"] == shapes["relu7"] == (*expected[:3], 6)


def test_weights_are_drawn_by_hes_rule_and_differ():
    net, _ = small()
    for name in ("conv2_2", "conv5_1", "fc6", "fc7"):
        weight = net.params[f"{name}.weight"]
        assert weight.std() == pytest.approx(math.sqrt(2 / math.prod(weight.shape[:3])), rel=0.05)
        assert not net.params[f"{name}.bias"].any()
    assert not np.array_equal(net.params["conv5_1.weight"], net.params["conv5_2.weight"])


def test_dropout_stands_behind_fc6_and_fc7_if_at_all():
    without, _ = small()
    with_it, _ = small(dropout=0.3)
    assert not any(isinstance(node.layer, Dropout) for node in without.nodes.values())
    added = {
        name: (node.layer.p, node.reads) for name, node in with_it.nodes.items() if name not in without.nodes
    }
    assert added == {"drop6": (0.3, ("relu6",)), "drop7": (0.3, ("relu7",))}
    assert with_it.nodes["fc7"].reads == ("drop6",)
    assert with_it.output == "drop7"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8, 8, 8, 8)}, r"widths is \(8, 8, 8, 8\); expected five"),
        ({"widths": (8, 8, 8, 8, 8, 8)}, "expected five"),
        ({"widths": (8, 8, 0, 8, 8)}, "out_channels is 0"),
        ({"convs": 0}, "convs is 0; expected at least 1"),
        ({"fc": 0}, "out_channels is 0"),
        ({"fc_kernel": 4}, "fc_kernel is 4; expected an odd"),
        ({"fc_kernel": -1}, "-1.*expected at least 1"),
        ({"dropout": 1.0}, "p is 1.0"),
        ({"dropout": -0.5}, "p is -0.5"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
