"""The FCNs: sizes, parameters and names as published, staged training, and PyTorch as the oracle."""

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import initialize, losses, models
from minifcn.layers import ConvTranspose2d, Crop
from minifcn.models import fcn2s, fcn4s, fcn8s, fcn16s, fcn32s
from minifcn.network import Network

ALL = [fcn32s, fcn16s, fcn8s, fcn4s, fcn2s]
TINY = {"widths": (2, 3, 4, 5, 6), "convs": 1, "fc": 7}
UPSAMPLING = {fcn32s: ["upscore"], fcn16s: ["upscore2", "upscore16"],
              fcn8s: ["upscore2", "upscore_pool4", "upscore8"],
              fcn4s: ["upscore2", "upscore_pool4", "upscore_pool3", "upscore4"],
              fcn2s: ["upscore2", "upscore_pool4", "upscore_pool3", "upscore_pool2", "upscore_pool1"]}  # fmt: skip
SCORES = ["score_fr", "score_pool4", "score_pool3", "score_pool2", "score_pool1"]

seeds = st.integers(0, 2**32 - 1)


def released(model, classes=21, backbone="vgg16", **options):
    """A released network with weights of zero, which take neither time nor memory."""
    with mock.patch.object(initialize, "he", lambda shape, fan_in, rng, dtype: np.zeros(shape, dtype)):
        return model(classes, backbone, **options)


def scoring(net, seed=0):
    """The network with random score layers; at first they are zero, and so is all that it computes."""
    rng = np.random.default_rng(seed)
    for name, array in net.params.items():
        if name.startswith("score"):
            array[...] = rng.standard_normal(array.shape)
    return net


def size(net, *, upsampling=False):
    """The number of parameters, without those of the upsampling unless told."""
    return sum(
        array.size for name, array in net.params.items() if upsampling or not name.startswith("upscore")
    )


# ---------------------------------------------------------------- sizes


@given(
    st.sampled_from(ALL), st.integers(1, 2), st.integers(1, 80), st.integers(1, 80), st.integers(1, 4), seeds
)
def test_scores_have_the_size_of_the_image(model, N, H, W, classes, seed):
    net = scoring(model(classes, **TINY, rng=seed))
    images = np.random.default_rng(seed).standard_normal((N, H, W, 3)).astype(np.float32)
    scores = net(images)
    assert scores.shape == net.shapes(images.shape)["score"] == (N, H, W, classes)
    assert np.isfinite(scores).all()


@given(st.integers(1, 300), st.integers(1, 300))
def test_upsampling_in_the_small_networks_meets_the_skips(H, W):
    """It gives the size of the skip, or one more where a pool has rounded up."""
    shapes = fcn8s(2, **TINY).shapes((1, H, W, 3))
    for upsampled, skip in (("upscore2", "pool4"), ("upscore_pool4", "pool3")):
        for axis in (1, 2):
            assert shapes[upsampled][axis] == shapes[skip][axis] + shapes[skip][axis] % 2
    assert shapes["upscore8"][1:3] == (8 * shapes["pool3"][1], 8 * shapes["pool3"][2])


@pytest.mark.parametrize("model", ALL)
def test_released_scores_have_the_size_of_every_image(model):
    net = released(model)
    for n in range(1, 601):
        assert net.shapes((1, n, 601 - n, 3))[net.output] == (1, n, 601 - n, 21)


@given(st.sampled_from(ALL), st.integers(1, 700), st.integers(1, 700), st.integers(81, 300))
def test_any_padding_keeps_the_size_where_it_leaves_enough_for_fc6(model, H, W, padding):
    """fc6 needs 7 pixels of pool5, of which each covers 32."""
    net = released(model, padding=padding)
    if min(H, W) + 2 * padding - 2 > 6 * 32:
        assert net.shapes((1, H, W, 3))[net.output] == (1, H, W, 21)
    else:
        with pytest.raises(ValueError, match=r"layer fc6: .* does not fit"):
            net.shapes((1, H, W, 3))


