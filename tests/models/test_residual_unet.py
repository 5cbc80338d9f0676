"""Residual U-Net: the sizes and parameters of the authors' network, any size, and PyTorch as the oracle."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, models
from minifcn.layers import Add, Conv2d
from minifcn.models import residual_unet
from minifcn.models.residual_unet import SIZES_OF, Size

TINY = Size(((2, 0), (2, 1)), (3, 2), 0.0)


# ---------------------------------------------------------------- sizes and parameters


def test_every_size_of_the_authors(zeros):
    """512x512: resolution and channels behind every stage."""
    shapes = residual_unet(2, "paper").shapes((1, 512, 512, 3))
    expected = {
        "first": (512, 32), "down1_1": (256, 32), "down2_1": (128, 32), "down3_3": (64, 128),
        "down4_8": (32, 256), "down5_10": (16, 512), "across3": (8, 1024), "up5_10": (16, 512),
        "up4_8": (32, 256), "up3_3": (64, 128), "up2_1": (128, 32), "up1_1": (256, 32), "last": (512, 32),
        "score": (512, 2),
    }  # fmt: skip
    assert {name: (shapes[name][1], shapes[name][3]) for name in expected} == expected


def test_depth_and_parameters_of_the_authors(zeros):
    net = residual_unet(2, "paper")
    bottlenecks, simple = 2 * (3 + 8 + 10) + 3, 4
    names = [name for name, node in net.nodes.items() if isinstance(node.layer, Conv2d)]
    assert sum("_conv" in name for name in names) == 3 * bottlenecks + simple
    assert sum(isinstance(node.layer, Add) for node in net.nodes.values()) == bottlenecks + simple + 6

    def bottleneck(inputs, w):
        convs = (inputs + 1) * w + (9 * w + 1) * w + (w + 1) * 4 * w
        fit = (inputs + 1) * 4 * w if inputs != 4 * w else 0
        return convs + fit + 2 * (inputs + w + w)  # with scale and shift before each convolution

    def stage(inputs, w, repetitions):
        return bottleneck(inputs, w) + (repetitions - 1) * bottleneck(4 * w, w)

    total = 5 * (2 * 32 + (9 * 32 + 1) * 32)  # the simple blocks and the last convolution
    total += (9 * 3 + 1) * 32 + 33 * 2
    total += stage(32, 32, 3) + stage(128, 64, 8) + stage(256, 128, 10) + stage(512, 256, 3)
    total += stage(512, 128, 10) + stage(256, 64, 8) + stage(128, 32, 3)
    total += 1025 * 512 + 513 * 256 + 257 * 128 + 129 * 32  # where a long skip has fewer channels
    assert sum(array.size for array in net.params.values()) == total == 11_470_978


@given(size=st.tuples(*[st.integers(1, 70)] * 2))
def test_every_size_is_kept(size):
    net, shape = residual_unet(3), (1, *size, 3)
    assert net(np.ones(shape, np.float32)).shape == net.shapes(shape)["score"] == shape


# ---------------------------------------------------------------- what it computes


def test_the_slope_of_the_whole(check_slope, random_images, monkeypatch):
    monkeypatch.setitem(SIZES_OF, "small", TINY)
    check_slope(residual_unet(2, rng=1), random_images(2, 21, 18, 3))


def test_it_overfits_a_toy_image(overfits):
    assert overfits(residual_unet(4, rng=0)) > 0.9


@given(extra=st.tuples(*[st.integers(0, 60)] * 2), seed=st.integers(0, 2**32 - 1))
def test_tiles_equal_one_pass(extra, seed):
    with mock.patch.dict(SIZES_OF, small=TINY):
        net = residual_unet(2, rng=seed).astype(np.float64)
    image = np.random.default_rng(seed).standard_normal((100 + extra[0], 110 + extra[1], 3))
    np.testing.assert_allclose(inference.tiled(net, image, 96), net(image[None])[0], rtol=0, atol=1e-10)


def test_the_recipe_makes_the_network_again():
    net = residual_unet(3, rng=5)
    again = models.build(**net.recipe, rng=5)
    assert str(again) == str(net)
    assert all(np.array_equal(array, again.arrays[name]) for name, array in net.arrays.items())


# ---------------------------------------------------------------- PyTorch as the oracle


def in_torch(levels, across):
    """As the authors' blocks have it: pixels are repeated before the last convolution, and in the short skip."""

    def forward(layers, x):
        F = layers.F

        def repeated(x):
            return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

        def convolution(x, name, before=None, **options):
            x = F.relu(layers.norm(x, f"{name}_bn"))
            return layers.conv(before(x) if before else x, name, **options)

        def fitted(x, name):
            return layers.conv(x, name) if f"{name}.weight" in layers.arrays else x

        def shortcut(x, name, down, up):
            x = x[:, :, ::2, ::2] if down else x
            return fitted(repeated(x) if up else x, f"{name}_fit")

        def blocks(x, stage, repetitions, down=False, up=False):
            if not repetitions:
                pool = (lambda x: F.max_pool2d(x, 2, ceil_mode=True)) if down else None
                y = convolution(x, f"{stage}1_conv", pool, padding=1)
                return (repeated(y) if up else y) + shortcut(x, f"{stage}1", down, up)
            for k in range(1, repetitions + 1):
                name, first, last = f"{stage}{k}", down and k == 1, up and k == repetitions
                y = convolution(x, f"{name}_conv1", stride=2 if first else 1)
                y = convolution(y, f"{name}_conv2", padding=1)
                y = convolution(y, f"{name}_conv3", repeated if last else None)
                x = y + shortcut(x, name, first, last)
            return x

        def join(x, skip, name):
            return fitted(x, f"fit_{name}")[:, :, : skip.shape[2], : skip.shape[3]] + skip

        x = layers.conv(x, "first", padding=1)
        skips = [(x, "first")]
        for level, (_, repetitions) in enumerate(levels, start=1):
            x = blocks(x, f"down{level}_", repetitions, down=True)
            skips.append((x, f"down{level}_{repetitions or 1}"))
        x = blocks(x, "across", across[1], down=True, up=True)
        for level in range(len(levels), 0, -1):
            x = blocks(join(x, *skips.pop()), f"up{level}_", levels[level - 1][1], up=True)
        x = join(x, *skips.pop())
        return layers.conv(convolution(x, "last", padding=1), "score")

    return forward


@pytest.mark.oracle
@pytest.mark.parametrize("size", [(64, 48), (37, 51)])
def test_the_small_one_computes_what_pytorch_does(agrees_with, random_images, size):
    in_theirs = in_torch(SIZES_OF["small"].levels, SIZES_OF["small"].across)
    agrees_with(in_theirs, residual_unet(3, rng=1), random_images(2, *size, 3))


@pytest.mark.oracle
def test_the_authors_computes_what_pytorch_does(agrees_with, random_images):
    in_theirs = in_torch(((32, 0), (32, 0), (32, 3), (64, 8), (128, 10)), (256, 3))
    agrees_with(in_theirs, residual_unet(2, "paper", rng=1), random_images(1, 150, 128, 3))
