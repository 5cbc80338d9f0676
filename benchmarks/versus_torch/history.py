"""The third table: one training step as it was written here in the course of time.

Only the convolutions changed: the three products that are all there is to them (see layers/conv.py). First the
definition as loops, compiled but otherwise as it stands; then im2col and the matrix product of a BLAS; then
what the package does today. The rest of the step is today's in all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.versus_torch.networks import NetworkRow
from benchmarks.versus_torch.rows import GRADIENT, OURS, Contestant, Ready
from minifcn.kernels.jit import entry
from minifcn.layers import Conv2d, ConvTranspose2d
from minifcn.layers.base import Layer
from minifcn.network import Network


class Products(NamedTuple):
    """Each adds its product to the third argument; `options` are the window's stride, padding and dilation."""

    convolve: Callable  # (x, w, y, *options): the value of a convolution
    input_gradient: Callable  # (dy, w, dx, *options)
    weight_gradient: Callable  # (x, dy, dw, *options)


# ---------------------------------------------------------------- plain loops


@entry
def _plain_convolve(x, w, y, stride, padding, dilation):
    """y[n, i, j, o] += sum over u, v, c of w[u, v, c, o] x[n, i s + u d - p, j s + v d - p, c]."""
    (N, H, W, C), (kh, kw), (_, Ho, Wo, outputs) = x.shape, w.shape[:2], y.shape
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for o in range(outputs):
                    for u in range(kh):
                        for v in range(kw):
                            h = i * stride[0] + u * dilation[0] - padding[0]
                            g = j * stride[1] + v * dilation[1] - padding[1]
                            if 0 <= h < H and 0 <= g < W:
                                for c in range(C):
                                    y[n, i, j, o] += w[u, v, c, o] * x[n, h, g, c]


@entry
def _plain_input_gradient(dy, w, dx, stride, padding, dilation):
    """The same loops, the other way."""
    (N, H, W, C), (kh, kw), (_, Ho, Wo, outputs) = dx.shape, w.shape[:2], dy.shape
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for o in range(outputs):
                    for u in range(kh):
                        for v in range(kw):
                            h = i * stride[0] + u * dilation[0] - padding[0]
                            g = j * stride[1] + v * dilation[1] - padding[1]
                            if 0 <= h < H and 0 <= g < W:
                                for c in range(C):
                                    dx[n, h, g, c] += w[u, v, c, o] * dy[n, i, j, o]


@entry
def _plain_weight_gradient(x, dy, dw, stride, padding, dilation):
    (N, H, W, C), (kh, kw), (_, Ho, Wo, outputs) = x.shape, dw.shape[:2], dy.shape
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for o in range(outputs):
                    for u in range(kh):
                        for v in range(kw):
                            h = i * stride[0] + u * dilation[0] - padding[0]
                            g = j * stride[1] + v * dilation[1] - padding[1]
                            if 0 <= h < H and 0 <= g < W:
                                for c in range(C):
                                    dw[u, v, c, o] += x[n, h, g, c] * dy[n, i, j, o]


# ---------------------------------------------------------------- im2col and a BLAS


def _taps(padded, kernel_size, size, stride, dilation):
    """For each place (u, v) of the kernel, the pixels that it meets: a view of (N, Ho, Wo, C)."""
    for u in range(kernel_size[0]):
        for v in range(kernel_size[1]):
            rows = slice(u * dilation[0], u * dilation[0] + stride[0] * (size[0] - 1) + 1, stride[0])
            columns = slice(v * dilation[1], v * dilation[1] + stride[1] * (size[1] - 1) + 1, stride[1])
            yield u, v, padded[:, rows, columns]


def _im2col(x, kernel_size, size, stride, padding, dilation):
    """The patches under the kernel, as the rows of a matrix."""
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    cols = np.empty((x.shape[0], *size, *kernel_size, x.shape[3]), x.dtype)
    for u, v, pixels in _taps(padded, kernel_size, size, stride, dilation):
        cols[:, :, :, u, v] = pixels
    return cols.reshape(x.shape[0] * size[0] * size[1], -1)