@pytest.mark.parametrize(
    ("n", "conv1_1", "pools", "fc6", "up32", "up16", "up8", "up4", "twice"),
    [
        (1, 199, [100, 50, 25, 13, 7], 1, 64, 80, 88, 92, [4, 10, 22, 46, 94]),
        (224, 422, [211, 106, 53, 27, 14], 8, 288, 304, 312, 316, [18, 38, 78, 158, 318]),
        (256, 454, [227, 114, 57, 29, 15], 9, 320, 336, 344, 348, [20, 42, 86, 174, 350]),
        (375, 573, [287, 144, 72, 36, 18], 12, 416, 432, 440, 444, [26, 54, 110, 222, 446]),
        (500, 698, [349, 175, 88, 44, 22], 16, 544, 560, 568, 572, [34, 70, 142, 286, 574]),
        (512, 710, [355, 178, 89, 45, 23], 17, 576, 592, 600, 604, [36, 74, 150, 302, 606]),
    ],
)
def test_released_sizes_layer_by_layer(n, conv1_1, pools, fc6, up32, up16, up8, up4, twice):
    last = {fcn32s: ("upscore", up32), fcn16s: ("upscore16", up16), fcn8s: ("upscore8", up8),
            fcn4s: ("upscore4", up4), fcn2s: ("upscore_pool1", twice[4])}  # fmt: skip
    for skips, (model, (name, size)) in enumerate(last.items()):
        net = released(model)
        for axis, image in ((1, (1, n, 300, 3)), (2, (1, 300, n, 3))):
            s = {k: shape[axis] for k, shape in net.shapes(image).items()}
            assert [s["conv1_1"], *(s[f"pool{k}"] for k in range(1, 6)), s["fc6"]] == [conv1_1, *pools, fc6]
            assert [s[name] for name in UPSAMPLING[fcn2s][:skips]] == twice[:skips]
            assert [s[f"score_pool{4 - k}c"] for k in range(skips)] == twice[:skips]
            assert s[name] == size


def test_crops_of_the_released_networks():
    """voc-fcn32s, 16s and 8s; the other two follow from the same rule."""
    crops = {
        fcn32s: [19],
        fcn16s: [5, 27],
        fcn8s: [5, 9, 31],
        fcn4s: [5, 9, 17, 33],
        fcn2s: [5, 9, 17, 33, 34],
    }
    for model, offsets in crops.items():
        layers = [node.layer for node in released(model).nodes.values()]
        assert [layer.offset for layer in layers if isinstance(layer, Crop)] == [(n, n) for n in offsets]


def test_fcn_alexnet_has_the_size_of_every_image_and_the_published_parameters():
    """voc-fcn-alexnet: 57M parameters, a kernel of 63 for upsampling, and a crop of 18."""
    net = released(fcn32s, backbone="alexnet")
    for n in range(1, 601):
        assert net.shapes((1, n, 601 - n, 3))[net.output] == (1, n, 601 - n, 21)
    assert size(net) == sum(array.size for array in net.trainable.values()) == 56_954_261
    assert (
        repr(net.nodes["upscore"].layer) == "ConvTranspose2d(21, 21, kernel_size=63, stride=32, bias=False)"
    )
    assert repr(net.nodes["score"].layer) == "Crop(18)"
    line = 1 - np.abs(np.arange(63) - 31) / 32
    for k in (0, 20):
        np.testing.assert_allclose(net.params["upscore.weight"][:, :, k, k], np.outer(line, line), rtol=1e-6)


@pytest.mark.parametrize("model", ALL[1:])
def test_alexnet_has_no_skips(model):
    with pytest.raises(
        ValueError, match=f"{model.__name__} needs pool3, which AlexNet has not; expected fcn32s"
    ):
        model(21, "alexnet")


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("model", "expected"),
    [*zip(ALL, (134_346_581, 134_357_354, 134_362_751, 134_365_460, 134_366_825))],
)
def test_released_parameter_counts(model, expected):
    """Long, Shelhamer & Darrell (2015), table 1: 134M. Upsampling is fixed and does not count."""
    net = released(model)
    assert size(net) == expected
    assert sum(array.size for array in net.trainable.values()) == expected


