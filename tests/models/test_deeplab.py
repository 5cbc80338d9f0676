"""DeepLab-LargeFOV and ASPP: sizes and parameters as published, any size, and PyTorch as the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn.geometry import view
from minifcn.layers import MaxPool2d
from minifcn.models import deeplab_aspp, deeplab_largefov

ALL = [deeplab_largefov, deeplab_aspp]
FORMS = [(model, backbone) for model in ALL for backbone in ("small", "vgg16")]
RATES = {
    (deeplab_largefov, "small"): [4],
    (deeplab_largefov, "vgg16"): [12],
    (deeplab_aspp, "small"): [2, 4, 6, 8],
    (deeplab_aspp, "vgg16"): [6, 12, 18, 24],
}
TINY = {"widths": (2, 3, 4, 5, 6), "fc": 7}
seeds = st.integers(0, 2**32 - 1)


def size(net):
    return sum(array.size for array in net.trainable.values())


# ---------------------------------------------------------------- sizes and parameters


@pytest.mark.usefixtures("zeros")
def test_parameter_counts():
    """20.5 M in the paper's table of LargeFOV. Interpolation is fixed and does not count."""
    assert size(deeplab_largefov(21, "vgg16")) == 20_505_429
    branch = (9 * 512 + 1) * 1024 + (1024 + 1) * 1024 + (1024 + 1) * 21
    assert size(deeplab_aspp(21, "vgg16")) == 14_714_688 + 4 * branch == 37_877_652


@pytest.mark.parametrize("k", [2, 3, 11, 16])
@pytest.mark.parametrize("model", ALL)
def test_every_size_of_the_released_networks(model, k):
    """n = 32 k - 31 stays aligned at every stride; 321 is that of the released ones."""
    n = 32 * k - 31
    net = model(21, "vgg16", **TINY)
    shapes = net.shapes((1, n, n, 3))
    chain = [16 * k - 15, 8 * k - 7, 4 * k - 3, 4 * k - 3, 4 * k - 3]
    assert [shapes[f"pool{stage}"][1] for stage in range(1, 6)] == chain
    assert {shapes[name][1] for name in net.nodes if name.startswith("fc")} == {4 * k - 3}
    assert shapes["upscore"] == shapes["score"] == (1, n, n, 21)
    if k == 11:
        assert (n, chain) == (321, [161, 81, 41, 41, 41])


@pytest.mark.parametrize(("model", "backbone"), FORMS)
def test_layers_of_the_released_networks(model, backbone):
    net = model(21, backbone, **TINY)
    pools = [node.layer for node in net.nodes.values() if isinstance(node.layer, MaxPool2d)]
    assert [pool.window.kernel_size for pool in pools] == [(3, 3)] * 5
    assert [pool.window.stride[0] for pool in pools] == [2, 2, 2, 1, 1]
    conv5 = [name for name in net.nodes if name.startswith("conv5")]
    assert all(net.nodes[name].layer.window.dilation == (2, 2) for name in conv5)
    fc6 = [(name, node) for name, node in net.nodes.items() if name.startswith("fc6")]
    assert [node.layer.window.dilation[0] for _, node in fc6] == RATES[model, backbone]
    assert {node.reads for _, node in fc6} == {("pool5a",) if model is deeplab_largefov else ("pool5",)}
    assert ("drop7_1" in net.nodes) == (backbone == "vgg16")
    if model is deeplab_aspp:
        assert net.nodes["fc8"].reads == ("fc8_1", "fc8_2", "fc8_3", "fc8_4")


@given(form=st.sampled_from(FORMS), H=st.integers(1, 60), W=st.integers(1, 60), classes=st.integers(1, 3))
def test_scores_have_the_size_of_the_image(form, H, W, classes):
    model, backbone = form
    net = model(classes, backbone, **TINY)
    assert net.shapes((2, H, W, 3))["score"] == (2, H, W, classes)
    assert (view(net, "score").stride, view(net, "score").offset) == (1, 0)


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize(("model", "backbone"), FORMS)
def test_the_slope_of_the_whole(check_slope, random_images, model, backbone):
    net = model(2, backbone, widths=(2, 2, 2, 2, 2), fc=3, rng=1)
    check_slope(net, random_images(2, 19, 26, 3))


