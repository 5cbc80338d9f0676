"""Rows of single layers, forward alone and with all gradients; of the loss; of the optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from benchmarks.versus_torch import networks
from benchmarks.versus_torch.rows import (
    LAYOUTS,
    OURS,
    Contestant,
    Ready,
    Results,
    Row,
    Work,
    is_channelwise,
    network_work,
    of_gradients,
)
from minifcn import losses, optim
from minifcn.layers import Conv2d, ConvTranspose2d
from minifcn.network import Network
from minifcn.recorded import Recorded

CLASSES = networks.CLASSES
NUMPY_ML = "conv 8x16-16@64 f+b"  # the one row where numpy-ml takes part: it needs a second for it


@dataclass
class LayerRow(Row):
    """A convolution or transposed convolution: forward, or forward and the gradients of all that it reads; of the
    first layer of a network without `image_gradient`, which nobody reads."""

    make: Callable[[], Conv2d | ConvTranspose2d]
    input_shape: tuple[int, int, int, int]
    backward: bool
    image_gradient: bool = True

    def contestants(self):
        found = [Contestant(OURS, "", self._ours)]
        ways = (True, False) if is_channelwise(self.make()) else (False,)
        for layout in LAYOUTS:
            for channelwise in ways:
                variant = f"{layout} grouped" if channelwise else layout
                found.append(Contestant("torch", variant, partial(self._torch, layout, channelwise)))
        if self.name == NUMPY_ML:
            found.append(Contestant("numpy-ml", "", self._numpy_ml))
        return found

    def work(self) -> Work:
        net = Network()
        net.add("layer", self.make())
        return network_work(net, self.input_shape, self.backward, self.image_gradient)

    def data(self) -> tuple[Conv2d | ConvTranspose2d, np.ndarray, np.ndarray]:
        """The layer, its input, and the gradient of its output."""
        layer, rng = self.make(), np.random.default_rng(3)
        x = rng.standard_normal(self.input_shape, np.float32)
        if "bias" in layer.params:
            layer.params["bias"][...] = rng.standard_normal(layer.out_channels)
        return layer, x, rng.standard_normal(layer.output_shape(x.shape), np.float32)

    def _ours(self):
        layer, x, dy = self.data()
        needs = ("input",) * self.image_gradient + ("parameters",) * (not layer.frozen)

        def forward():
            return layer.forward(x)[0]

        def both():
            y, cache = layer.forward(x)
            return y, *layer.backward(dy, cache, needs)

        def both_results():
            y, dx, grads = both()
            arrays = {**({} if layer.frozen else grads), **({"input": dx} if self.image_gradient else {})}
            return {"output": y, **of_gradients(arrays)}

        # As in a network, where x and dy lie where another recorded kernel wrote them
        if self.backward:
            return Ready(Recorded(both), both_results)
        return Ready(Recorded(forward), lambda: {"output": forward()})

    def _torch(self, layout, channelwise):
        import torch

        from benchmarks.versus_torch import torch_twin

        layer, x, dy = self.data()
        x, dy = (torch_twin.images_to_torch(array, layout) for array in (x, dy))
        module = torch_twin.translate(layer, channelwise).to(memory_format=torch_twin.LAYOUTS[layout])
        wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if self.backward and self.image_gradient:
            wanted["input"] = x.requires_grad_()

        def forward():
            with torch.inference_mode():
                return module(x)

        def both():
            y = module(x)
            return y, torch.autograd.grad(y, [*wanted.values()], dy)

        def forward_results() -> Results:
            return {"output": torch_twin.images_from_torch(forward())}

        def both_results() -> Results:
            y, grads = both()
            arrays = {
                name: (torch_twin.images_from_torch if name == "input" else torch_twin.weight_from_torch)(g)
                for name, g in zip(wanted, grads)
            }
            return {"output": torch_twin.images_from_torch(y), **of_gradients(arrays)}

        return Ready(both, both_results) if self.backward else Ready(forward, forward_results)

    def _numpy_ml(self):
        from benchmarks.versus_torch import numpy_ml_twin

        return numpy_ml_twin.convolution(*self.data())


@dataclass
class LossRow(Row):
    """Softmax cross-entropy: its value and its gradient."""

    label_shape: tuple[int, int, int]

    def contestants(self):
        torches = [Contestant("torch", layout, partial(self._torch, layout)) for layout in LAYOUTS]
        return [Contestant(OURS, "", self._ours), *torches]

    def work(self) -> Work:
        return Work(0, 2 * 4 * CLASSES * prod(self.label_shape))

    def _data(self):
        _, labels = networks.image_data((*self.label_shape, 3))
        return np.random.default_rng(4).standard_normal((*self.label_shape, CLASSES), np.float32), labels

    def _ours(self):
        scores, labels = self._data()

        def call():
            return losses.cross_entropy(scores, labels)

        def results():
            value, dscores = call()
            return {"loss": np.array(value), **of_gradients({"scores": dscores})}

        return Ready(call, results)

    def _torch(self, layout):
        import torch

        from benchmarks.versus_torch import torch_twin

        scores, labels = self._data()
        scores = torch_twin.images_to_torch(scores, layout).requires_grad_()
        labels = torch.from_numpy(labels.astype(np.int64))

        def call():
            loss = torch.nn.functional.cross_entropy(scores, labels, ignore_index=255)
            return loss, *torch.autograd.grad(loss, scores)

        def results():
            loss, dscores = call()
            gradient = of_gradients({"scores": torch_twin.images_from_torch(dscores)})
            return {"loss": np.array(loss.item()), **gradient}

        return Ready(call, results)


@dataclass
class OptimizerRow(Row):
    """SGD with momentum and weight decay, over the parameters of the small FCN-8s."""

    make: Callable[[], Network] = networks.small_fcn8s

    def contestants(self):
        found = [Contestant(OURS, "", self._ours)]
        for layout in LAYOUTS:
            for kind in ("foreach", "fused"):
                found.append(Contestant("torch", f"{layout} {kind}", partial(self._torch, layout, kind)))
        return found

    def work(self) -> Work:
        size = sum(array.size for array in self.make().params.values())
        return Work(0, 5 * 4 * size)  # reads weights, gradients and momentum, writes weights and momentum

    def _data(self):
        params, rng = self.make().params, np.random.default_rng(5)
        return params, {name: rng.standard_normal(array.shape, np.float32) for name, array in params.items()}

    def _ours(self):
        params, grads = self._data()
        optimizer = optim.SGD(params, **networks.SGD)

        def call():
            optimizer.step(grads)

        return Ready(call, lambda: _after_two(call, lambda: params))

    def _torch(self, layout, kind):
        import torch

        from benchmarks.versus_torch import torch_twin

        params, grads = self._data()
        own = {}
        for name, array in params.items():
            tensors = [torch_twin.weight_to_torch(a) for a in (array, grads[name])]
            if array.ndim == 4:
                form = torch_twin.LAYOUTS[layout]
                tensors = [tensor.contiguous(memory_format=form) for tensor in tensors]
            own[name] = torch.nn.Parameter(tensors[0])
            own[name].grad = tensors[1]
        optimizer = torch.optim.SGD(own.values(), **networks.SGD, **{kind: True})
        weights = partial(_weights, own, torch_twin.weight_from_torch)
        return Ready(optimizer.step, lambda: _after_two(optimizer.step, weights))


def _weights(params, convert):
    return {name: convert(p) for name, p in params.items()}


def _after_two(step, weights):
    """The second step shows the momentum."""
    step()
    step()
    return {name: array.copy() for name, array in weights().items()}