@given(
    st.lists(st.integers(1, 6), min_size=5, max_size=5), st.integers(1, 3), st.integers(1, 5),
    st.sampled_from([1, 3, 5]), st.integers(1, 5),
)  # fmt: skip
def test_small_parameter_counts(widths, convs, fc, fc_kernel, K):
    trunk, inputs = 0, 3
    for width in widths:
        trunk += (9 * inputs + 1) * width + (convs - 1) * (9 * width + 1) * width
        inputs = width
    trunk += (fc_kernel**2 * inputs + 1) * fc + (fc + 1) * fc
    scores = [(channels + 1) * K for channels in (fc, *widths[3::-1])]
    options = {"widths": widths, "convs": convs, "fc": fc, "fc_kernel": fc_kernel}
    for model, kernels in zip(ALL, ([64], [4, 32], [4, 4, 16], [4, 4, 4, 8], [4, 4, 4, 4, 4])):
        net, heads = model(K, **options), sum(scores[: len(kernels)])
        assert size(net) == trunk + heads
        assert size(net, upsampling=True) == trunk + heads + sum(k * k * K * K for k in kernels)
        assert net.trainable.keys() == net.params.keys()


@pytest.mark.parametrize("backbone", ["small", "vgg16"])
def test_parameters_have_the_original_names(backbone):
    convs = [2, 2, 3, 3, 3] if backbone == "vgg16" else [2] * 5
    trunk = [f"conv{stage}_{k}" for stage, depth in enumerate(convs, start=1) for k in range(1, depth + 1)]
    for model in ALL:
        scores = SCORES[: len(UPSAMPLING[model])]
        names = {f"{name}.{key}" for name in [*trunk, "fc6", "fc7", *scores] for key in ("weight", "bias")}
        names |= {f"{name}.weight" for name in UPSAMPLING[model]}
        net = released(model) if backbone == "vgg16" else model(2)
        assert set(net.params) == names


@pytest.mark.parametrize("backbone", ["small", "vgg16"])
@pytest.mark.parametrize("model", ALL)
def test_score_layers_start_at_zero_and_upsampling_is_bilinear(model, backbone):
    net = released(model, classes=3) if backbone == "vgg16" else model(3)
    scores = [name for name in net.params if name.startswith("score_")]
    assert len(scores) == 2 * len(UPSAMPLING[model])
    assert not any(net.params[name].any() for name in scores)
    upsampling = {
        name: node.layer for name, node in net.nodes.items() if isinstance(node.layer, ConvTranspose2d)
    }
    assert list(upsampling) == UPSAMPLING[model]
    for layer in upsampling.values():
        factor = layer.window.stride[0]
        kernel_size = 2 * factor
        assert layer.params["weight"].shape == (kernel_size, kernel_size, 3, 3)
        line = 1 - np.abs(np.arange(kernel_size) - factor + 0.5) / factor
        for k in range(3):
            for other in range(3):
                expected = np.outer(line, line) * (k == other)
                np.testing.assert_allclose(layer.params["weight"][:, :, k, other], expected, rtol=1e-6)
        assert layer.frozen == (backbone == "vgg16")
    assert math.prod(layer.window.stride[0] for layer in upsampling.values()) == 32
    frozen = {name for name in net.params if name not in net.trainable}
    assert frozen == ({f"{name}.weight" for name in upsampling} if backbone == "vgg16" else set())


@given(st.sampled_from(ALL), st.integers(1, 9), seeds)
def test_a_fresh_network_finds_all_classes_equally_likely(model, K, seed):
    rng = np.random.default_rng(seed)
    scores = model(K, **TINY, rng=rng)(rng.standard_normal((2, 9, 12, 3)).astype(np.float32))
    np.testing.assert_allclose(losses.softmax(scores), 1 / K, rtol=1e-6)
    value, _ = losses.cross_entropy(scores, rng.integers(0, K, (2, 9, 12)))
    assert value == pytest.approx(math.log(K), abs=1e-6)


