"""Weights into networks: everything or nothing, by the right names, in the right places."""

import dataclasses
import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import initialize, models, weights
from minifcn.checkpoint import Checkpoint
from minifcn.data import Preprocessing
from minifcn.errors import InputError
from minifcn.layers import Conv2d, ConvTranspose2d, Dropout, Flatten, Linear, ReLU
from minifcn.models import BACKBONES, backbones
from minifcn.network import Network
from minifcn.weights import caffe_file, names, safetensors_file, torch_file

VGG16_DEPTHS = (2, 2, 3, 3, 3)
WIDTHS, FC = (2, 3, 4, 5, 6), 7


# ---------------------------------------------------------------- thin networks with the layers of the large ones


def thin_vgg16(classes=9, seed=0):
    """VGG16 with few channels."""
    rng, net = np.random.default_rng(seed), Network((1, 224, 224, 3))
    backbones.vgg_stages(net, rng, WIDTHS, VGG16_DEPTHS, ceil_mode=False)
    net.add("flatten", Flatten())
    for k, (n, width) in enumerate(((7 * 7 * WIDTHS[-1], FC), (FC, FC), (FC, classes)), start=6):
        net.add(f"fc{k}", Linear(n, width, rng=rng))
        if k < 8:
            net.add(f"relu{k}", ReLU())
            net.add(f"drop{k}", Dropout(0.5))
    return net


def thin_trunk(net, rng):
    """The same as a trunk of FCNs."""
    channels = backbones.vgg_stages(net, rng, WIDTHS, VGG16_DEPTHS, first_padding=100)
    for name, kernel_size in (("fc6", 7), ("fc7", 1)):
        net.add(name, Conv2d(channels, FC, kernel_size, rng=rng))
        net.add(f"relu{name[2:]}", ReLU())
        channels = FC
    return channels


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setitem(BACKBONES, "vgg16", thin_trunk)


def randomize(net, seed=1):
    rng = np.random.default_rng(seed)
    for array in net.params.values():
        array[...] = rng.standard_normal(array.shape)
    return net


