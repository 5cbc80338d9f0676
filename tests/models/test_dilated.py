"""The dilated front end and its context modules: sizes, fields and parameters as published, and PyTorch."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn import initialize, weights
from minifcn.geometry import view
from minifcn.models import dilated, dilated_context, dilated_context_large

ALL = [dilated, dilated_context, dilated_context_large]
FORMS = [(model, backbone) for model in ALL for backbone in ("small", "vgg16")]
TINY = {"widths": (2, 3, 4, 5, 6), "fc": 7}
seeds = st.integers(0, 2**32 - 1)


def size(net, prefix=""):
    return sum(array.size for name, array in net.params.items() if name.startswith(prefix))


# ---------------------------------------------------------------- sizes, fields and parameters


@pytest.mark.usefixtures("zeros")
def test_parameter_counts():
    """Of basic, 64 K² weights; the front end has as many as FCN-32s, whose layers it has."""
    front = dilated(21, "vgg16")
    assert size(front) == 134_346_581
    assert size(dilated_context(21, "vgg16")) == 134_346_581 + 64 * 21**2 + 8 * 21
    large = [21, 42, 42, 84, 168, 336, 672, 672]
    expected = sum((9 * a + 1) * b for a, b in pairwise(large)) + (672 + 1) * 21
    assert size(dilated_context_large(21, "vgg16")) == 134_346_581 + expected


@pytest.mark.parametrize(("n", "scores"), [(500, 16), (628, 32), (852, 60), (900, 66), (1396, 128)])
def test_every_size_of_the_paper(n, scores):
    """`n` is the mirrored image, and the context module keeps the size: 33 places in, 66 lost."""
    net = dilated_context(21, "vgg16", **TINY)
    assert repr(net.nodes["mirror"].layer) == "Pad2d(186, mode='reflect')"
    shapes = net.shapes((1, n - 372, n - 372, 3))
    down, half = [n - 4], (n - 4) // 2
    down += [half, half - 4]
    down += [half // 2 - 2, half // 2 - 8]
    down += [half // 4 - 4, half // 4 - 10, half // 4 - 22, half // 4 - 46]
    names = ("conv1_2", "pool1", "conv2_2", "pool2", "conv3_3", "pool3", "conv4_3", "conv5_3", "fc6")
    assert [shapes[name][1] for name in names] == down
    assert shapes["mirror"][1:3] == (n, n)
    assert shapes["fc-final"][1:3] == (scores, scores) == ((n - 372) // 8,) * 2
    context = [shapes[name][1] - scores for name in net.nodes if name.startswith("ct_")]
    assert context == [64, 62, 58, 50, 34, 2, 0, 0]
    assert shapes["score"] == (1, n - 372, n - 372, 21)


def test_fields_of_view():
    """Table 1: 3, 5, 9, 17, 33, 65, 67, 67 places of the scores; 380 pixels, and 908 with the context."""
    for model in (dilated_context, dilated_context_large):
        net = model(3, "vgg16", **TINY)
        fields = [view(net, name, of="fc-final").field for name in net.nodes if name.startswith("ct_")]
        assert fields == [3, 5, 9, 17, 33, 65, 67, 67]
        assert view(net, "fc-final").field == 380 and view(net, "ct_final").field == 908
        assert view(net, "fc-final").stride == 8


def test_channels_of_the_large_module():
    net = dilated_context_large(21, **TINY)
    channels = [w.shape[3] for name, w in net.params.items() if name.startswith("ct_") and w.ndim == 4]
    assert channels == [42, 42, 84, 168, 336, 672, 672, 21]


@given(
    form=st.sampled_from(FORMS),
    H=st.integers(1, 60),
    W=st.integers(1, 60),
    classes=st.integers(1, 3),
)
def test_scores_have_the_size_of_the_image(form, H, W, classes):
    model, backbone = form
    net = model(classes, backbone, **TINY)
    shapes = net.shapes((2, H, W, 3))
    assert shapes["score"] == (2, H, W, classes)
    assert shapes["fc-final"] == (2, -(-H // 8), -(-W // 8), classes)
    assert (view(net, "score").stride, view(net, "score").offset) == (1, 0)


# ---------------------------------------------------------------- the identity


@pytest.mark.parametrize("backbone", ["small", "vgg16"])
@pytest.mark.parametrize(("model", "tolerance"), [(dilated_context, 1e-6), (dilated_context_large, 0.4)])
def test_the_context_starts_as_the_identity(model, tolerance, backbone, random_images):
    """To the noise of large, whose 672 channels add up. Rectifiers let pass what is not negative."""
    net = model(5, backbone, **TINY, rng=0)
    net.params["fc-final.weight"][...] = np.random.default_rng(0).standard_normal((1, 1, 7, 5))
    net.params["fc-final.bias"][...] = 0.1
    found = net.activations(random_images(1, 40, 40, 3), ["fc-final", "ct_final"])
    before, after = np.maximum(found["fc-final"], 0), found["ct_final"]
    assert np.ptp(before) > 0.1
    assert np.abs(after - before).max() <= tolerance * before.max()


def test_the_large_module_is_the_identity_without_its_noise(monkeypatch, random_images):
    quiet = initialize.identity
    monkeypatch.setattr(initialize, "identity", lambda *arguments: quiet(*arguments[:4]))
    net = dilated_context_large(3, **TINY, rng=0)
    net.params["fc-final.bias"][...] = (0.1, 2, 30)
    found = net.activations(random_images(1, 24, 32, 3), ["fc-final", "ct_final"])
    np.testing.assert_allclose(found["ct_final"], found["fc-final"], rtol=1e-5)


def test_a_trained_front_end_is_where_the_context_starts(tmp_path, random_images):
    front, net = dilated(3, **TINY, rng=0), dilated_context(3, **TINY, rng=1)
    front.params["fc-final.bias"][...] = (1, 2, 3)
    weights.save(front, tmp_path / "front.safetensors")
    source = weights.load(net, tmp_path / "front.safetensors")
    assert source.kept == tuple(name for name in net.params if name.startswith("ct_"))
    images = random_images(1, 30, 40, 3)
    np.testing.assert_allclose(net(images), front(images), rtol=1e-5)


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize(("model", "backbone"), FORMS)
def test_the_slope_of_the_whole(check_slope, random_images, model, backbone):
    net = model(2, backbone, widths=(2, 2, 2, 2, 2), fc=3, rng=1)
    check_slope(net, random_images(2, 11, 18, 3))


def in_torch(net, backbone, context):
    """From the tables of both papers, padding by its own functions."""
    released = backbone == "vgg16"

    def forward(layers, x):
        F, (H, W) = layers.F, x.shape[2:]
        if released:
            x = F.pad(x, (186,) * 4, mode="reflect")
        x = layers.dilated_trunk(x, backbone, layers.halve_three_times, padded=not released)
        x = F.relu(layers.conv(x, "fc6", dilation=4, padding=0 if released else 4))
        x = layers.conv(F.relu(layers.conv(x, "fc7")), "fc-final")
        if context:
            x = F.pad(x, (33,) * 4) if released else x
            for name, d in zip(("1_1", "1_2", "2_1", "3_1", "4_1", "5_1"), (1, 1, 2, 4, 8, 16)):
                padding = 0 if released else d
                x = F.relu(layers.conv(x, f"ct_conv{name}", dilation=d, padding=padding))
            x = F.relu(layers.conv(x, "ct_fc1", padding=0 if released else 1))
            x = layers.conv(x, "ct_final")
        return F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False)[:, :, :H, :W]

    return forward


@pytest.mark.oracle
@pytest.mark.parametrize(("model", "backbone"), FORMS)
def test_it_computes_what_pytorch_does(agrees_with, random_images, model, backbone):
    net = model(3, backbone, **TINY, rng=1)
    agrees_with(in_torch(net, backbone, model is not dilated), net, random_images(1, 190, 197, 3))


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("model", [dilated_context, dilated_context_large])
def test_the_paper_computes_what_pytorch_does(agrees_with, random_images, model):
    net = model(21, "vgg16", rng=1)
    agrees_with(in_torch(net, "vgg16", True), net, random_images(1, 192, 192, 3))


@settings(max_examples=3)
@pytest.mark.parametrize(("model", "backbone"), [*FORMS[:2], (dilated_context, "small")])
@given(extra=st.tuples(*[st.integers(1, 70)] * 2), seed=seeds)
def test_tiles_equal_one_pass(tiles_equal_one_pass, model, backbone, extra, seed):
    """Mirrored borders are those of the image, not of its tiles."""
    rng = np.random.default_rng(seed)
    net = model(2, backbone, widths=(2, 2, 2, 2, 2), fc=3, rng=rng).astype(np.float64)
    net.params["fc-final.weight"][...] = rng.standard_normal((1, 1, 3, 2))
    tiles_equal_one_pass(net, extra, rng)


@pytest.mark.parametrize("model", ALL)
def test_it_overfits_a_toy_image(overfits, model):
    assert overfits(model(4, rng=0)) > 0.8


@pytest.mark.parametrize("model", ALL)
def test_it_starts_from_vgg16(load_vgg16, model):
    """All layers but the last and the context, as the paper does."""
    net = model(3, "vgg16", **TINY)
    source, _ = load_vgg16(net, **TINY)
    new = [name for name in net.params if name.startswith(("fc-final", "ct_"))]
    assert list(source.kept) == new and source.skipped == ("classifier.6.weight", "classifier.6.bias")


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
        dilated(**{"classes": 2, **options})
