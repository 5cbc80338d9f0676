"""U-Net: sizes and parameters of the paper, any size with same-padding, and PyTorch as the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, models
from minifcn.models import unet

TINY = {"widths": (2, 3, 4, 5, 6)}
FORMS = [{"backbone": backbone, "padding": padding}
         for backbone in ("small", "milesial") for padding in ("same", "valid")]  # fmt: skip
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def paper(zeros):
    return lambda classes=2, backbone="paper", **options: unet(classes, backbone, **options)


def size(net):
    return sum(array.size for array in net.params.values())


# ---------------------------------------------------------------- sizes and parameters


def test_parameter_counts(paper):
    assert size(paper(in_channels=1, padding="valid")) == size(paper(in_channels=1)) == 31_030_658
    assert size(paper(backbone="milesial")) == 31_037_698


def test_every_size_of_the_paper(paper):
    """Figure 1, and the crops that follow from it."""
    net = paper(padding="valid", in_channels=1)
    shapes = {name: shape[1] for name, shape in net.shapes((1, 572, 572, 1)).items()}
    chain = [572, 570, 568, 284, 282, 280, 140, 138, 136, 68, 66, 64, 32, 30, 28]
    down = ["image", *(f"{layer}{level}{k}" for level in range(1, 6) for layer, k in
                       (("conv", "_1"), ("conv", "_2"), ("pool", "")))]  # fmt: skip
    assert [shapes[name] for name in down[:-1]] == chain
    chain = [(56, 56, 54, 52), (104, 104, 102, 100), (200, 200, 198, 196), (392, 392, 390, 388)]
    for level, expected in zip((4, 3, 2, 1), chain):
        names = (f"up{level}", f"crop{level}", f"upconv{level}_1", f"upconv{level}_2")
        assert tuple(shapes[name] for name in names) == expected
    assert shapes["score"] == 388
    assert [repr(net.nodes[f"crop{level}"].layer) for level in (4, 3, 2, 1)] == [
        f"Crop({n})" for n in (4, 16, 40, 88)
    ]


def test_channels_of_the_paper(paper):
    net = paper()
    shapes = net.shapes((1, 16, 16, 3))
    assert [shapes[f"conv{level}_2"][3] for level in range(1, 6)] == [64, 128, 256, 512, 1024]
    assert [shapes[f"up{level}"][3] for level in (4, 3, 2, 1)] == [512, 256, 128, 64]
    assert [shapes[f"concat{level}"][3] for level in (4, 3, 2, 1)] == [1024, 512, 256, 128]


@given(k=st.integers(8, 60), m=st.integers(8, 60))
def test_the_paper_loses_92_pixels_at_every_border(k, m):
    net = unet(2, padding="valid", **TINY)
    H, W = 16 * k + 60, 16 * m + 60
    assert net.shapes((1, H, W, 3))["score"] == (1, H - 184, W - 184, 2)


@given(size=st.tuples(*[st.integers(1, 70)] * 2), backbone=st.sampled_from(["small", "milesial"]))
def test_same_padding_keeps_every_size(size, backbone):
    net = unet(3, backbone, **TINY)
    scores = net(np.ones((1, *size, 3), np.float32))
    assert scores.shape == net.shapes((1, *size, 3))["score"] == (1, *size, 3)


def test_too_small_for_valid_convolutions():
    with pytest.raises(ValueError, match=r"layer conv5_2: .* does not fit into an image of 2x8"):
        unet(2, padding="valid", **TINY).shapes((1, 132, 230, 3))


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize("form", FORMS)
def test_the_slope_of_the_whole(check_slope, random_images, form):
    n = 46 if form["padding"] == "valid" else 11
    net = unet(2, **form, widths=(2, 3, 4), rng=1)
    check_slope(net, random_images(2, n, n - 1, 3))


def in_torch(levels, same, normalized):
    """From Ronneberger's figure 1: the skip is cropped in its middle."""

    def forward(layers, x):
        F = layers.F

        def double_conv(x, path, level):
            for k in (1, 2):
                x = layers.conv(x, f"{path}conv{level}_{k}", padding=int(same))
                x = F.relu(layers.norm(x, f"{path}bn{level}_{k}") if normalized else x)
            return x

        skips = []
        for level in range(1, levels + 1):
            if level > 1:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = double_conv(x, "", level)
        for level in range(levels - 1, 0, -1):
            x, skip = layers.up(x, f"up{level}", stride=2), skips.pop()
            (h, w), (H, W) = x.shape[2:], skip.shape[2:]
            top, left = (H - h) // 2, (W - w) // 2
            x = layers.torch.cat([skip[:, :, top : top + h, left : left + w], x], dim=1)
            x = double_conv(x, "up", level)
        return layers.conv(x, "score")

    return forward


@pytest.mark.oracle
@pytest.mark.parametrize("form", FORMS)
def test_small_ones_compute_what_pytorch_does(agrees_with, random_images, form):
    same, normalized = form["padding"] == "same", form["backbone"] == "milesial"
    images = random_images(2, 64, 48, 3) if same else random_images(1, 188, 204, 3)
    agrees_with(in_torch(5, same, normalized), unet(3, **form, **TINY, rng=1), images)


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize(("padding", "n"), [("same", 96), ("valid", 220)])
def test_the_paper_computes_what_pytorch_does(agrees_with, random_images, padding, n):
    net = unet(2, "paper", padding=padding, in_channels=1, rng=1)
    agrees_with(in_torch(5, padding == "same", False), net, random_images(1, n, n, 1))


@given(extra=st.tuples(*[st.integers(0, 60)] * 2), padding=st.sampled_from(["same", "valid"]), seed=seeds)
def test_tiles_equal_one_pass(extra, padding, seed):
    net = unet(2, widths=(2, 3, 4), padding=padding, rng=seed).astype(np.float64)
    image = np.random.default_rng(seed).standard_normal((100 + extra[0], 110 + extra[1], 3))
    np.testing.assert_allclose(inference.tiled(net, image, 96), net(image[None])[0], rtol=0, atol=1e-10)


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize("form", FORMS)
def test_the_recipe_makes_the_network_again(form):
    net = unet(3, **form, **TINY, in_channels=4, rng=5)
    again = models.build(**net.recipe, rng=5)
    assert str(again) == str(net)
    assert all(np.array_equal(array, again.arrays[name]) for name, array in net.arrays.items())
    assert unet(2).recipe == {
        "model": "unet",
        "classes": 2,
        "backbone": "small",
        "padding": "same",
        "in_channels": 3,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes is 0; expected at least 1"),
        ({"backbone": "vgg16"}, "backbone is 'vgg16'; expected one of small, paper, milesial"),
        ({"padding": "zeros"}, "padding is 'zeros'; expected same or valid"),
        ({"widths": (8,)}, r"widths is \(8,\); expected at least two levels"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        unet(**{"classes": 2, **options})