def in_torch(net, backbone, rates):
    """From the released train.prototxt of both."""

    def forward(layers, x):
        F, (H, W) = layers.F, x.shape[2:]

        def pool(x, stage):
            return F.max_pool2d(x, 3, stride=2 if stage < 4 else 1, padding=1, ceil_mode=True)

        x = layers.dilated_trunk(x, backbone, pool)
        if len(rates) == 1:
            x = F.avg_pool2d(x, 3, stride=1, padding=1)
        scores = 0
        for i, rate in enumerate(rates, start=1):
            y = F.relu(layers.conv(x, f"fc6_{i}", dilation=rate, padding=rate))
            scores = scores + layers.conv(F.relu(layers.conv(y, f"fc7_{i}")), f"fc8_{i}")
        shape = [8 * (n - 1) + 1 for n in scores.shape[2:]]
        return F.interpolate(scores, shape, mode="bilinear", align_corners=True)[:, :, :H, :W]

    return forward


@pytest.mark.oracle
@pytest.mark.parametrize(("model", "backbone"), FORMS)
@pytest.mark.parametrize("size", [(97, 129), (90, 83)])
def test_it_computes_what_pytorch_does(agrees_with, random_images, model, backbone, size):
    net = model(3, backbone, **TINY, rng=1)
    agrees_with(in_torch(net, backbone, RATES[model, backbone]), net, random_images(1, *size, 3))


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("model", ALL)
def test_the_released_network_computes_what_pytorch_does(agrees_with, random_images, model):
    net = model(21, "vgg16", rng=1)
    agrees_with(in_torch(net, "vgg16", RATES[model, "vgg16"]), net, random_images(1, 193, 225, 3))


@settings(max_examples=5)
@pytest.mark.parametrize("model", ALL)
@given(extra=st.tuples(*[st.integers(1, 150)] * 2), seed=seeds)
def test_tiles_equal_one_pass(tiles_equal_one_pass, model, extra, seed):
    rng = np.random.default_rng(seed)
    net = model(2, widths=(2, 2, 2, 2, 2), fc=3, rng=rng).astype(np.float64)
    tiles_equal_one_pass(net, extra, rng)


@pytest.mark.parametrize("model", ALL)
def test_it_overfits_a_toy_image(overfits, model):
    assert overfits(model(4, rng=0)) > 0.8


@pytest.mark.parametrize("model", ALL)
def test_it_starts_from_vgg16(load_vgg16, model):
    """fc6 and fc7 of all branches have some of the taps and channels of VGG16's."""
    net = model(3, "vgg16", widths=TINY["widths"], fc=3)
    source, theirs = load_vgg16(net, TINY["widths"], fc=6)
    kept = [name for name in net.params if name.startswith("fc8")] + ["upscore.weight"]
    assert sorted(source.kept) == sorted(kept)
    assert source.skipped == ("classifier.6.weight", "classifier.6.bias")
    fc6 = theirs["classifier.0.weight"].reshape(6, TINY["widths"][4], 7, 7)
    for branch in range(1, len(RATES[model, "vgg16"]) + 1):
        found = net.params[f"fc6_{branch}.weight"].transpose(3, 2, 0, 1)
        np.testing.assert_array_equal(found, fc6[::2, :, ::3, ::3])
        found = net.params[f"fc7_{branch}.weight"][0, 0].T
        np.testing.assert_array_equal(found, theirs["classifier.3.weight"][::2, ::2])
        np.testing.assert_array_equal(net.params[f"fc7_{branch}.bias"], theirs["classifier.3.bias"][::2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes is 0; expected at least 1"),
        ({"backbone": "alexnet"}, "backbone is 'alexnet'; expected one of small, vgg16"),
        ({"widths": (8,)}, r"widths is \(8,\); expected five numbers"),
        ({"fc": 0}, "out_channels is 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        deeplab_aspp(**{"classes": 2, **options})