def theirs(net, seed=2):
    """Random tensors in PyTorch's layout for every parameter: (O, C, H, W) and (O, I)."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, array in net.params.items():
        shape = array.shape
        shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
        tensors[name] = (0.2 * rng.standard_normal(shape)).astype(np.float32)
    return tensors


def renamed(tensors, table):
    """Under the names that a table of names.py has for the layers."""
    return {
        f"{table[name.partition('.')[0]]}.{name.partition('.')[2]}": array for name, array in tensors.items()
    }


def stored(folder, tensors, ending=".safetensors", **metadata):
    path = folder / f"stored{ending}"
    if ending == ".npz":
        np.savez(path, **tensors)
    else:
        safetensors_file.write(path, tensors, metadata)
    return path


@pytest.fixture
def contents(monkeypatch, tmp_path):
    """A file of PyTorch or Caffe in name only: its reader gives these tensors."""

    def made(tensors, ending):
        monkeypatch.setattr(
            {".pth": torch_file, ".caffemodel": caffe_file}[ending], "read", lambda path: tensors
        )
        return tmp_path / f"some{ending}"

    return made


def refuses(net, path, *arguments):
    """load must raise, and leave the network as it was; the message."""
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(InputError) as caught:
        weights.load(net, path, *arguments)
    assert all(np.array_equal(array, before[name]) for name, array in net.params.items())
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- save and load

SMALL = {"widths": (2, 2, 3, 3, 4), "convs": 1, "fc": 5}
NETWORKS = {
    "fcn8s": lambda: models.fcn8s(3, rng=0, **SMALL),
    "fcn32s": lambda: models.fcn32s(2, rng=0, **SMALL),
    "window_net": lambda: models.window_net(3, width=2, fc=5, rng=0),
    "gap_net": lambda: models.gap_net(3, width=2, rng=0),
    "vgg16": thin_vgg16,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_save_and_load_restore_every_bit(tmp_path, name, dtype):
    net = randomize(NETWORKS[name]().astype(dtype))
    weights.save(net, tmp_path / "a.safetensors")
    other = NETWORKS[name]().astype(dtype)
    source = weights.load(other, tmp_path / "a.safetensors")
    assert other.params.keys() == net.params.keys()
    for key, array in net.params.items():
        assert other.params[key].dtype == dtype
        assert np.array_equal(other.params[key], array)
    assert source == weights.Source("safetensors", "the network's own names", None, tuple(net.params), (), ())


@given(st.data())
def test_saved_in_the_layout_of_pytorch(tmp_path_factory, data):
    """Element by element, with groups and kernels that are not square."""
    groups, C, K, H, W = (data.draw(st.integers(1, 3), label=label) for label in "gCKHW")
    net = Network((1, H + 3, W + 2, groups * C))
    net.add("conv", Conv2d(groups * C, groups * K, (H, W), groups=groups, rng=0))
    net.add("up", ConvTranspose2d(groups * K, groups * C, (W, H), bias=False, groups=groups, rng=0))
    net.add("flatten", Flatten())
    _, h, w, c = net.shapes(net.image_shape)["up"]
    net.add("fc", Linear(h * w * c, 2, rng=0))
    path = tmp_path_factory.mktemp("saved") / "a.safetensors"
    weights.save(net, path)
    found = safetensors_file.read(path)
    assert list(found) == ["conv.weight", "conv.bias", "up.weight", "fc.weight", "fc.bias"]
    assert found["conv.weight"].shape == (groups * K, C, H, W)
    for (o, i, y, x), value in np.ndenumerate(found["conv.weight"]):
        assert value == net.params["conv.weight"][y, x, i, o]
    assert found["up.weight"].shape == (groups * K, C, W, H)
    for (i, o, y, x), value in np.ndenumerate(found["up.weight"]):
        assert value == net.params["up.weight"][y, x, o, i]
    assert found["fc.weight"].shape == (2, c * h * w)
    for (o, i), value in np.ndenumerate(found["fc.weight"]):
        channel, y, x = np.unravel_index(i, (c, h, w))
        assert value == net.params["fc.weight"][(y * w + x) * c + channel, o]


def test_what_a_saved_file_says(tmp_path):
    net = models.fcn8s(3, rng=0, **SMALL)
    stated = Preprocessing((1.5, 2.5, 3.5), (4.0, 5.0, 6.0), "BGR")
    weights.save(net, tmp_path / "a.safetensors", dataclasses.asdict(stated))
    data = (tmp_path / "a.safetensors").read_bytes()
    table = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert table["__metadata__"]["format"] == "pt"
    assert json.loads(table["__metadata__"]["recipe"]) == net.recipe
    source = weights.load(net, tmp_path / "a.safetensors")
    assert Preprocessing(**source.preprocessing) == stated


def test_a_file_that_says_nonsense_changes_nothing(tmp_path):
    net = NETWORKS["gap_net"]()
    weights.save(randomize(NETWORKS["gap_net"]()), tmp_path / "a.safetensors", {"mean": 3})
    assert "cannot be read as safetensors weights: 'int' object" in refuses(net, tmp_path / "a.safetensors")


def test_save_refuses_other_endings_and_leaves_what_was_there(tmp_path):
    net = NETWORKS["gap_net"]()
    with pytest.raises(ValueError, match=r"a\.pth; expected a name that ends in \.safetensors"):
        weights.save(net, tmp_path / "a.pth")
    (tmp_path / "a.safetensors").write_text("before")
    with (
        mock.patch.object(np, "ascontiguousarray", side_effect=OSError(28, "No space")),
        pytest.raises(OSError),
    ):
        weights.save(net, tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").read_text() == "before"


# ---------------------------------------------------------------- checkpoints and plain arrays


def test_a_checkpoint(tmp_path):
    net = randomize(models.fcn8s(2, rng=0, **SMALL))
    Checkpoint(net.recipe, net.params, ("a", "b"), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR").save(
        tmp_path / "c.npz"
    )
    other = models.fcn8s(2, rng=1, **SMALL)
    source = weights.load(other, tmp_path / "c.npz")
    assert all(np.array_equal(array, net.params[name]) for name, array in other.params.items())
    assert Preprocessing(**source.preprocessing) == Preprocessing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR")
    assert (source.format, source.kept, source.skipped) == (".npz", (), ())


def test_plain_arrays_lie_as_ours(tmp_path):
    net = randomize(thin_vgg16())
    source = weights.load(other := thin_vgg16(seed=3), stored(tmp_path, net.params, ".npz"))
    assert all(np.array_equal(array, net.params[name]) for name, array in other.params.items())
    assert source.preprocessing is None
    turned = {**net.params, "fc7.weight": net.params["fc7.weight"][:-1]}
    message = refuses(thin_vgg16(), stored(tmp_path, turned, ".npz"))
    assert "fc7.weight, for fc7.weight (7, 7), has shape (6, 7), expected (7, 7)" in message


def test_arrays_that_are_no_weights(tmp_path):
    net = models.gap_net(2, width=2, rng=0)
    for strange in (
        np.full(net.params["fc.bias"].shape, "a"),
        np.arange(2),
        np.array([None, 1]),
        np.ones(2) * 1j,
    ):
        path = tmp_path / "a.npz"
        np.savez(path, **{**net.params, "fc.bias": strange})
        message = refuses(net, path)
        assert "fc.bias has numbers of type" in message or "cannot be read" in message


@given(st.floats(0, 1, exclude_max=True), st.sampled_from([".npz", ".safetensors"]))
def test_a_cut_off_file_changes_nothing(tmp_path_factory, cut, ending):
    net = models.window_net(2, width=2, fc=3, rng=0)
    path = stored(tmp_path_factory.mktemp("cut"), net.params, ending)
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    refuses(models.window_net(2, width=2, fc=3, rng=1), path)


@pytest.mark.parametrize("name", ["a.h5", "a", "weights.onnx", "a.tar", "safetensors"])
def test_other_endings(tmp_path, name):
    assert "expected a file of weights, which ends in one of .pth" in refuses(thin_vgg16(), tmp_path / name)


@pytest.mark.parametrize("ending", [".pth", ".pt", ".pth.tar", ".safetensors", ".caffemodel", ".npz"])
def test_missing_files(tmp_path, ending):
    assert "no such" in refuses(thin_vgg16(), tmp_path / f"none{ending}")


# ---------------------------------------------------------------- other people's names


def test_torchvision_vgg16(contents):
    net = thin_vgg16()
    tensors = theirs(net)
    path = contents(renamed(tensors, names.TORCHVISION_VGG16), ".pth")
    assert "features.28.bias" in torch_file.read(path) and "classifier.3.weight" in torch_file.read(path)
    source = weights.load(net, path)
    for k in ("conv1_1", "conv3_3", "conv5_2"):
        assert np.array_equal(net.params[f"{k}.weight"], tensors[f"{k}.weight"].transpose(2, 3, 1, 0))
    assert np.array_equal(net.params["fc7.weight"], tensors["fc7.weight"].T)
    assert np.array_equal(net.params["conv4_2.bias"], tensors["conv4_2.bias"])
    assert source.names == "VGG16 of torchvision"
    assert source.loaded == tuple(net.params)
    expected = Preprocessing((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "RGB")
    assert Preprocessing(**source.preprocessing).channels == "RGB"
    np.testing.assert_allclose(source.preprocessing["mean"], expected.mean)
    np.testing.assert_allclose(source.preprocessing["std"], expected.std)


@pytest.mark.parametrize("table", ["torchvision", "caffe"])
@pytest.mark.parametrize("model", ["fcn32s", "fcn16s", "fcn8s", "fcn4s", "fcn2s"])
def test_a_classifier_into_an_fcn(thin, contents, table, model):
    """fc6 and fc7 are the classifier's, as windows over pool5; fc8 is dropped; the head is new."""
    classifier = thin_vgg16()
    tensors = theirs(classifier)
    if table == "torchvision":
        path = contents(renamed(tensors, names.TORCHVISION_VGG16), ".pth")
    else:
        path = contents(tensors, ".caffemodel")
    weights.load(classifier, path)
    net = models.build(model, 4, backbone="vgg16", rng=5)
    head = {name: array.copy() for name, array in net.params.items() if name.startswith(("score", "upscore"))}
    source = weights.load(net, path)
    assert source.kept == tuple(head)
    assert source.loaded == tuple(name for name in net.params if name not in head)
    eight = "classifier.6" if table == "torchvision" else "fc8"
    assert source.skipped == (f"{eight}.weight", f"{eight}.bias")
    assert all(np.array_equal(net.params[name], array) for name, array in head.items())
    for name in source.loaded:  # the patch of pool5, flattened row by row, times the matrix
        array = classifier.params[name]
        assert np.array_equal(net.params[name].reshape(array.shape), array)
    assert net.params["fc6.weight"].shape == (7, 7, WIDTHS[-1], FC)


