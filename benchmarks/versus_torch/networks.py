"""Rows of whole networks: a training step, and inference.

A training step is forward, cross-entropy, backward and SGD with momentum. The small FCN-8s learns its upsampling;
the one on VGG16 is the released network, padding of 100 and fixed bilinear upsampling included. U-Net is there with
few channels and with those of the paper, every other model in its small form.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.versus_torch.rows import (
    LAYOUTS,
    OURS,
    OWN,
    OWN_GRADIENT,
    Contestant,
    Ready,
    Row,
    Work,
    network_work,
    of_gradients,
)
from minifcn import initialize, losses, models, optim
from minifcn.kernels.jit import get_threads
from minifcn.layers import Dropout, MaxPool2d, MaxUnpool2d, ReLU
from minifcn.network import Network
from minifcn.recorded import Recorded
from minifcn.step import TrainingStep

CLASSES = 21
SGD = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 5e-4}


def small_fcn8s() -> Network:
    """The network of all measurements: 16 to 128 channels, fc6 of 7x7, learned dense upsampling."""
    return _scoring(models.fcn8s(CLASSES, "small", fc_kernel=7, rng=0))


def vgg16_fcn8s() -> Network:
    """The released FCN-8s, with 134 million random weights."""
    return _scoring(models.fcn8s(CLASSES, "vgg16", rng=0))


def wide_unet() -> Network:
    """U-Net with the paper's 64 to 1024 channels, and same-padding."""
    return _scoring(models.unet(CLASSES, widths=(64, 128, 256, 512, 1024), rng=0))


def small_model(name: str) -> Network:
    """The model of that name in its small form."""
    return _scoring(models.build(name, CLASSES, rng=0))


def _scoring(net):
    """Biases and some weights start at zero, which would hide mistakes; here they are random."""
    rng = np.random.default_rng(1)
    for name, array in net.params.items():
        if name.endswith("bias"):
            array[...] = 0.1 * rng.standard_normal(array.shape)
        elif not array.any():
            array[...] = initialize.he(array.shape, array.shape[2], rng)
    return net


@contextlib.contextmanager
def _without_dropout(dropouts: list[Any]) -> Iterator[None]:
    """For the time of the block these layers, or PyTorch's modules, drop nothing."""
    before = [dropout.p for dropout in dropouts]
    try:
        for dropout in dropouts:
            dropout.p = 0.0
        yield
    finally:
        for dropout, p in zip(dropouts, before):
            dropout.p = p


def _dropouts(net):
    return [name for name, (layer, _) in net.nodes.items() if isinstance(layer, Dropout)]


