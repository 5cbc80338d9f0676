"""Fully connected layers: every output sees every input."""

import numpy as np

from minifcn import initialize
from minifcn.kernels.matmul import matmul
from minifcn.layers.base import WHOLE, Layer, Shape, positive
from minifcn.layers.conv import ALL


class Linear(Layer):
    """y = x w + b, with x (..., in_features) and y (..., out_features).

    `weight` is (in_features, out_features), drawn by He's rule from `rng`; `bias` is (out_features,), zero.
    dx = dy wᵀ, dw = xᵀ dy, db = the sum of dy over the batch.

    Raises ValueError for another number of features, TypeError for another type than the parameters'.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: type = np.float32,
    ):
        super().__init__()
        self.in_features = positive(in_features, "in_features")
        self.out_features = positive(out_features, "out_features")
        shape = (in_features, out_features)
        self.params["weight"] = initialize.he(shape, in_features, np.random.default_rng(rng), dtype)
        if bias:
            self.params["bias"] = np.zeros(out_features, dtype)

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x, self.params["weight"])
        y = np.zeros(self.output_shape(x.shape), x.dtype)
        if "bias" in self.params:
            y += self.params["bias"]
        matmul(x.reshape(-1, self.in_features), self.params["weight"], y.reshape(-1, self.out_features))
        return y, x

    def backward(self, dy, cache, needs=ALL):
        x, dx, grads = cache, None, {}
        dy = self._upstream(dy, self.output_shape(x.shape), x.dtype).reshape(-1, self.out_features)
        if "input" in needs:
            dx = np.zeros_like(x)
            matmul(dy, self.params["weight"].T, dx.reshape(-1, self.in_features))
        if "parameters" in needs:
            grads["weight"] = np.zeros(self.params["weight"].shape, x.dtype)
            matmul(x.reshape(-1, self.in_features).T, dy, grads["weight"])
            if "bias" in self.params:
                grads["bias"] = dy.sum(axis=0)
        return dx, grads

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if len(shape) < 2 or min(shape) < 1 or shape[-1] != self.in_features:
            raise ValueError(
                f"{self!r} expects an input of shape (N, {self.in_features}), got {tuple(shape)}"
            )
        return *shape[:-1], self.out_features

    def footprint(self, which=0):
        return WHOLE

    def __repr__(self):
        bias = "" if "bias" in self.params else ", bias=False"
        return f"Linear({self.in_features}, {self.out_features}{bias})"


class Flatten(Layer):
    """(N, H, W, C) -> (N, H W C), row by row and channels last.

    The order decides what a Linear layer behind it means: PyTorch and Caffe flatten C, H, W.
    """

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        return x.reshape(self.output_shape(x.shape)), x.shape

    def backward(self, dy, cache):
        return self._upstream(dy, self.output_shape(cache), dy.dtype).reshape(cache), {}

    def output_shape(self, *shapes: Shape) -> Shape:
        N, H, W, C = self._images(shapes[0])
        return N, H * W * C

    def footprint(self, which=0):
        return WHOLE
