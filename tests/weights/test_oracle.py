"""Networks written in PyTorch and saved by PyTorch: loaded here they compute the same, and the other way round."""

import itertools

import numpy as np
import pytest

from minifcn import models, weights
from minifcn.errors import InputError
from minifcn.layers import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from minifcn.models import BACKBONES, backbones
from minifcn.network import Network
from minifcn.weights import safetensors_file, torch_file

pytestmark = pytest.mark.oracle

SAVES = pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])
VGG16_DEPTHS = (2, 2, 3, 3, 3)
VGG16_WIDTHS, THIN = (64, 128, 256, 512, 512), (4, 6, 8, 10, 12)
CAFFENET_WIDTHS = (96, 256, 384, 384, 256)


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.manual_seed(0)
    return torch


def agree(torch, net, module, size, tolerance=1e-4):
    """The whole networks, on one image, relative to the largest number that comes out."""
    image = np.random.default_rng(0).uniform(-1, 1, (1, *size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(image.transpose(0, 3, 1, 2).copy())).numpy()
    expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
    found = net(image)
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def lively(torch, module):
    """Weights that keep the activations of a deep network of the size of its input; biases that are not zero."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_uniform_(parameter, nonlinearity="relu")
        else:
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
    return module


# ---------------------------------------------------------------- the networks in PyTorch


def torch_milesial(torch, classes=2, widths=(64, 128, 256, 512, 1024)):
    """The modules of milesial/Pytorch-UNet, by their names."""
    nn = torch.nn

    def double_conv(channels, width):
        layers = []
        for inputs in (channels, width):
            conv = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        return nn.ModuleDict({"double_conv": nn.Sequential(*layers)})

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.inc = double_conv(3, widths[0])
            for k, (above, width) in enumerate(itertools.pairwise(widths), start=1):
                inside = nn.Sequential(nn.MaxPool2d(2), double_conv(above, width))
                setattr(self, f"down{k}", nn.ModuleDict({"maxpool_conv": inside}))
                up = nn.ModuleDict(
                    {"up": nn.ConvTranspose2d(width, above, 2, 2), "conv": double_conv(2 * above, above)}
                )
                setattr(self, f"up{len(widths) - k}", up)
            self.outc = nn.ModuleDict({"conv": nn.Conv2d(widths[0], classes, 1)})

        def forward(self, x):
            x = self.inc["double_conv"](x)
            skips = []
            for k in range(1, len(widths)):
                skips.append(x)
                pool, double = getattr(self, f"down{k}")["maxpool_conv"]
                x = double["double_conv"](pool(x))
            for k in range(1, len(widths)):
                up = getattr(self, f"up{k}")
                x = up["conv"]["double_conv"](torch.cat([skips.pop(), up["up"](x)], dim=1))
            return self.outc["conv"](x)

    module = lively(torch, UNet())
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return module


def torch_vgg16(torch, widths=VGG16_WIDTHS, fc=4096, classes=1000, final=7):
    """The modules of torchvision's VGG16: `features` and `classifier`, numbered through."""
    nn = torch.nn
    features, channels = [], 3
    for width, depth in zip(widths, VGG16_DEPTHS):
        for _ in range(depth):
            features += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        features.append(nn.MaxPool2d(2, 2))
    classifier = [nn.Linear(final * final * channels, fc), nn.ReLU(), nn.Dropout()]
    classifier += [nn.Linear(fc, fc), nn.ReLU(), nn.Dropout(), nn.Linear(fc, classes)]

    class VGG16(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*features)
            self.classifier = nn.Sequential(*classifier)

        def forward(self, x):
            return self.classifier(torch.flatten(self.features(x), 1))

    return lively(torch, VGG16())


def torch_caffenet(torch, widths=CAFFENET_WIDTHS, fc=4096, classes=1000):
    nn = torch.nn

    class CaffeNet(nn.Module):
        def __init__(self):
            super().__init__()
            a, b, c, d, e = widths
            self.conv1 = nn.Conv2d(3, a, 11, stride=4)
            self.conv2 = nn.Conv2d(a, b, 5, padding=2, groups=2)
            self.conv3 = nn.Conv2d(b, c, 3, padding=1)
            self.conv4 = nn.Conv2d(c, d, 3, padding=1, groups=2)
            self.conv5 = nn.Conv2d(d, e, 3, padding=1, groups=2)
            self.fc6, self.fc7, self.fc8 = nn.Linear(36 * e, fc), nn.Linear(fc, fc), nn.Linear(fc, classes)

        def forward(self, x):
            def pool(x):
                return nn.functional.max_pool2d(x, 3, 2, ceil_mode=True)

            def norm(x):
                return nn.functional.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1)

            x = norm(pool(self.conv1(x).relu()))
            x = norm(pool(self.conv2(x).relu()))
            x = pool(self.conv5(self.conv4(self.conv3(x).relu()).relu()).relu())
            return self.fc8(self.fc7(self.fc6(x.flatten(1)).relu()).relu())

    return lively(torch, CaffeNet())


