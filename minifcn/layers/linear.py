"""Fully connected layers: every output sees every input."""

import numpy as np

from minifcn import initialize
from minifcn.kernels.bias import add_bias, bias_gradient
from minifcn.kernels.matmul import matmul
from minifcn.layers.base import WHOLE, Layer, Shape, positive
from minifcn.layers.conv import ALL


class Linear(Layer):
    """y = x w + b, with x (..., in_features) and y (..., out_features).

    `weight` is (in_features, out_features), drawn by He's rule from `rng`; `bias` is (out_features,), zero.
    dx = dy wᵀ, dw = xᵀ dy, db = the sum of dy over the batch.

    Raises ValueError for another number of features, TypeError for another type than the parameters'.
    """

    recordable = True

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
        y = np.empty(self.output_shape(x.shape), x.dtype)
        rows = y.reshape(-1, self.out_features)
        matmul(x.reshape(-1, self.in_features), self.params["weight"], rows, add=False)
        if "bias" in self.params:
            add_bias(rows, self.params["bias"])
        return y, x

    def backward(self, dy, cache, needs=ALL):
        x, dx, grads = cache, None, {}
        dy = self._upstream(dy, self.output_shape(x.shape), x.dtype).reshape(-1, self.out_features)
        if "input" in needs:
            dx = np.empty_like(x)
            matmul(dy, self.params["weight"].T, dx.reshape(-1, self.in_features), add=False)
        if "parameters" in needs:
            grads["weight"] = np.empty(self.params["weight"].shape, x.dtype)
            matmul(x.reshape(-1, self.in_features).T, dy, grads["weight"], add=False)
            if "bias" in self.params:
                grads["bias"] = np.empty(self.out_features, x.dtype)
                bias_gradient(dy, grads["bias"])
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

    recordable = True

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
