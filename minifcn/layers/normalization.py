"""Normalisation: numbers measured by their neighbours."""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.local_response import (
    normalize,
    normalize_backward,
    scales,
    scales_definition,
    window_sum,
)
from minifcn.layers.base import Layer, positive


class LocalResponseNorm(Layer):
    """y = x / s^beta with s = k + alpha / size · the sum of x² over the `size` channels around each channel.

    Channels beyond the first and the last count as 0. The gradient: as s_j holds x_i² for all channels j in
    the window of i,

        dx_i = dy_i / s_i^beta - 2 alpha beta / size · x_i · sum over that window of dy_j y_j / s_j

    Raises ValueError if size is even or less than 1, or k not positive. Source: Krizhevsky, Sutskever & Hinton
    (2012), section 3.3, with alpha divided by size as in Caffe and PyTorch.
    """

    recordable = True

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = positive(size, "size")
        if size % 2 == 0:
            raise ValueError(f"size is {size}; expected an odd number, with as many channels on either side")
        if not k > 0:
            raise ValueError(f"k is {k}; expected a positive number")
        self.alpha, self.beta, self.k = float(alpha), float(beta), float(k)

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        options = self.size, self.alpha, self.beta, self.k
        if x.dtype != np.float32:
            s, power = scales_definition(x, *options)
            return x * power, (x, s, power)
        s, power, y = (memory.empty(x.shape) for _ in range(3))
        flat = x.reshape(-1), power.reshape(-1)
        scales(flat[0], x.shape[-1], *options, s.reshape(-1), flat[1])
        normalize(*flat, y.reshape(-1))
        return y, (x, s, power)

    def backward(self, dy, cache):
        x, s, power = cache
        dy = self._upstream(dy, x.shape, x.dtype)
        factor = 2 * self.alpha * self.beta / self.size
        if x.dtype != np.float32:
            return dy * power - factor * x * window_sum(dy * x * power / s, self.size), {}
        dx = memory.empty(x.shape)
        flat = (array.reshape(-1) for array in (dy, x, s, power))
        normalize_backward(*flat, x.shape[-1], self.size, np.float32(factor), dx.reshape(-1))
        return dx, {}

    def __repr__(self):
        return f"LocalResponseNorm({self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k})"