def torch_fcn8s(torch, widths=VGG16_WIDTHS, fc=4096, classes=21):
    """FCN-8s with the layers and names of pytorch-fcn."""
    nn = torch.nn

    class FCN8s(nn.Module):
        def __init__(self):
            super().__init__()
            channels = 3
            for stage, (width, depth) in enumerate(zip(widths, VGG16_DEPTHS), start=1):
                for k in range(1, depth + 1):
                    padding = 100 if stage == k == 1 else 1
                    self.add_module(f"conv{stage}_{k}", nn.Conv2d(channels, width, 3, padding=padding))
                    channels = width
            self.fc6, self.fc7 = nn.Conv2d(channels, fc, 7), nn.Conv2d(fc, fc, 1)
            self.score_fr = nn.Conv2d(fc, classes, 1)
            self.score_pool3 = nn.Conv2d(widths[2], classes, 1)
            self.score_pool4 = nn.Conv2d(widths[3], classes, 1)
            self.upscore2 = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)
            self.upscore8 = nn.ConvTranspose2d(classes, classes, 16, stride=8, bias=False)
            self.upscore_pool4 = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)

        def forward(self, image):
            pools, x = [], image
            for stage, depth in enumerate(VGG16_DEPTHS, start=1):
                for k in range(1, depth + 1):
                    x = getattr(self, f"conv{stage}_{k}")(x).relu()
                x = nn.functional.max_pool2d(x, 2, ceil_mode=True)
                pools.append(x)
            x = self.upscore2(self.score_fr(self.fc7(self.fc6(x).relu()).relu()))
            x = x + cut(self.score_pool4(pools[3]), 5, x)
            x = self.upscore_pool4(x)
            x = x + cut(self.score_pool3(pools[2]), 9, x)
            return cut(self.upscore8(x), 31, image)

    def cut(x, offset, like):
        H, W = like.shape[2:]
        return x[:, :, offset : offset + H, offset : offset + W]

    return lively(torch, FCN8s())


# ---------------------------------------------------------------- the same here, thin


def thin_vgg16(classes, fc=9):
    net, rng = Network((1, 64, 64, 3)), np.random.default_rng(0)
    channels = backbones.vgg_stages(net, rng, THIN, VGG16_DEPTHS, ceil_mode=False)
    fully_connected(net, rng, 2 * 2 * channels, fc, classes)
    return net


