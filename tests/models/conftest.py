"""What the tests of all models need: the same network in PyTorch, and the slope of the whole."""

from math import ceil

import numpy as np
import pytest

from minifcn import inference, initialize, metrics, weights
from minifcn.check import check_adjoint
from minifcn.data import Preprocessing
from minifcn.data.shapes import Shapes
from minifcn.geometry import view
from minifcn.settings import Settings
from minifcn.training import Training
from minifcn.weights import safetensors_file
from minifcn.weights.names import TORCHVISION_VGG16


def lively(net, seed=0):
    """No bias is 0, no scale 1, no average that of the start: what is missing or mixed up is then seen."""
    rng = np.random.default_rng(seed)
    for name, array in net.arrays.items():
        if name.endswith("running_var") or (array.ndim == 1 and name.endswith("weight")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif array.ndim == 1:
            array[...] = 0.1 * rng.standard_normal(array.shape)
        elif not array.any():
            array[...] = rng.standard_normal(array.shape) / np.sqrt(array[..., 0].size)
    return net


class InTorch:
    """Layers of PyTorch by the names of ours, with our numbers."""

    def __init__(self, torch, net):
        self.F, self.torch = torch.nn.functional, torch
        self.arrays = {name: torch.from_numpy(array) for name, array in net.arrays.items()}

    def conv(self, x, name, **options):
        weight = self.arrays[f"{name}.weight"].permute(3, 2, 0, 1)
        return self.F.conv2d(x, weight, self.arrays.get(f"{name}.bias"), **options)

    def up(self, x, name, **options):
        weight = self.arrays[f"{name}.weight"].permute(3, 2, 0, 1)
        return self.F.conv_transpose2d(x, weight, self.arrays.get(f"{name}.bias"), **options)

    def dilated_trunk(self, x, backbone, pool, padded=True):
        """VGG16 or the small trunk with conv5 dilated by 2; `pool(x, stage)` stands behind each stage."""
        depths = (2, 2, 3, 3, 3) if backbone == "vgg16" else (2, 2, 2, 2, 2)
        for stage, depth in enumerate(depths, start=1):
            d = 2 if stage == 5 else 1
            for k in range(1, depth + 1):
                padding = d if padded else 0
                x = self.F.relu(self.conv(x, f"conv{stage}_{k}", dilation=d, padding=padding))
            x = pool(x, stage)
        return x

    def halve_three_times(self, x, stage):
        """The pooling for `dilated_trunk` of networks that have VGG16's first three."""
        return self.F.max_pool2d(x, 2, ceil_mode=True) if stage < 4 else x

    def norm(self, x, name, train=False):
        running = (self.arrays[f"{name}.running_mean"], self.arrays[f"{name}.running_var"])
        own = (self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"])
        return self.F.batch_norm(x, *((None, None) if train else running), *own, training=train)


@pytest.fixture
def zeros(monkeypatch):
    """Networks of the paper's size have weights of zero, which take neither time nor memory."""
    monkeypatch.setattr(initialize, "he", lambda shape, fan_in, rng, dtype=np.float32: np.zeros(shape, dtype))


@pytest.fixture
def random_images():
    return lambda *shape: np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture
def agrees_with():
    """agrees_with(in_torch, net, images): `in_torch(layers, x)` computes what `net` does, to 1e-4 in float32."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    def check(in_torch, net, images):
        lively(net)
        found = net(images)
        with torch.inference_mode():
            channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
            expected = in_torch(InTorch(torch, net), channels_first).permute(0, 2, 3, 1).numpy()
        assert found.shape == expected.shape
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())

    return check


@pytest.fixture
def check_slope():
    """check_slope(net, images): along a random direction of all parameters and the image, in training, to 1e-6.

    The check moves its arguments by 1e-6. Here that is too far: of the thousands of rectifiers and maxima of a
    network some would turn. So these arguments are not the numbers of the network, but r in number + r / 100.
    """
    part = 0.01

    def check(net, images):
        lively(net.astype(np.float64))
        start = net.params | {name: array.copy() for name, array in net.trainable.items()}
        images = images.astype(np.float64)

        def forward(image, *moves):
            net.load_params(start | {name: start[name] + part * r for name, r in zip(net.trainable, moves)})
            return net.forward(images + part * image, train=True, rng=np.random.default_rng(0))

        def backward(dy, tape):
            return {name: part * dx for name, dx in net.backward(dy, tape, image_gradient=True).items()}

        zeros = {name: np.zeros(array.shape) for name, array in net.trainable.items()}
        check_adjoint(forward, backward, {"image": np.zeros(images.shape)} | zeros, rtol=1e-6)

    return check


@pytest.fixture(scope="session")  # hypothesis draws many examples for one
def tiles_equal_one_pass():
    """tiles_equal_one_pass(net, extra, rng): on an image a little larger than a tile, in float64, to 1e-10."""

    def check(net, extra, rng):
        tile = ceil(view(net, "score").field) + 8
        image = rng.standard_normal((tile + extra[0], extra[1], 3))
        assert len(inference.tiles(net, image.shape, tile)) > 1
        np.testing.assert_allclose(inference.tiled(net, image, tile), net(image[None])[0], rtol=0, atol=1e-10)

    return check


@pytest.fixture
def overfits():
    """overfits(net, steps, lr, images): the mean IU on that many toy images of 64x64 pixels after so many steps on
    all of them."""

    def train(net, steps=60, lr=4e-3, images=1):
        data = Shapes(images, 64, seed=3)
        settings = Settings(toy=True, steps=steps, batch_size=images, lr=lr, augment=("none",)).resolved()
        run = Training(net, data, data, Preprocessing((128, 128, 128), 64), settings)
        for _ in range(steps):
            run.step()
        return metrics.mean_iou(run.segmenter.evaluate(data))

    return train


@pytest.fixture
def load_vgg16(tmp_path):
    """load_vgg16(net, widths, fc): loads a thin VGG16 of torchvision; what became of it, and its tensors."""

    def load(net, widths, fc):
        rng, tensors, inputs = np.random.default_rng(0), {}, 3
        for name, theirs in TORCHVISION_VGG16.items():
            if name.startswith("conv"):
                shape = (widths[int(name[4]) - 1], inputs, 3, 3)
            else:
                shape = (5 if name == "fc8" else fc, 49 * inputs if name == "fc6" else inputs)
            tensors[f"{theirs}.weight"] = rng.standard_normal(shape).astype(np.float32)
            tensors[f"{theirs}.bias"] = rng.standard_normal(shape[0]).astype(np.float32)
            inputs = shape[0]
        safetensors_file.write(tmp_path / "vgg16.safetensors", tensors, {})
        source = weights.load(net, tmp_path / "vgg16.safetensors")
        for name, theirs in TORCHVISION_VGG16.items():
            if name.startswith("conv"):
                expected = tensors[f"{theirs}.weight"].transpose(2, 3, 1, 0)
                np.testing.assert_array_equal(net.params[f"{name}.weight"], expected)
        return source, tensors

    return load