@given(st.sampled_from(ALL), seeds)
def test_the_seed_decides_the_weights(model, seed):
    one, same, generator, other = (
        model(2, **TINY, rng=rng) for rng in (seed, seed, np.random.default_rng(seed), seed + 1)
    )
    for name, array in one.params.items():
        np.testing.assert_array_equal(array, same.params[name])
        np.testing.assert_array_equal(array, generator.params[name])
        if name.startswith(("conv", "fc")) and name.endswith("weight"):
            assert not np.isclose(array, other.params[name]).all()


# ---------------------------------------------------------------- what the maps show


@pytest.mark.parametrize("model", ALL)
def test_moving_the_image_moves_the_scores(model):
    """By multiples of 32 pixels, away from the borders."""
    net = scoring(model(2, **TINY, rng=1)).astype(np.float64)
    image = np.random.default_rng(0).standard_normal((1, 480, 448, 3))
    whole, part = net(image), net(image[:, 64:, 32:])
    inside = slice(130, 280)
    assert np.ptp(whole[:, inside, inside]) > 0.1
    np.testing.assert_allclose(whole[:, 64:, 32:][:, inside, inside], part[:, inside, inside], rtol=1e-9)


@given(st.sampled_from(ALL), st.integers(1, 70), st.integers(1, 70), seeds)
def test_turning_image_and_weights_turns_the_scores(model, H, W, seed):
    """Rows become columns: no layer takes one for the other."""
    net = scoring(model(2, **TINY, rng=seed), seed).astype(np.float64)
    image = np.random.default_rng(seed).standard_normal((1, H, W, 3))
    scores = net(image)
    for array in net.params.values():
        if array.ndim == 4:
            array[...] = array.swapaxes(0, 1).copy()
    np.testing.assert_allclose(net(image.swapaxes(1, 2)), scores.swapaxes(1, 2), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model", [fcn4s, fcn2s])
def test_it_overfits_a_toy_image(model, overfits):
    assert overfits(model(4, rng=0)) > 0.9


# ---------------------------------------------------------------- staged training


@pytest.mark.parametrize(("model", "coarser"), [*zip(ALL[1:], ALL)])
def test_a_start_lends_all_parameters_that_both_have(model, coarser):
    rng = np.random.default_rng(0)
    start = coarser(3, **TINY, rng=1)
    start.load_params({name: rng.standard_normal(array.shape) for name, array in start.params.items()})
    net, alone = model(3, **TINY, rng=2, start=start), model(3, **TINY, rng=2)
    assert net.recipe == alone.recipe
    common = net.params.keys() & start.params.keys()
    own = {
        fcn16s: ["score_pool4", "upscore2", "upscore16"],
        fcn8s: ["score_pool3", "upscore_pool4", "upscore8"],
        fcn4s: ["score_pool2", "upscore_pool3", "upscore4"],
        fcn2s: ["score_pool1", "upscore_pool2", "upscore_pool1"],
    }
    assert {name.split(".")[0] for name in net.params.keys() - common} == set(own[model])
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, (start if name in common else alone).params[name])
        assert name not in common or not np.shares_memory(array, start.params[name])


def bilinear_matrix(n, factor):
    """(factor n, n): how much of pixel j pixel i takes, whose place among the n is (i + 1/2) / factor - 1/2."""
    place = (np.arange(factor * n) + 0.5) / factor - 0.5
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(n)))


def upsampled(maps, factor, size):
    """Bilinear interpolation, cut to `size`, by its plain definition."""
    vertical, horizontal = (
        bilinear_matrix(n, factor)[:m] for n, m in zip(maps.shape[1:3], size, strict=True)
    )
    return np.einsum("ij,njkc,lk->nilc", vertical, maps, horizontal)


