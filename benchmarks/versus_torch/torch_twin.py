"""A Network as a PyTorch module: translated layer by layer, with the weights copied.

Ours are channels last, weights (kh, kw, C_in, C_out); PyTorch's tensors are (N, C, H, W) and (C_out, C_in, kh, kw)
by index. How the numbers lie in memory is another matter: "channels_last" lays them as ours, "NCHW" by planes.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.versus_torch.rows import is_channelwise
from minifcn import layers
from minifcn.geometry import IMAGE
from minifcn.layers.base import Layer
from minifcn.network import Network

LAYOUTS = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}


def images_to_torch(array: np.ndarray, layout: str) -> torch.Tensor:
    """(N, H, W, C) as an (N, C, H, W) tensor of its own, laid out as told."""
    return torch.from_numpy(array.copy()).permute(0, 3, 1, 2).contiguous(memory_format=LAYOUTS[layout])


def images_from_torch(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().permute(0, 2, 3, 1).numpy() if tensor.ndim == 4 else tensor.detach().numpy()


def weight_to_torch(array: np.ndarray) -> torch.Tensor:
    """Of a convolution, a transposed one, or a fully connected layer; biases stay."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(_turned(array))))


def weight_from_torch(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.detach().numpy()
    return np.ascontiguousarray(array.transpose(np.argsort(_turned(array))))


def _turned(array):
    """(kh, kw, in, out) -> (out, in, kh, kw) and (in, out) -> (out, in)."""
    return {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]


class Twin(nn.Module):
    """The module with the weights of `net`, laid out as told. Activations are let go after their last reader."""

    def __init__(self, net: Network, layout: str):
        super().__init__()
        self.steps = []  # (what it writes, what it reads, what nobody reads any more)
        self.layers = nn.ModuleDict()
        last_reader = {source: name for name, node in net.nodes.items() for source in node.reads}
        readers = [source for node in net.nodes.values() for source in node.reads]
        for name, (layer, reads) in net.nodes.items():
            module = translate(layer)
            if isinstance(module, nn.ReLU):  # PyTorch's users let it overwrite a sum that nobody else reads
                source = net.nodes[reads[0]].layer if reads[0] != IMAGE else None
                sums = (layers.Conv2d, layers.ConvTranspose2d, layers.Linear, layers.Add)
                module.inplace = isinstance(source, sums) and readers.count(reads[0]) == 1
            self.layers[name] = module
            done = [source for source in set(reads) if last_reader[source] == name]
            self.steps.append((name, reads, done))
        self.to(memory_format=LAYOUTS[layout])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        alive = {IMAGE: images}
        for name, reads, done in self.steps:
            alive[name] = self.layers[name](*(alive[source] for source in reads))
            for source in done:
                del alive[source]
        return alive[name]

    def trainable(self) -> dict[str, nn.Parameter]:
        """By the names that the network gives them."""
        return {
            f"{name}.{key}": parameter
            for name, layer in self.layers.items()
            for key, parameter in layer.named_parameters()
            if parameter.requires_grad
        }


@contextlib.contextmanager
def decided(twin: Twin, decisions: dict[str, np.ndarray]) -> Iterator[None]:
    """For the time of the block, ReLUs and max-pools decide as told: see NetworkRow.decisions."""
    before = dict(twin.layers)
    try:
        for name, array in decisions.items():
            tensor, module = images_to_torch(array, "NCHW"), before[name]
            if isinstance(module, nn.MaxPool2d):
                twin.layers[name] = _DecidedMaxPool(module, tensor)
            else:
                twin.layers[name] = _DecidedReLU(tensor)
        yield
    finally:
        twin.layers.update(before)


class _DecidedReLU(nn.Module):
    def __init__(self, positive):
        super().__init__()
        self.positive = positive

    def forward(self, x):
        return x * self.positive


class _DecidedMaxPool(nn.Module):
    def __init__(self, pool, x):
        super().__init__()
        options = pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode
        _, self.winners = nn.functional.max_pool2d_with_indices(x, *options)

    def forward(self, x):
        return x.flatten(2).gather(2, self.winners.flatten(2)).view(self.winners.shape)


def translate(layer: Layer, channelwise: bool = True) -> nn.Module:
    """The same layer in PyTorch, with the same weights.

    Fixed bilinear upsampling becomes one small convolution for each channel, or, without `channelwise`, the
    dense one whose weights are mostly zeros.
    """
    if isinstance(layer, (layers.Conv2d, layers.ConvTranspose2d)):
        return _convolution(layer, channelwise and is_channelwise(layer))
    if isinstance(layer, layers.Linear):
        return _with_parameters(
            nn.Linear(layer.in_features, layer.out_features, "bias" in layer.params), layer
        )
    if isinstance(layer, (layers.MaxPool2d, layers.AvgPool2d)):
        w = layer.window
        if isinstance(layer, layers.MaxPool2d):
            return nn.MaxPool2d(w.kernel_size, w.stride, w.padding, w.dilation, ceil_mode=layer.ceil_mode)
        if w.dilation == (1, 1):
            return nn.AvgPool2d(w.kernel_size, w.stride, w.padding, layer.ceil_mode)
    if isinstance(layer, layers.LocalResponseNorm):
        return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
    if isinstance(layer, layers.Dropout):
        return nn.Dropout(layer.p)
    if isinstance(layer, layers.Crop):
        return _Crop(*layer.offset)
    for ours, theirs in _PLAIN.items():
        if type(layer) is ours:
            return theirs()
    raise NotImplementedError(f"{layer!r} has no twin in PyTorch")


def _convolution(layer, channelwise):
    w, transposed = layer.window, isinstance(layer, layers.ConvTranspose2d)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    groups = layer.in_channels if channelwise else w.groups
    options = {"output_padding": layer.output_padding} if transposed else {}
    module = kind(
        layer.in_channels,
        layer.out_channels,
        w.kernel_size,
        w.stride,
        w.padding,
        dilation=w.dilation,
        groups=groups,
        bias="bias" in layer.params,
        **options,
    )
    if channelwise:
        diagonal = np.diagonal(layer.params["weight"], axis1=2, axis2=3)[:, :, None]  # (kh, kw, 1, C)
        return _with_parameters(module, layer, weight=diagonal)
    return _with_parameters(module, layer)


def _with_parameters(module, layer, **others):
    for name, array in (layer.params | others).items():
        parameter = nn.Parameter(weight_to_torch(array), requires_grad=not layer.frozen)
        setattr(module, name, parameter)
    return module


class _Add(nn.Module):
    def forward(self, first, *others):
        for x in others:
            first = first + x
        return first


class _Concat(nn.Module):
    def forward(self, *inputs):
        return torch.cat(inputs, dim=1)


class _Crop(nn.Module):
    def __init__(self, top, left):
        super().__init__()
        self.top, self.left = top, left

    def forward(self, x, like):
        H, W = like.shape[2:]
        return x[:, :, self.top : self.top + H, self.left : self.left + W]


class _Flatten(nn.Module):
    """In our order: row by row, channels last."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class _GlobalAvgPool(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


class _Softmax(nn.Module):
    def forward(self, x):
        return x.softmax(dim=1)


_PLAIN = {
    layers.ReLU: nn.ReLU,
    layers.Sigmoid: nn.Sigmoid,
    layers.Tanh: nn.Tanh,
    layers.Softmax: _Softmax,
    layers.Add: _Add,
    layers.Concat: _Concat,
    layers.Flatten: _Flatten,
    layers.GlobalAvgPool2d: _GlobalAvgPool,
}