def test_caffe_vgg16_wants_blue_first(contents):
    net = thin_vgg16()
    source = weights.load(net, contents(theirs(net), ".caffemodel"))
    assert source.names == "VGG16 of Caffe" and source.format == "Caffe"
    assert source.preprocessing == {
        "mean": (104.00698793, 116.66876762, 122.67891434),
        "std": 1.0,
        "channels": "BGR",
    }
    image = np.full((1, 1, 3), (255, 0, 100), np.uint8)
    expected = [100 - 104.00698793, -116.66876762, 255 - 122.67891434]
    np.testing.assert_allclose(Preprocessing(**source.preprocessing)(image)[0, 0], expected, rtol=1e-6)


def test_pytorch_fcn_is_told_from_files_of_ours(thin, contents, tmp_path):
    net = randomize(models.fcn8s(4, backbone="vgg16", rng=0))
    weights.save(net, tmp_path / "ours.safetensors")
    tensors = safetensors_file.read(tmp_path / "ours.safetensors")
    other = models.fcn8s(4, backbone="vgg16", rng=1)
    source = weights.load(other, contents(dict(reversed(tensors.items())), ".pth"))
    assert source.names == "pytorch-fcn" and source.preprocessing["channels"] == "BGR"
    assert all(np.array_equal(array, net.params[name]) for name, array in other.params.items())
    source = weights.load(other, tmp_path / "ours.safetensors")
    assert source.names == "the network's own names" and source.preprocessing is None