@pytest.mark.parametrize(
    ("model", "coarser", "seen", "steps"),
    [
        (fcn32s, fcn32s, "score_fr", [("image", 32)]),
        (fcn16s, fcn32s, "score_fr", [("pool4", 2), ("image", 16)]),
        (fcn8s, fcn16s, "fuse_pool4", [("pool3", 2), ("image", 8)]),
        (fcn4s, fcn8s, "fuse_pool3", [("pool2", 2), ("image", 4)]),
        (fcn2s, fcn4s, "fuse_pool2", [("pool1", 2), ("image", 2)]),
    ],
)
@given(st.integers(1, 100), st.integers(1, 100), seeds)
def test_a_staged_network_begins_with_the_upsampled_scores_of_its_start(
    model, coarser, seen, steps, H, W, seed
):
    """The new skip counts for nothing yet: its scores are zero."""
    start = scoring(coarser(3, **TINY, rng=seed), seed).astype(np.float64)
    net = start if model is coarser else model(3, **TINY, rng=seed + 1, start=start).astype(np.float64)
    images = np.random.default_rng(seed).standard_normal((1, H, W, 3))
    maps = start.activations(images, [seen])[seen]
    assert maps.any()
    for target, factor in steps:
        if target != "image":
            skip = net.activations(images, [f"score_{target}"])[f"score_{target}"]
            assert not skip.any()
        maps = upsampled(maps, factor, net.shapes(images.shape)[target][1:3])
    np.testing.assert_allclose(net(images), maps, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "start"),
    [
        (fcn8s, lambda: fcn32s(3, **TINY)),
        (fcn8s, lambda: fcn8s(3, **TINY)),
        (fcn16s, lambda: fcn16s(3, **TINY)),
        (fcn16s, lambda: fcn32s(4, **TINY)),
        (fcn16s, lambda: fcn32s(3, **{**TINY, "fc": 8})),
        (fcn16s, lambda: fcn32s(3, **TINY, fc_kernel=5)),
        (fcn16s, lambda: Network()),
    ],
)
def test_a_start_of_another_kind_is_refused(model, start):
    with pytest.raises(ValueError, match=r"start was made by .*; expected .*'classes': 3"):
        model(3, **TINY, start=start())


# ---------------------------------------------------------------- options and recipes


@pytest.mark.parametrize("model", ALL)
def test_the_recipe_makes_the_network_again(model):
    net = model(3, **TINY, dropout=0.25, rng=5)
    again = models.build(**net.recipe, rng=5)
    assert str(again) == str(net)
    assert net.recipe["model"] == model.__name__
    for name, array in net.params.items():
        np.testing.assert_array_equal(again.params[name], array)


def test_tuples_and_lists_make_one_recipe():
    """A recipe that has been in a checkpoint has lists where there were tuples."""
    start = fcn32s(3, widths=[2, 3, 4, 5, 6])
    net = fcn16s(3, widths=(2, 3, 4, 5, 6), start=start)
    np.testing.assert_array_equal(net.params["fc6.weight"], start.params["fc6.weight"])


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": 0}, ValueError, "classes is 0; expected at least 1"),
        ({"backbone": "resnet"}, ValueError, "backbone is 'resnet'; expected one of small, vgg16"),
        ({"widths": (8, 8)}, ValueError, r"widths is \(8, 8\)"),
        ({"convs": 0}, ValueError, "convs is 0"),
        ({"fc_kernel": 2}, ValueError, "fc_kernel is 2"),
        ({"padding": 100}, TypeError, "padding"),
        ({"backbone": "vgg16", "fc": 8}, TypeError, "fc"),
    ],
)
def test_options_that_cannot_be(model, options, error, message):
    with pytest.raises(error, match=message):
        model(**{"classes": 2, **options})


def test_build_knows_its_models():
    assert [models.MODELS[model.__name__] for model in ALL] == ALL
    with pytest.raises(ValueError, match="model is 'fcn9s'; expected one of fcn32s, fcn16s, fcn8s"):
        models.build("fcn9s", 2)