def _blas_convolve(x, w, y, *options):
    cols = _im2col(x, w.shape[:2], y.shape[1:3], *options)
    y += (cols @ w.reshape(-1, w.shape[3])).reshape(y.shape)


def _blas_weight_gradient(x, dy, dw, *options):
    cols = _im2col(x, dw.shape[:2], dy.shape[1:3], *options)
    dw += (cols.T @ dy.reshape(-1, dy.shape[3])).reshape(dw.shape)


def _blas_input_gradient(dy, w, dx, stride, padding, dilation):
    (N, H, W, C), (top, left) = dx.shape, padding
    dcols = dy.reshape(-1, dy.shape[3]) @ w.reshape(-1, w.shape[3]).T
    dcols = dcols.reshape(*dy.shape[:3], *w.shape[:3])
    padded = np.zeros((N, H + 2 * top, W + 2 * left, C), dx.dtype)
    for u, v, pixels in _taps(padded, w.shape[:2], dy.shape[1:3], stride, dilation):
        pixels += dcols[:, :, :, u, v]
    dx += padded[:, top : top + H, left : left + W]


ERAS = {
    "plain loops": Products(_plain_convolve, _plain_input_gradient, _plain_weight_gradient),
    "im2col and BLAS": Products(_blas_convolve, _blas_input_gradient, _blas_weight_gradient),
}


# ---------------------------------------------------------------- a network of those days


class Historic(Layer):
    """Does what a (transposed) convolution of today does, with the same arrays, by the products given."""

    def __init__(self, layer: Conv2d | ConvTranspose2d, products: Products):
        super().__init__()
        self.layer, self.products = layer, products
        self.params, self.frozen = layer.params, layer.frozen
        self.options = layer.window.stride, layer.window.padding, layer.window.dilation
        self.transposed = isinstance(layer, ConvTranspose2d)
        if layer.window.groups > 1:
            raise NotImplementedError("groups")

    def forward(self, x, *, train=False, rng=None):
        y = np.zeros(self.output_shape(x.shape), x.dtype)
        y += self.params.get("bias", x.dtype.type(0))
        forward = self.products.input_gradient if self.transposed else self.products.convolve
        forward(x, self.params["weight"], y, *self.options)
        return y, x

    def backward(self, dy, cache, needs=("input", "parameters")):
        x, dx, grads, w = cache, None, {}, self.params["weight"]
        if "input" in needs:
            dx = np.zeros_like(x)
            backward = self.products.convolve if self.transposed else self.products.input_gradient
            backward(dy, w, dx, *self.options)
        if "parameters" in needs:
            grads["weight"] = np.zeros_like(w)
            images, upstream = (dy, x) if self.transposed else (x, dy)
            self.products.weight_gradient(images, upstream, grads["weight"], *self.options)
            if "bias" in self.params:
                grads["bias"] = dy.sum(axis=(0, 1, 2))
        return dx, grads

    def output_shape(self, *shapes):
        return self.layer.output_shape(*shapes)


def historic(net: Network, products: Products) -> Network:
    """The same network, and the same weights, with convolutions as they once were."""
    old = Network(net.image_shape)
    for name, (layer, reads) in net.nodes.items():
        is_convolution = isinstance(layer, (Conv2d, ConvTranspose2d))
        old.add(name, Historic(layer, products) if is_convolution else layer, *reads)
    return old


@dataclass
class HistoryRow(NetworkRow):
    """A network of today, of the past, and, to compare, PyTorch's.

    Those of the past decide for themselves at ReLUs and max-pools, so only their own gradients are compared.
    """

    def contestants(self):
        past = [
            Contestant("history", era, self._with_network(lambda p=products: historic(self.make(), p)))
            for era, products in ERAS.items()
        ]
        return [c for c in super().contestants() if c.side in (OURS, "torch")] + past

    def _with_network(self, make):
        row = NetworkRow(self.name, make, self.image_shape, self.train)

        def prepare():
            call, results = row.contestants()[0].prepare()
            return Ready(call, lambda: {k: a for k, a in results().items() if not k.startswith(GRADIENT)})

        return prepare