def test_a_coarser_fcn_into_a_finer_one(thin, contents):
    coarse = randomize(models.fcn32s(4, backbone="vgg16", rng=0))
    tensors = theirs(coarse)
    fine = models.fcn16s(4, backbone="vgg16", rng=1)
    source = weights.load(fine, contents(tensors, ".caffemodel"))
    assert source.skipped == ("upscore.weight",)
    assert source.kept == ("upscore2.weight", "score_pool4.weight", "score_pool4.bias", "upscore16.weight")
    assert np.array_equal(fine.params["score_fr.weight"][0, 0], tensors["score_fr.weight"][:, :, 0, 0].T)
    coarser = models.fcn32s(4, backbone="vgg16", rng=1)
    message = refuses(coarser, contents(theirs(fine), ".caffemodel"))
    assert "score_pool4.weight (4, 5, 1, 1) has no place in the network" in message
    assert "upscore16" not in message


def test_fcn8s_at_once_of_caffe_is_another_network(thin, contents):
    net = models.fcn8s(4, backbone="vgg16", rng=0)
    tensors = {
        **theirs(net),
        "scale_pool3.weight": np.float32([1e-4]),
        "scale_pool4.weight": np.float32([1e-2]),
    }
    message = refuses(net, contents(tensors, ".caffemodel"))
    assert message.count("has no place") == 2
    assert "scale_pool3.weight (1,) has no place in the network" in message


@pytest.fixture(scope="module")
def caffenet():
    with mock.patch.object(initialize, "he", lambda shape, fan_in, rng, dtype: np.zeros(shape, dtype)):
        return models.alexnet(rng=0)


def test_caffenet(caffenet, contents):
    blobs = {}
    for name, array in caffenet.params.items():
        shape = array.shape
        shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
        blobs[name] = np.broadcast_to(np.float32(0), shape)
    assert blobs["conv2.weight"].shape == (256, 48, 5, 5) and blobs["fc6.weight"].shape == (4096, 9216)
    source = weights.load(caffenet, contents(blobs, ".caffemodel"))
    assert source.names == "CaffeNet" and source.preprocessing["channels"] == "BGR"
    assert source.loaded == tuple(caffenet.params)


def test_torchvisions_alexnet_is_another_network(caffenet, contents):
    shapes = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    }
    zeros = {f"{name}.weight": np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    zeros |= {f"{name}.bias": np.broadcast_to(np.float32(0), shape[:1]) for name, shape in shapes.items()}
    with pytest.raises(InputError) as caught:
        weights.load(caffenet, contents(zeros, ".pth"))
    lines = str(caught.value).splitlines()
    assert "AlexNet of torchvision" in lines[0] and "nothing was loaded" in lines[0]
    assert [line.split(",")[0].strip() for line in lines[1:]] == [
        "features.0.weight",
        "features.0.bias",
        "features.3.weight",
        "features.3.bias",
        "features.6.weight",
        "features.8.weight",
        "features.8.bias",
        "features.10.weight",
    ]
    assert lines[1].strip() == (
        "features.0.weight, for conv1.weight (11, 11, 3, 96), has shape (64, 3, 11, 11), expected (96, 3, 11, 11)"
    )


# ---------------------------------------------------------------- everything or nothing


def test_all_that_differs_is_listed(contents):
    net = thin_vgg16()
    tensors = theirs(net)
    tensors["conv1_2.weight"] = tensors["conv1_2.weight"].transpose(1, 0, 3, 2)[:1]
    tensors["fc6.weight"] = tensors["fc6.weight"][:, :-1]
    tensors["fc7.bias"] = tensors["fc7.bias"][None]
    tensors["conv6_1.weight"] = np.zeros((1, 2), np.float32)
    tensors["bn.num_batches_tracked"] = np.array(7)
    del tensors["conv2_1.bias"]
    lines = refuses(net, contents(tensors, ".pth")).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "conv1_2.weight, for conv1_2.weight (3, 3, 2, 2), has shape (1, 2, 3, 3), expected (2, 2, 3, 3)",
        "conv2_1.bias, for conv2_1.bias (3,), is missing",
        "fc6.weight, for fc6.weight (294, 7), has shape (7, 293), expected (7, 294)",
        "fc7.bias, for fc7.bias (7,), has shape (1, 7), expected (7,)",
        "conv6_1.weight (1, 2) has no place in the network",
    ]


