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
        reads = {name: node.reads for name, node in net.nodes.items()}
        writes = {name: (name,) for name in net.nodes}
        for name, pool in _pools_of_unpoolings(net).items():  # PyTorch hands the places of the maxima over
            reads[name], writes[pool] = (*reads[name], _places(pool)), (pool, _places(pool))
        last_reader = {source: name for name, sources in reads.items() for source in sources}
        readers = [source for sources in reads.values() for source in sources]
        for name, (layer, _) in net.nodes.items():
            module = translate(layer)
            if isinstance(module, nn.MaxPool2d):
                module.return_indices = len(writes[name]) == 2
            if isinstance(module, nn.ReLU):  # PyTorch's users let it overwrite what nobody else reads
                source = net.nodes[reads[name][0]].layer if reads[name][0] != IMAGE else None
                module.inplace = isinstance(source, _OVERWRITTEN) and readers.count(reads[name][0]) == 1
            self.layers[name] = module
            done = [source for source in set(reads[name]) if last_reader[source] == name]
            self.steps.append((writes[name], reads[name], done))
        self.to(memory_format=LAYOUTS[layout])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        alive = {IMAGE: images}
        for writes, reads, done in self.steps:
            found = self.layers[writes[0]](*(alive[source] for source in reads))
            alive.update(zip(writes, found if len(writes) > 1 else (found,)))
            for source in done:
                del alive[source]
        return found

    def trainable(self) -> dict[str, nn.Parameter]:
        """By the names that the network gives them."""
        return {
            f"{name}.{key}": parameter
            for name, layer in self.layers.items()
            for key, parameter in layer.named_parameters()
            if parameter.requires_grad
        }


# Layers that do not need their own output for their gradients
_OVERWRITTEN = (layers.Conv2d, layers.ConvTranspose2d, layers.Linear, layers.BatchNorm2d, layers.Add)


def _pools_of_unpoolings(net):
    """For each MaxUnpool2d the name of the MaxPool2d that has read the same image, in the same windows."""
    found = {}
    for name, (layer, reads) in net.nodes.items():
        if isinstance(layer, layers.MaxUnpool2d):
            pools = [pool for pool, node in net.nodes.items()
                     if repr(node.layer) == repr(layer.pool) and node.reads == reads[1:]]  # fmt: skip
            if not pools:
                raise NotImplementedError(f"{name} has no pooling of its own to take the maxima from")
            found[name] = pools[0]
    return found


def _places(pool):
    return f"{pool}, places of the maxima"


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
        self.return_indices = pool.return_indices

    def forward(self, x):
        y = x.flatten(2).gather(2, self.winners.flatten(2)).view(self.winners.shape)
        return (y, self.winners) if self.return_indices else y


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
    if isinstance(layer, layers.MaxUnpool2d):
        return _MaxUnpool(layer.pool.window)
    if isinstance(layer, layers.AdaptiveAvgPool2d):
        return nn.AdaptiveAvgPool2d(layer.numbers)
    if isinstance(layer, layers.Upsample2d):
        align = {"align_corners": False} if layer.mode == "bilinear" else {}
        return nn.Upsample(scale_factor=layer.numbers, mode=layer.mode, **align)
    if isinstance(layer, layers.Pad2d):
        (ph, pw), kind = layer.padding, {"zeros": nn.ZeroPad2d, "reflect": nn.ReflectionPad2d}[layer.mode]
        return kind((pw, pw, ph, ph))
    if isinstance(layer, layers.BatchNorm2d):
        return _batch_norm(layer)
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


def _batch_norm(layer):
    running = not layer.batch_statistics
    module = nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum, track_running_stats=running)
    if running:
        module.load_state_dict({k: torch.from_numpy(a) for k, a in layer.state.items()}, strict=False)
    return _with_parameters(module, layer)


def _with_parameters(module, layer, **others):
    for name, array in (layer.params | others).items():
        parameter = nn.Parameter(weight_to_torch(array), requires_grad=not layer.frozen)
        setattr(module, name, parameter)
    return module


class _MaxUnpool(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.options = window.kernel_size, window.stride, window.padding

    def forward(self, x, pooled, places):
        return nn.functional.max_unpool2d(x, places, *self.options, output_size=pooled.shape[2:])


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


class _ResizeLike(nn.Module):
    def forward(self, x, like):
        return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


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
    layers.ResizeLike: _ResizeLike,
    layers.Flatten: _Flatten,
    layers.GlobalAvgPool2d: _GlobalAvgPool,
}