def image_data(image_shape: tuple[int, ...], classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise, and labels in squares of 32 pixels, some of which do not count."""
    rng, (N, H, W, _) = np.random.default_rng(2), image_shape
    images = rng.standard_normal(image_shape, np.float32)
    squares = rng.integers(0, classes + 1, (N, -(-H // 32), -(-W // 32)))
    labels = squares.repeat(32, axis=1).repeat(32, axis=2)[:, :H, :W]
    return images, np.where(labels == classes, 255, labels).astype(np.uint8)


@dataclass
class NetworkRow(Row):
    """A network on a batch of images, training or not.

    The gradients of a training step are compared twice: PyTorch's as it takes them by itself, roughly, and to
    the digit with our decisions (see rows.check_equal for why). Dropout, of which no two libraries draw the same,
    is left out while results are compared.
    """

    make: Callable[[], Network]
    image_shape: tuple[int, int, int, int]
    train: bool
    onnx: bool = field(default=True, kw_only=True)  # whether all layers are known to onnx_twin.py

    def contestants(self):
        ours = self._our_step if self.train else self._our_inference
        found = [Contestant(OURS, "", ours)]
        for side, compiled in (("torch", False), ("torch.compile", True)):
            for layout in LAYOUTS:
                if not self.train:
                    prepare = partial(self._torch_inference, layout, compiled)
                    found.append(Contestant(side, layout, prepare))
                    continue
                for optimizer in ("foreach", "fused"):
                    prepare = partial(self._torch_step, layout, optimizer, compiled)
                    if optimizer == "fused" or not compiled:
                        found.append(Contestant(side, f"{layout} {optimizer}", prepare))
        if self.onnx and not self.train:
            found.append(Contestant("onnxruntime", "", self._onnx_inference))
        return found

    def work(self) -> Work:
        return network_work(self.make(), self.image_shape, backward=self.train)

    def _our_step(self):
        net, (images, labels) = self.make(), image_data(self.image_shape)
        training_step = TrainingStep(net, losses.cross_entropy, optim.SGD(net.trainable, **SGD))

        def step():
            return training_step(images, labels), training_step.grads

        def results():
            with _without_dropout([net.nodes[name].layer for name in _dropouts(net)]):
                value, grads = step()
            own = of_gradients(grads, OWN_GRADIENT)
            return {**_both("loss", np.array(value)), **of_gradients(grads), **own, **_after(net.trainable)}

        return Ready(step, results)

    def decisions(self) -> dict[str, np.ndarray]:
        """Of our forward pass: where each ReLU lets through, and the input of each max-pool."""
        net, (images, _) = self.make(), image_data(self.image_shape)
        with _without_dropout([net.nodes[name].layer for name in _dropouts(net)]):
            _, tape = net.forward(images, train=self.train)
        found = {}
        for name, (layer, reads) in net.nodes.items():
            if isinstance(layer, ReLU):
                found[name] = tape[name] > 0
            elif isinstance(layer, MaxPool2d):
                found[name] = tape[reads[0]]
        return found

    def _our_inference(self):
        net, (images, _) = self.make(), image_data(self.image_shape)
        scores = Recorded(net)
        return Ready(lambda: scores(images), lambda: _both("scores", net(images)))

    def _torch_step(self, layout, optimizer_kind, compiled):
        import torch

        from benchmarks.versus_torch import torch_twin

        images, labels = image_data(self.image_shape)
        x = torch_twin.images_to_torch(images, layout)
        target = torch.from_numpy(labels.astype(np.int64))
        net = self.make()
        twin = torch_twin.Twin(net, layout).train()
        params = twin.trainable()
        optimizer = torch.optim.SGD(params.values(), **SGD, **{optimizer_kind: True})

        def eager(x, target):
            return torch.nn.functional.cross_entropy(twin(x), target, ignore_index=255)

        loss_of = torch.compile(eager, dynamic=False) if compiled else eager

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(x, target)
            loss.backward()
            optimizer.step()
            return loss

        def results():
            with _without_dropout([twin.layers[name] for name in _dropouts(net)]):
                with torch_twin.decided(twin, self.decisions()):
                    loss = eager(x, target)
                    decided = torch.autograd.grad(loss, list(params.values()))
                value = step().item()
            convert = torch_twin.weight_from_torch
            grads = {name: convert(grad) for name, grad in zip(params, decided)}
            own = {name: convert(p.grad) for name, p in params.items()}
            after = {name: convert(p) for name, p in params.items()}
            own = of_gradients(own, OWN_GRADIENT)
            own[_hanging("loss", net)] = np.array(value)
            return {"loss": np.array(loss.item()), **of_gradients(grads), **own, **_after(after)}

        return Ready(step, results)

    def _torch_inference(self, layout, compiled):
        import torch

        from benchmarks.versus_torch import torch_twin

        images, _ = image_data(self.image_shape)
        x = torch_twin.images_to_torch(images, layout)
        net = self.make()
        twin = torch_twin.Twin(net, layout).eval()
        run = twin
        if compiled:
            # With weights that are constants, which PyTorch may then keep in the order it likes best
            run = torch.compile(twin, dynamic=False, options={"freezing": True})

        def infer():
            with torch.inference_mode():
                return run(x)

        def results():
            found = {_hanging("scores", net): torch_twin.images_from_torch(infer())}
            if "scores" not in found:
                with torch_twin.decided(twin, self.decisions()), torch.inference_mode():
                    found["scores"] = torch_twin.images_from_torch(twin(x))
            return found

        return Ready(infer, results)

    def _onnx_inference(self):
        from benchmarks.versus_torch import onnx_twin

        images, _ = image_data(self.image_shape)
        x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        run = onnx_twin.session(self.make(), self.image_shape, get_threads())
        return Ready(lambda: run(x), lambda: {"scores": run(x).transpose(0, 2, 3, 1)})


def _both(name, array):
    """With our decisions, and with our own, which are the same."""
    return {name: array, OWN + name: array}


def _hanging(name, net):
    """The name of a result of the whole network, which hangs on its decisions if there is an unpooling."""
    return OWN + name if any(isinstance(layer, MaxUnpool2d) for layer, _ in net.nodes.values()) else name


def _after(params):
    return {f"{name} after the step": array for name, array in params.items()}