@given(st.data())
def test_any_missing_or_strange_tensor_is_found(data):
    """Whatever is taken away, added or turned, nothing is loaded, and it is named."""
    net = thin_vgg16()
    tensors = theirs(net)
    victim = data.draw(st.sampled_from(sorted(tensors)))
    what = data.draw(st.sampled_from(["missing", "extra", "shape", "type"]))
    if what == "missing":
        del tensors[victim]
    elif what == "extra":
        victim = f"more.{victim}"
        tensors[victim] = np.float32([1])
    elif what == "shape":
        tensors[victim] = np.concatenate([tensors[victim]] * 2)
    else:
        tensors[victim] = tensors[victim].astype(int)
    with mock.patch.object(torch_file, "read", lambda path: tensors):
        assert victim in refuses(net, "x.pth")


def test_mappings(contents):
    net = thin_vgg16(classes=4)
    tensors = renamed(theirs(thin_vgg16()), names.TORCHVISION_VGG16)
    path = contents(tensors, ".pth")
    assert "classifier.6.weight, for fc8.weight (7, 4), has shape (9, 7), expected (4, 7)" in refuses(
        net, path
    )
    fc8 = {name: net.params[name].copy() for name in ("fc8.weight", "fc8.bias")}

    source = weights.load(net, path, {"fc8.weight": None, "fc8.bias": None})
    assert source.kept == ("fc8.weight", "fc8.bias") and source.names == "a mapping"
    assert source.skipped == ("classifier.6.weight", "classifier.6.bias")
    assert source.preprocessing == names.TORCHVISION
    assert all(np.array_equal(net.params[name], array) for name, array in fc8.items())
    assert np.array_equal(net.params["fc7.bias"], tensors["classifier.3.bias"])

    swapped = {"conv5_2.bias": "features.28.bias", "conv5_3.bias": "features.26.bias"}
    weights.load(net, path, {**swapped, "fc8.weight": None, "fc8.bias": None})
    assert np.array_equal(net.params["conv5_2.bias"], tensors["features.28.bias"])
    assert np.array_equal(net.params["conv5_3.bias"], tensors["features.26.bias"])

    assert "typo, for fc7.bias (7,), is missing" in refuses(net, path, {"fc7.bias": "typo"})
    assert "fc9.bias is not a parameter of the network" in refuses(net, path, {"fc9.bias": None})


def test_a_function_as_mapping(contents):
    net = thin_vgg16()
    tensors = {f"module.{name}": array for name, array in theirs(net).items()}
    path = contents({**tensors, "module.more": np.float32([1])}, ".pth")
    assert "conv1_1.weight, for conv1_1.weight (3, 3, 3, 2), is missing" in refuses(net, path)
    source = weights.load(net, path, lambda name: None if name.startswith("fc8") else f"module.{name}")
    assert source.kept == ("fc8.weight", "fc8.bias")
    assert source.skipped == ("module.fc8.weight", "module.fc8.bias", "module.more")
    assert np.array_equal(net.params["fc7.weight"], tensors["module.fc7.weight"].T)


def test_what_a_source_says_of_itself():
    source = weights.Source(
        "Caffe", "CaffeNet", None, ("a.weight", "a.bias"), ("score_fr.bias",), ("fc8.bias",)
    )
    assert str(source) == "Caffe, CaffeNet; 2 parameters loaded; new: score_fr.bias; not used: fc8.bias"
    assert str(dataclasses.replace(source, kept=(), skipped=())) == "Caffe, CaffeNet; 2 parameters loaded"