def thin_caffenet(widths, fc, classes):
    net, rng, channels = Network((1, 227, 227, 3)), np.random.default_rng(0), 3
    for k, (width, size, stride, padding, groups) in enumerate(
        zip(widths, (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (0, 2, 1, 1, 1), (1, 2, 1, 2, 2)), start=1
    ):
        net.add(f"conv{k}", Conv2d(channels, width, size, stride, padding, groups=groups, rng=rng))
        net.add(f"relu{k}", ReLU())
        if k in (1, 2, 5):
            net.add(f"pool{k}", MaxPool2d(3, 2, ceil_mode=True))
        if k in (1, 2):
            net.add(f"norm{k}", LocalResponseNorm(5))
        channels = width
    fully_connected(net, rng, 6 * 6 * channels, fc, classes)
    return net


def fully_connected(net, rng, features, fc, classes):
    net.add("flatten", Flatten())
    for k in (6, 7):
        net.add(f"fc{k}", Linear(features, fc, rng=rng))
        net.add(f"relu{k}", ReLU())
        net.add(f"drop{k}", Dropout())
        features = fc
    net.add("fc8", Linear(fc, classes, rng=rng))


def thin_trunk(net, rng):
    channels = backbones.vgg_stages(net, rng, THIN, VGG16_DEPTHS, first_padding=100)
    return backbones._classifier(net, rng, channels, 9, kernel_size=7, padding=0, dropout=0.5)


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setitem(BACKBONES, "vgg16", thin_trunk)


# ---------------------------------------------------------------- theirs to ours


def save(torch, content, path, new=True):
    torch.save(content, path, _use_new_zipfile_serialization=new)
    return path


@SAVES
def test_thin_vgg16(torch, tmp_path, new):
    module = torch_vgg16(torch, THIN, fc=9, classes=5, final=2)
    net = thin_vgg16(classes=5)
    source = weights.load(net, save(torch, module.state_dict(), tmp_path / "a.pth", new))
    assert source.names == "VGG16 of torchvision" and len(source.loaded) == 32
    agree(torch, net, module, (64, 64))


@SAVES
def test_thin_caffenet(torch, tmp_path, new):
    widths = (6, 8, 12, 10, 8)
    module = torch_caffenet(torch, widths, fc=9, classes=5)
    net = thin_caffenet(widths, 9, 5)
    weights.load(
        net, save(torch, {"state_dict": module.state_dict(), "epoch": 3}, tmp_path / "a.pth.tar", new)
    )
    agree(torch, net, module, (227, 227))


@SAVES
def test_thin_fcn8s(torch, thin, tmp_path, new):
    module = torch_fcn8s(torch, THIN, fc=9, classes=4)
    net = models.fcn8s(4, backbone="vgg16", rng=0)
    source = weights.load(net, save(torch, module.state_dict(), tmp_path / "a.pth", new))
    assert source.names == "pytorch-fcn" and source.kept == source.skipped == ()
    agree(torch, net, module, (45, 70))


@pytest.mark.parametrize("kind", ["half", "double", "bfloat16"])
@SAVES
def test_other_numbers(torch, tmp_path, kind, new):
    """The network gets what PyTorch gives as float32; a bfloat16 has 8 bits of precision on the way."""
    module = getattr(torch_vgg16(torch, THIN, fc=9, classes=5, final=2), kind)()
    net = thin_vgg16(classes=5)
    weights.load(net, save(torch, module.state_dict(), tmp_path / "a.pth", new))
    agree(torch, net, module.float(), (64, 64))


@SAVES
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_any_view(torch, tmp_path, new, protocol):
    base = torch.arange(120.0).reshape(4, 5, 6)
    tensors = {
        "transposed": base.permute(2, 0, 1),
        "strided": base[1:, ::2, 3:],
        "expanded": torch.tensor([2.5]).expand(7),
        "row": base[2, 3],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[0]),
        "bool": torch.tensor([True, False]),
        "long": torch.tensor([2**40, -1]),
    }
    torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    found = torch_file.read(tmp_path / "a.pth")
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.detach().numpy()
        assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
        assert np.array_equal(found[name], expected)


@SAVES
def test_whole_modules_are_refused(torch, tmp_path, new):
    """They are pickles of classes; PyTorch would import and run these."""
    module = torch.nn.Sequential(torch.nn.Linear(2, 3))
    with pytest.raises(InputError, match=r"asks for torch\.nn\.modules\.container\.Sequential"):
        torch_file.read(save(torch, module, tmp_path / "a.pth", new))


@SAVES
def test_cut_off_anywhere(torch, tmp_path, new):
    net = thin_vgg16(classes=5)
    module = torch_vgg16(torch, THIN, fc=9, classes=5, final=2)
    data = save(torch, module.state_dict(), tmp_path / "a.pth", new).read_bytes()
    before = {name: array.copy() for name, array in net.params.items()}
    for length in np.random.default_rng(0).integers(0, len(data), 100):
        (tmp_path / "a.pth").write_bytes(data[:length])
        with pytest.raises(InputError, match=r"a\.pth"):
            weights.load(net, tmp_path / "a.pth")
    assert all(np.array_equal(array, before[name]) for name, array in net.params.items())


# ---------------------------------------------------------------- ours to theirs


