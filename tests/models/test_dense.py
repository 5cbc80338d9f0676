"""FC-DenseNet: the widths and parameters of the authors' networks, any size, and PyTorch as the oracle."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, models
from minifcn.layers import Conv2d, ConvTranspose2d
from minifcn.models import fc_densenet
from minifcn.models.dense import SIZES_OF, Size

TABLE = {  # parameters, and channels: down, in the middle, and behind each block going up
    "56": (1_376_795, [96, 144, 192, 240, 288], 336, [384, 336, 288, 240, 192]),
    "67": (3_463_243, [128, 208, 288, 368, 448], 528, [608, 528, 448, 368, 288]),
    "103": (9_322_091, [112, 192, 304, 464, 656], 896, [1088, 816, 576, 384, 256]),
}


# ---------------------------------------------------------------- sizes and parameters


@pytest.mark.parametrize("backbone", TABLE)
def test_widths_and_parameters_of_the_authors(zeros, backbone):
    parameters, down, middle, up = TABLE[backbone]
    net, size = fc_densenet(11, backbone), SIZES_OF[backbone]
    assert sum(array.size for array in net.params.values()) == parameters
    shapes = net.shapes((1, 224, 224, 3))
    for level, depth in enumerate(size.layers, start=1):
        n = 224 >> level
        assert shapes[f"down{level}_{depth}"] == (1, 2 * n, 2 * n, down[level - 1])
        assert shapes[f"td{level}"] == (1, n, n, down[level - 1])
        assert shapes[f"tu{level}"][1:3] == (2 * n + 1, 2 * n + 1)
        assert shapes[f"up{level}_{depth}"] == (1, 2 * n, 2 * n, up[-level])
    assert shapes[f"middle{size.middle}"] == (1, 7, 7, middle)
    assert shapes["score"] == (1, 224, 224, 11)


@pytest.mark.parametrize("backbone", TABLE)
def test_it_has_as_many_convolutions_as_its_name_says(zeros, backbone):
    layers = [node.layer for node in fc_densenet(11, backbone).nodes.values()]
    assert sum(isinstance(layer, Conv2d | ConvTranspose2d) for layer in layers) == int(backbone)


def test_poolings_of_the_authors_round_down(zeros):
    """360x480 -> 11x15, and crops bring back what five roundings have lost."""
    shapes = fc_densenet(11, "103").shapes((1, 360, 480, 3))
    assert [shapes[f"td{level}"][1] for level in range(1, 6)] == [180, 90, 45, 22, 11]
    assert shapes["score"] == (1, 360, 480, 11)
    with pytest.raises(ValueError, match=r"layer td5: .* does not fit into an image of 1x4"):
        fc_densenet(11, "56").shapes((1, 31, 64, 3))


@given(size=st.tuples(*[st.integers(1, 70)] * 2))
def test_every_size_is_kept(size):
    net, shape = fc_densenet(3), (1, *size, 3)
    assert net(np.ones(shape, np.float32)).shape == net.shapes(shape)["score"] == shape


# ---------------------------------------------------------------- what it computes


def test_the_slope_of_the_whole(check_slope, random_images, monkeypatch):
    monkeypatch.setitem(SIZES_OF, "small", Size(3, 2, (1, 2), 2))
    check_slope(fc_densenet(2, rng=1), random_images(2, 21, 18, 3))


def test_it_overfits_a_toy_image(overfits):
    assert overfits(fc_densenet(4, rng=0)) > 0.9


@given(extra=st.tuples(*[st.integers(0, 60)] * 2), seed=st.integers(0, 2**32 - 1))
def test_tiles_equal_one_pass(extra, seed):
    with mock.patch.dict(SIZES_OF, small=Size(2, 2, (1, 2), 2)):
        net = fc_densenet(2, rng=seed).astype(np.float64)
    image = np.random.default_rng(seed).standard_normal((100 + extra[0], 110 + extra[1], 3))
    np.testing.assert_allclose(inference.tiled(net, image, 96), net(image[None])[0], rtol=0, atol=1e-10)


def test_those_of_the_authors_depend_on_the_whole_image(zeros):
    with pytest.raises(ValueError, match="depends on the whole image: it cannot be cut into tiles"):
        inference.tiled(fc_densenet(11, "56"), np.zeros((64, 96, 3), np.float32), 64)


def test_the_recipe_makes_the_network_again():
    net = fc_densenet(3, rng=5)
    again = models.build(**net.recipe, rng=5)
    assert str(again) == str(net)
    assert all(np.array_equal(array, again.arrays[name]) for name, array in net.arrays.items())


# ---------------------------------------------------------------- PyTorch as the oracle


def in_torch(backbone):
    size, small = SIZES_OF[backbone], backbone == "small"

    def forward(layers, x):
        F, cat = layers.F, layers.torch.cat

        def convolution(x, name, **options):
            x = F.relu(layers.norm(x, f"{name}_bn", train=not small))
            return layers.conv(x, f"{name}_conv", **options)

        def dense_block(x, name, count):
            made = []
            for k in range(1, count + 1):
                made.append(convolution(x, f"{name}{k}", padding=1))
                x = cat([x, made[-1]], dim=1)
            return x, cat(made, dim=1)

        x = layers.conv(x, "conv", padding=1)
        skips = []
        for k, count in enumerate(size.layers, start=1):
            x, _ = dense_block(x, f"down{k}_", count)
            skips.append(x)
            x = F.max_pool2d(convolution(x, f"td{k}"), 2, ceil_mode=small)
        x, new = dense_block(x, "middle", size.middle)
        for k in range(len(size.layers), 0, -1):
            skip = skips.pop()
            up = layers.up(new, f"tu{k}", stride=2)
            up = up[:, :, : skip.shape[2], : skip.shape[3]]
            x, new = dense_block(cat([up, skip], dim=1), f"up{k}_", size.layers[k - 1])
        return layers.conv(x, "score")

    return forward


@pytest.mark.oracle
@pytest.mark.parametrize("size", [(64, 48), (45, 50)])
def test_the_small_one_computes_what_pytorch_does(agrees_with, random_images, size):
    agrees_with(in_torch("small"), fc_densenet(3, rng=1), random_images(2, *size, 3))


@pytest.mark.oracle
@pytest.mark.parametrize("backbone", TABLE)
def test_those_of_the_authors_compute_what_pytorch_does(agrees_with, random_images, backbone):
    agrees_with(in_torch(backbone), fc_densenet(11, backbone, rng=1), random_images(2, 70, 64, 3))
