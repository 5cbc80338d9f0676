"""The pyramid pooling head: sizes and parameters, any size, and PyTorch as the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference
from minifcn.geometry import view
from minifcn.models import pspnet

TINY = {"widths": (2, 3, 4, 5, 8)}
BACKBONES = ["small", "vgg16"]


# ---------------------------------------------------------------- sizes and parameters


@pytest.mark.usefixtures("zeros")
def test_parameter_counts():
    """The head is that of the released networks for 512 channels."""
    head = 4 * (512 * 128 + 2 * 128) + (9 * 1024 * 512 + 2 * 512) + (512 + 1) * 21
    net = pspnet(21, "vgg16")
    assert sum(array.size for array in net.params.values()) == 14_714_688 + head == 19_708_245


def test_every_size():
    """A map of 60x60, which 1, 2, 3 and 6 divide, as in the released network for 473 pixels."""
    net = pspnet(21, "vgg16", widths=(1, 2, 3, 4, 512))
    shapes = net.shapes((1, 480, 480, 3))
    assert [shapes[name][1] for name in ("pool1", "pool2", "pool3", "relu5_3")] == [240, 120, 60, 60]
    for bins in (1, 2, 3, 6):
        assert shapes[f"conv5_3_pool{bins}"] == (1, bins, bins, 512)
        assert shapes[f"conv5_3_pool{bins}_conv"] == (1, bins, bins, 128)
        assert shapes[f"conv5_3_pool{bins}_interp"] == (1, 60, 60, 128)
    assert shapes["pyramid"] == (1, 60, 60, 1024) and shapes["conv5_4"] == (1, 60, 60, 512)
    assert shapes["score"] == (1, 480, 480, 21)
    branches = (f"conv5_3_pool{bins}_interp" for bins in (1, 2, 3, 6))
    assert net.nodes["pyramid"].reads == ("relu5_3", *branches)


@given(
    backbone=st.sampled_from(BACKBONES), H=st.integers(1, 70), W=st.integers(1, 70), classes=st.integers(1, 3)
)
def test_scores_have_the_size_of_the_image(backbone, H, W, classes):
    net = pspnet(classes, backbone, **TINY, rng=0)
    scores = net(np.ones((1, H, W, 3), np.float32))
    assert scores.shape == net.shapes((1, H, W, 3))["score"] == (1, H, W, classes)
    assert (view(net, "score").stride, view(net, "score").offset) == (1, 0)


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_slope_of_the_whole(check_slope, random_images, backbone):
    net = pspnet(2, backbone, widths=(2, 2, 2, 2, 4), rng=1)
    check_slope(net, random_images(3, 51, 62, 3))


def in_torch(backbone):
    """From the paper's figure 3 and the released pspnet.py."""

    def forward(layers, x):
        F, (H, W) = layers.F, x.shape[2:]
        x = layers.dilated_trunk(x, backbone, layers.halve_three_times)
        maps = [x]
        for bins in (1, 2, 3, 6):
            name = f"conv5_3_pool{bins}_conv"
            y = layers.conv(F.adaptive_avg_pool2d(x, bins), name)
            y = F.relu(layers.norm(y, f"{name}_bn"))
            maps.append(F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True))
        x = layers.conv(layers.torch.cat(maps, dim=1), "conv5_4", padding=1)
        x = layers.conv(F.relu(layers.norm(x, "conv5_4_bn")), "conv6")
        return F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False)[:, :, :H, :W]

    return forward


@pytest.mark.oracle
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(96, 144), (61, 83)])
def test_it_computes_what_pytorch_does(agrees_with, random_images, backbone, size):
    agrees_with(in_torch(backbone), pspnet(3, backbone, **TINY, rng=1), random_images(2, *size, 3))


@pytest.mark.oracle
@pytest.mark.slow
def test_the_large_one_computes_what_pytorch_does(agrees_with, random_images):
    agrees_with(in_torch("vgg16"), pspnet(21, "vgg16", rng=1), random_images(1, 192, 230, 3))


def test_it_cannot_be_cut_into_tiles():
    with pytest.raises(ValueError, match="depends on the whole image"):
        inference.tiled(pspnet(2, **TINY), np.zeros((200, 200, 3), np.float32), 128)


def test_it_overfits_toy_images(overfits):
    """Several: of a single one, the bin of the whole image would have nothing to be compared with."""
    assert overfits(pspnet(4, rng=0), images=4) > 0.8


def test_it_starts_from_vgg16(load_vgg16):
    net = pspnet(3, "vgg16", **TINY)
    source, _ = load_vgg16(net, **TINY, fc=5)
    new = ("conv5_3_", "conv5_4", "conv6")
    assert set(source.kept) == {name for name in net.arrays if name.startswith(new)} - {
        "conv5_3.weight",
        "conv5_3.bias",
    }
    assert len(source.skipped) == 6 and all(name.startswith("classifier") for name in source.skipped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes is 0; expected at least 1"),
        ({"backbone": "resnet50"}, "backbone is 'resnet50'; expected one of small, vgg16"),
        ({"widths": (8,)}, r"widths is \(8,\); expected five numbers"),
        ({"widths": (8, 8, 8, 8, 6)}, "widths ends in 6; expected a multiple of 4"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        pspnet(**{"classes": 2, **options})
