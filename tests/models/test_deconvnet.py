"""DeconvNet: sizes and parameters as released, any size in the small form, and PyTorch as the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, losses, models, optim
from minifcn.data.shapes import Shapes
from minifcn.geometry import view
from minifcn.layers import Conv2d, ConvTranspose2d
from minifcn.models import deconvnet
from minifcn.models.deconvnet import MIDDLES, UPSAMPLINGS, Middle
from minifcn.models.encoder_decoder import STAGES

each_upsampling = pytest.mark.parametrize("upsampling", UPSAMPLINGS)


@pytest.fixture
def thin(monkeypatch):
    """The released network with few channels."""
    monkeypatch.setitem(STAGES, "vgg16", ((2, 2), (3, 2), (4, 3), (5, 3), (6, 3)))
    monkeypatch.setitem(MIDDLES, "vgg16", Middle(8, 7, 0))


@pytest.fixture
def tiny(monkeypatch):
    """Three stages, of few channels."""
    monkeypatch.setitem(STAGES, "small", ((2, 1), (3, 2), (4, 1)))
    monkeypatch.setitem(MIDDLES, "small", Middle(5, 3, 1))


# ---------------------------------------------------------------- sizes and parameters


def test_every_size_of_the_released_network(zeros):
    shapes = deconvnet(21, "vgg16").shapes((1, 224, 224, 3))
    assert [shapes[f"pool{k}"][1:] for k in range(1, 6)] == [
        (112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 512)
    ]  # fmt: skip
    assert shapes["fc6"] == shapes["fc7"] == (1, 1, 1, 4096)
    assert shapes["fc6_deconv"] == (1, 7, 7, 512)
    assert [shapes[f"unpool{k}"][1] for k in (5, 4, 3, 2, 1)] == [14, 28, 56, 112, 224]
    stages = [f"deconv{stage}" for stage in range(1, 6)]
    decoder = {name: shape[3] for name, shape in shapes.items() if name[:-2] in stages}
    assert decoder == {
        "deconv5_1": 512, "deconv5_2": 512, "deconv5_3": 512,
        "deconv4_1": 512, "deconv4_2": 512, "deconv4_3": 256,
        "deconv3_1": 256, "deconv3_2": 256, "deconv3_3": 128,
        "deconv2_1": 128, "deconv2_2": 64,
        "deconv1_1": 64, "deconv1_2": 64,
    }  # fmt: skip
    assert shapes["seg_score"] == (1, 224, 224, 21)


def test_parameters_of_the_released_network(zeros):
    """The paper: about 252 million. fc6 and its mirror image have 103 each."""
    net = deconvnet(21, "vgg16")
    vgg16, fc6, fc7 = 14_714_688, 102_764_544, 16_781_312
    fc6_deconv = 49 * 4096 * 512 + 512
    pairs = [(512, 512)] * 5 + [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64)]
    deconvs = sum((9 * a + 1) * b for a, b in [*pairs, (64, 64), (64, 64)])
    norms = 2 * (64 * 2 + 128 * 2 + 256 * 3 + 512 * 6 + 4096 * 2 + 512 + sum(b for _, b in pairs) + 2 * 64)
    expected = vgg16 + fc6 + fc7 + fc6_deconv + deconvs + norms + 65 * 21
    assert sum(array.size for array in net.params.values()) == expected == 251_805_653
    assert view(net, "fc6").field == 404


@each_upsampling
@given(size=st.tuples(*[st.integers(1, 70)] * 2))
def test_the_small_one_keeps_every_size(upsampling, size):
    net = deconvnet(3, upsampling=upsampling)
    scores = net(np.ones((1, *size, 3), np.float32))
    assert scores.shape == net.shapes((1, *size, 3))["seg_score"] == (1, *size, 3)


@each_upsampling
@pytest.mark.parametrize("size", [(193, 193), (194, 225), (224, 256), (333, 199)])
def test_the_released_one_keeps_what_its_fc6_fits_into(thin, upsampling, size):
    net = deconvnet(3, "vgg16", upsampling=upsampling)
    assert net.shapes((1, *size, 3))["seg_score"] == (1, *size, 3)


def test_too_small_for_fc6(thin):
    with pytest.raises(ValueError, match=r"layer fc6: .* does not fit into an image of 6x7"):
        deconvnet(2, "vgg16").shapes((1, 192, 193, 3))


def test_upsamplings_differ_in_one_layer_a_stage():
    """All else has the same names, shapes and places, so the three can be compared."""
    nets = {upsampling: deconvnet(3, upsampling=upsampling) for upsampling in UPSAMPLINGS}
    for net in nets.values():
        convs = [n for n, node in net.nodes.items() if isinstance(node.layer, Conv2d | ConvTranspose2d)]
        assert len([name for name in convs if not name.startswith("up")]) == 10 + 3 + 10 + 1
        assert view(net, "seg_score").stride == 1 and view(net, "seg_score").offset == 0
    up = ["unpool", "up"]
    rest = [{n for n in net.nodes if not n.startswith((*up, "crop"))} for net in nets.values()]
    assert rest[0] == rest[1] == rest[2]


# ---------------------------------------------------------------- what it computes


@each_upsampling
def test_the_slope_of_the_whole(tiny, check_slope, random_images, upsampling):
    check_slope(deconvnet(2, upsampling=upsampling, rng=1), random_images(2, 19, 22, 3))


def in_torch(depths, padding, upsampling):
    def forward(layers, x):
        F, pools = layers.F, []

        def normalized(x, norm):
            return F.relu(layers.norm(x, norm))

        for stage, depth in enumerate(depths, start=1):
            for k in range(1, depth + 1):
                x = normalized(layers.conv(x, f"conv{stage}_{k}", padding=1), f"conv{stage}_{k}_bn")
            before = x.shape[2:]
            x, where = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            pools.append((where, before))
        x = normalized(layers.conv(x, "fc6", padding=padding), "fc6_bn")
        x = normalized(layers.conv(x, "fc7"), "fc7_bn")
        x = normalized(layers.up(x, "fc6_deconv", padding=padding), "fc6_deconv_bn")
        for stage in range(len(depths), 0, -1):
            where, (H, W) = pools.pop()
            if upsampling == "unpool":
                flat = layers.torch.zeros((*x.shape[:2], H * W))
                x = flat.scatter(2, where.flatten(2), x.flatten(2)).reshape(*x.shape[:2], H, W)
            elif upsampling == "transposed":
                x = layers.up(x, f"up{stage}", stride=2, padding=1)[:, :, :H, :W]
            else:
                x = F.interpolate(x, scale_factor=2, mode="nearest")[:, :, :H, :W]
            for k in range(1, depths[stage - 1] + 1):
                x = normalized(layers.up(x, f"deconv{stage}_{k}", padding=1), f"deconv{stage}_{k}_bn")
        return layers.conv(x, "seg_score")

    return forward


@pytest.mark.oracle
@each_upsampling
@pytest.mark.parametrize("size", [(64, 48), (45, 50)])
def test_the_small_one_computes_what_pytorch_does(agrees_with, random_images, upsampling, size):
    net = deconvnet(3, upsampling=upsampling, rng=1)
    agrees_with(in_torch((2,) * 5, 1, upsampling), net, random_images(2, *size, 3))


@pytest.mark.oracle
@pytest.mark.slow
@each_upsampling
def test_the_released_one_computes_what_pytorch_does(agrees_with, random_images, upsampling):
    net = deconvnet(21, "vgg16", upsampling=upsampling, rng=1)
    agrees_with(in_torch((2, 2, 3, 3, 3), 0, upsampling), net, random_images(1, 200, 224, 3))


@each_upsampling
def test_tiles_equal_one_pass(tiny, random_images, upsampling):
    net = deconvnet(2, upsampling=upsampling, rng=1).astype(np.float64)
    image = random_images(201, 190, 3).astype(np.float64)
    np.testing.assert_allclose(inference.tiled(net, image, 128), net(image[None])[0], rtol=0, atol=1e-10)


@each_upsampling
def test_one_image_is_learned_by_heart(upsampling):
    """By its own statistics: fc6 has four places here, and running averages have 4/3 of the variance of so few."""
    image, labels = (array[None] for array in Shapes(1, 64, seed=3)[0])
    images = (image.astype(np.float32) - 128) / 64
    net = deconvnet(4, upsampling=upsampling, rng=0)
    optimizer = optim.Adam(net.trainable, lr=4e-3)
    for _ in range(50):
        scores, tape = net.forward(images, train=True)
        _, dscores = losses.cross_entropy(scores, labels)
        optimizer.step(net.backward(dscores, tape))
    assert np.mean(labels == 0) < 0.85 and np.mean(scores.argmax(axis=-1) == labels) > 0.98


# ---------------------------------------------------------------- weights and recipes


def test_it_starts_from_vgg16(thin, load_vgg16):
    net = deconvnet(21, "vgg16", upsampling="transposed", rng=0)
    before = {name: array.copy() for name, array in net.arrays.items()}
    source, tensors = load_vgg16(net, (2, 3, 4, 5, 6), 8)
    assert source.skipped == ("classifier.6.weight", "classifier.6.bias")
    fc6 = tensors["classifier.0.weight"].reshape(8, 6, 7, 7).transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(net.params["fc6.weight"], fc6)
    np.testing.assert_array_equal(net.params["fc7.bias"], tensors["classifier.3.bias"])
    assert all(np.array_equal(net.arrays[name], before[name]) for name in source.kept)


@each_upsampling
def test_the_recipe_makes_the_network_again(upsampling):
    net = deconvnet(3, upsampling=upsampling, rng=5)
    again = models.build(**net.recipe, rng=5)
    assert str(again) == str(net)
    assert all(np.array_equal(array, again.arrays[name]) for name, array in net.arrays.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes is 0; expected at least 1"),
        ({"backbone": "paper"}, "backbone is 'paper'; expected one of small, vgg16"),
        ({"upsampling": "bilinear"}, "upsampling is 'bilinear'; expected one of unpool, transposed, resize"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        deconvnet(**{"classes": 2, **options})
