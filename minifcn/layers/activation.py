"""Functions of single numbers, softmax over the channels, and dropout."""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.recording import outside
from minifcn.kernels.rectify import rectify, rectify_backward
from minifcn.layers.base import Layer
from minifcn.layers.merge import multiplied


class ReLU(Layer):
    """y = max(x, 0); dx = dy where y > 0."""

    recordable = True

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        y = memory.empty(x.shape, x.dtype)
        rectify(x.reshape(-1), y.reshape(-1))
        return y, y

    def backward(self, dy, cache):
        dy = self._upstream(dy, cache.shape, cache.dtype)
        dx = memory.empty(cache.shape, cache.dtype)
        rectify_backward(dy.reshape(-1), cache.reshape(-1), dx.reshape(-1))
        return dx, {}


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)); dx = dy y (1 - y). Written with exp of negative numbers only: no overflow."""

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        e = np.exp(-np.abs(x))
        y = np.where(x >= 0, 1, e) / (1 + e)
        return y, y

    def backward(self, dy, cache):
        return self._upstream(dy, cache.shape, cache.dtype) * cache * (1 - cache), {}


class Tanh(Layer):
    """y = tanh(x); dx = dy (1 - y²)."""

    def forward(self, x, *, train=False, rng=None):
        y = np.tanh(self._floats(x))
        return y, y

    def backward(self, dy, cache):
        return self._upstream(dy, cache.shape, cache.dtype) * (1 - cache * cache), {}


class Softmax(Layer):
    """y = exp(x) / sum of exp(x) over the last axis; dx = y (dy - sum of dy y).

    The largest x is subtracted first, which changes nothing but keeps exp from overflowing.
    """

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        y = e / e.sum(axis=-1, keepdims=True)
        return y, y

    def backward(self, dy, cache):
        dy = self._upstream(dy, cache.shape, cache.dtype)
        return cache * (dy - (dy * cache).sum(axis=-1, keepdims=True)), {}


class Dropout(Layer):
    """In training each number is dropped with probability p and the others are divided by 1 - p.

    So the mean stays, and nothing is to be done afterwards: y = x outside training. Raises ValueError unless
    0 <= p < 1. Source: Srivastava et al., Dropout (2014), section 10 (the "inverted" form).
    """

    recordable = True

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p is {p}; expected a probability, 0 <= p < 1")
        self.p = p

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        if not train or self.p == 0:
            return x, None
        rng = np.random.default_rng() if rng is None else rng
        mask: np.ndarray = outside(
            lambda: (rng.random(x.shape, np.float32) >= self.p) / x.dtype.type(1 - self.p)
        )
        return multiplied(x, mask), mask

    def backward(self, dy, cache):
        return (dy if cache is None else multiplied(self._upstream(dy, cache.shape, cache.dtype), cache)), {}

    def __repr__(self):
        return f"Dropout({self.p})"