# ---------------------------------------------------------------- PyTorch as the oracle


def torch_fcn(torch, model, params, images, depths, is_released):
    """An FCN in PyTorch, from parameters by name in this package's layout, with the released offsets typed in."""
    F = torch.nn.functional
    skips = len(UPSAMPLING[model]) - 1
    finest, factor = UPSAMPLING[model][-1], 32 // 2**skips

    def conv(x, name, padding=0):
        return F.conv2d(
            x, params[f"{name}.weight"].permute(3, 2, 0, 1), params[f"{name}.bias"], padding=padding
        )

    def upsample(x, name, factor):
        weight = params[f"{name}.weight"].permute(3, 2, 0, 1)
        return F.conv_transpose2d(x, weight, stride=factor, padding=0 if is_released else factor // 2)

    def cut(x, offset, like):
        H, W = like.shape[2:]
        return x[:, :, offset : offset + H, offset : offset + W]

    x, pools = images, {}
    for stage, depth in enumerate(depths, start=1):
        for k in range(1, depth + 1):
            padding = 100 if is_released and stage == k == 1 else 1
            x = F.relu(conv(x, f"conv{stage}_{k}", padding))
        pools[stage] = x = F.max_pool2d(x, 2, ceil_mode=True)
    x = F.relu(conv(x, "fc6", 0 if is_released else 1))
    x = F.relu(conv(x, "fc7"))
    x = conv(x, "score_fr")
    for stage, name, offset in zip((4, 3, 2, 1), UPSAMPLING[model][:-1], (5, 9, 17, 33)):
        x, skip = upsample(x, name, 2), conv(pools[stage], f"score_pool{stage}")
        x = x + cut(skip, offset, like=x) if is_released else cut(x, 0, like=skip) + skip
    offset = (19, 27, 31, 33, 34)[skips] if is_released else 0
    return cut(upsample(x, finest, factor), offset, like=images)


def difference(found, expected):
    """The largest difference in terms of the largest value."""
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("model", ALL)
def test_released_ones_compute_what_pytorch_does(model):
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    net = scoring(model(21, "vgg16", rng=0))
    images = np.random.default_rng(1).standard_normal((1, 97, 130, 3)).astype(np.float32)
    params = {name: torch.from_numpy(array) for name, array in net.params.items()}
    with torch.inference_mode():
        channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
        expected = torch_fcn(torch, model, params, channels_first, (2, 2, 3, 3, 3), is_released=True)
    assert difference(net(images), expected.permute(0, 2, 3, 1).numpy()) < 1e-4


@pytest.mark.oracle
@pytest.mark.parametrize("model", ALL)
def test_small_ones_have_the_gradients_of_pytorch(model):
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    rng = np.random.default_rng(0)
    net = model(3, widths=(3, 4, 5, 6, 7), convs=2, fc=8, rng=rng).astype(np.float64)
    net.load_params(
        {name: array + 0.1 * rng.standard_normal(array.shape) for name, array in net.params.items()}
    )
    images, dscores = rng.standard_normal((2, 45, 70, 3)), rng.standard_normal((2, 45, 70, 3))
    scores, tape = net.forward(images)
    grads = net.backward(dscores, tape, image_gradient=True)

    params = {name: torch.tensor(array, requires_grad=True) for name, array in net.params.items()}
    inputs = torch.tensor(images, requires_grad=True)
    expected = torch_fcn(torch, model, params, inputs.permute(0, 3, 1, 2), (2,) * 5, is_released=False)
    expected = expected.permute(0, 2, 3, 1)
    assert difference(scores, expected.detach().numpy()) < 1e-12
    expected.backward(torch.tensor(dscores))
    assert grads.keys() == {*params, "image"}
    for name, tensor in {**params, "image": inputs}.items():
        assert tensor.grad.abs().max() > 0, name
        assert difference(grads[name], tensor.grad.numpy()) < 1e-9, name