def state_dict(torch, path):
    """As safetensors.torch.load_file gives it, or by a reader of our own where that is not installed."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        return {name: torch.from_numpy(array.copy()) for name, array in safetensors_file.read(path).items()}
    return load_file(path)


def test_pytorch_takes_our_fcn8s(torch, thin, tmp_path):
    net = models.fcn8s(4, backbone="vgg16", rng=3)
    rng = np.random.default_rng(4)
    for name, array in net.params.items():
        if name.startswith(("score", "upscore")) or name.endswith("bias"):
            array[...] = 0.1 * rng.standard_normal(array.shape)
    weights.save(net, tmp_path / "a.safetensors")
    module = torch_fcn8s(torch, THIN, fc=9, classes=4)
    module.load_state_dict(state_dict(torch, tmp_path / "a.safetensors"))
    agree(torch, net, module, (45, 70))


def test_pytorch_takes_our_classifier(torch, tmp_path):
    """Groups, and fully connected layers behind a Flatten of 6x6 pixels."""
    widths = (6, 8, 12, 10, 8)
    net = thin_caffenet(widths, 9, 5)
    weights.save(net, tmp_path / "a.safetensors")
    module = torch_caffenet(torch, widths, fc=9, classes=5)
    module.load_state_dict(state_dict(torch, tmp_path / "a.safetensors"))
    agree(torch, net, module, (227, 227))


# ---------------------------------------------------------------- in full size


@pytest.mark.slow
def test_vgg16_in_full_size(torch, tmp_path):
    """The classifier, and the classifier's weights in FCN-8s."""
    module = torch_vgg16(torch)
    path = save(torch, module.state_dict(), tmp_path / "vgg16.pth")
    net = models.vgg16(rng=0)
    source = weights.load(net, path)
    assert source.loaded == tuple(net.params)
    agree(torch, net, module, (224, 224))

    fcn = models.fcn8s(21, backbone="vgg16", rng=0)
    source = weights.load(fcn, path)
    path.unlink()
    assert source.skipped == ("classifier.6.weight", "classifier.6.bias")
    assert all(name.startswith(("score_", "upscore")) for name in source.kept) and len(source.kept) == 9
    convolutions = [*module.features, *module.classifier[:6]]
    convolutions[0].padding = (100, 100)

    class Trunk(torch.nn.Module):
        def forward(self, x):
            for layer in convolutions:
                if isinstance(layer, torch.nn.Linear):
                    side = 7 if layer.in_features == 25088 else 1
                    w = layer.weight.view(4096, -1, side, side)
                    x = torch.nn.functional.conv2d(x, w, layer.bias)
                elif isinstance(layer, torch.nn.MaxPool2d):
                    x = torch.nn.functional.max_pool2d(x, 2, ceil_mode=True)
                elif not isinstance(layer, torch.nn.Dropout):
                    x = layer(x)
            return x

    agree(torch, lambda image: fcn.activations(image, ["relu7"])["relu7"], Trunk(), (50, 40))
    assert not np.any(fcn(np.ones((1, 50, 40, 3), np.float32))), (
        "score layers are zero as long as they are new"
    )


@pytest.mark.slow
@SAVES
def test_caffenet_in_full_size(torch, tmp_path, new):
    module = torch_caffenet(torch)
    net = models.alexnet(rng=0)
    weights.load(net, save(torch, module.state_dict(), tmp_path / "caffenet.pth", new))
    (tmp_path / "caffenet.pth").unlink()
    agree(torch, net, module, (227, 227))


@pytest.mark.slow
def test_fcn8s_in_full_size(torch, tmp_path):
    module = torch_fcn8s(torch)
    net = models.fcn8s(21, backbone="vgg16", rng=0)
    source = weights.load(net, save(torch, module.state_dict(), tmp_path / "fcn8s.pth", new=False))
    (tmp_path / "fcn8s.pth").unlink()
    assert source.loaded == tuple(net.params)
    agree(torch, net, module, (60, 80))
    weights.save(net, tmp_path / "fcn8s.safetensors")
    module.load_state_dict({name: torch.zeros_like(w) for name, w in module.state_dict().items()})
    module.load_state_dict(state_dict(torch, tmp_path / "fcn8s.safetensors"))
    (tmp_path / "fcn8s.safetensors").unlink()
    agree(torch, net, module, (60, 80))


# ---------------------------------------------------------------- U-Net


@SAVES
def test_milesial_unet(torch, tmp_path, new):
    """With the counters that PyTorch keeps, and the list that their training puts beside the tensors."""
    module = torch_milesial(torch, widths=(4, 5, 6, 7, 8))
    state = module.state_dict() | {"mask_values": [0, 1]}
    torch.save(state, tmp_path / "unet.pth", _use_new_zipfile_serialization=new)
    net = models.unet(2, "milesial", widths=(4, 5, 6, 7, 8))
    source = weights.load(net, tmp_path / "unet.pth")
    assert source.names == "U-Net of milesial" and not source.kept
    assert source.preprocessing == {"mean": (0.0, 0.0, 0.0), "std": 255.0, "channels": "RGB"}
    assert len(source.loaded) == len(net.arrays)
    agree(torch, net, module, (32, 48))


def test_our_unet_with_its_state(tmp_path):
    """What we save of it loads here again, state and all."""
    net, other = (models.unet(2, "milesial", widths=(4, 5, 6), rng=seed) for seed in (0, 1))
    net.forward(np.ones((1, 8, 8, 3), np.float32), train=True)
    weights.save(net, tmp_path / "unet.safetensors")
    assert weights.load(other, tmp_path / "unet.safetensors").names == "the network's own names"
    assert all(np.array_equal(array, other.arrays[name]) for name, array in net.arrays.items())


@pytest.mark.slow
def test_milesial_unet_of_full_size(torch, tmp_path):
    module = torch_milesial(torch)
    torch.save(module.state_dict(), tmp_path / "unet.pth")
    net = models.unet(2, "milesial")
    weights.load(net, tmp_path / "unet.pth")
    agree(torch, net, module, (80, 64))
