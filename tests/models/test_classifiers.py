"""The classifiers: parameters and sizes as published, and what becomes of them when they are convolutionized."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import initialize, models, surgery
from minifcn.geometry import view


def published(model):
    """The network with weights of zero, which take neither time nor memory."""
    with mock.patch.object(initialize, "he", lambda shape, fan_in, rng, dtype: np.zeros(shape, dtype)):
        return model()


def size(net, *layers):
    return sum(array.size for name, array in net.params.items() if not layers or name.split(".")[0] in layers)


def test_vgg16():
    net = published(models.vgg16)
    assert size(net) == 138_357_544
    assert [size(net, name) for name in ("fc6", "fc7", "fc8")] == [102_764_544, 16_781_312, 4_097_000]
    assert round(100 * size(net, "fc6", "fc7", "fc8") / size(net), 1) == 89.4
    shapes = net.shapes((1, 224, 224, 3))
    assert [shapes[f"pool{k}"][1] for k in range(1, 6)] == [112, 56, 28, 14, 7]
    assert (shapes["pool5"], shapes["flatten"], shapes["fc8"]) == ((1, 7, 7, 512), (1, 25088), (1, 1000))


def test_alexnet():
    net = published(models.alexnet)
    assert size(net) == 60_965_224
    assert round(100 * size(net, "fc6", "fc7", "fc8") / size(net), 1) == 96.2
    shapes = net.shapes((1, 227, 227, 3))
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert [shapes[name][1] for name in names] == [55, 27, 27, 13, 13, 13, 13, 6]
    assert [net.nodes[f"conv{k}"].layer.window.groups for k in range(1, 6)] == [1, 2, 1, 2, 2]
    order = list(net.nodes)
    assert order.index("norm1") == order.index("pool1") + 1, "CaffeNet pools first"


def test_vgg16_over_384_pixels():
    """The example that everyone tells: 12x12x512 at pool5, and 6x6x1000 scores in place of 36 crops."""
    fcn = surgery.convolutionize(published(models.vgg16), (224, 224, 3))
    shapes = fcn.shapes((1, 384, 384, 3))
    assert (shapes["pool5"], shapes["fc6"], shapes["fc8"]) == (
        (1, 12, 12, 512),
        (1, 6, 6, 4096),
        (1, 6, 6, 1000),
    )
    assert fcn.nodes["fc6"].layer.params["weight"].shape == (7, 7, 512, 4096)
    assert fcn.nodes["fc7"].layer.params["weight"].shape == (1, 1, 4096, 4096)
    assert (view(fcn, "fc8").stride, view(fcn, "fc8").field) == (32, 404)


def test_alexnet_over_500_pixels():
    """A 10x10 map where the image has 500 pixels, as in section 4.1 of Long et al. (2015)."""
    fcn = surgery.convolutionize(published(models.alexnet), (227, 227, 3))
    assert fcn.shapes((1, 500, 500, 3))["fc8"] == (1, 10, 10, 1000)
    assert (view(fcn, "fc6").stride, view(fcn, "fc6").field) == (32, 355)


def test_window_net_has_no_padding_and_a_stride_of_4():
    net = models.window_net(4, width=3, fc=5, rng=0)
    fcn = surgery.convolutionize(net, (32, 32, 3))
    assert (view(fcn, fcn.output).stride, view(fcn, fcn.output).field, view(fcn, fcn.output).first) == (
        4,
        32,
        0,
    )
    with pytest.raises(ValueError, match="layer fc6"):
        net.shapes((1, 33, 48, 3))


@given(size=st.tuples(st.integers(20, 70), st.integers(20, 70)))
def test_gap_net_takes_images_of_any_size(size):
    net = models.gap_net(4, width=2, rng=0)
    assert net(np.ones((2, *size, 3), np.float32)).shape == net.shapes((2, *size, 3))["fc"] == (2, 4)


@pytest.mark.parametrize("name", ["window_net", "gap_net"])
def test_recipes_build_the_same_network(name):
    net = models.build(name, 3, width=5, rng=1)
    again = models.build(**net.recipe, rng=1)
    assert all(np.array_equal(array, again.params[key]) for key, array in net.params.items())
    with pytest.raises(ValueError, match="model is 'vgg17'"):
        models.build("vgg17", 3)
