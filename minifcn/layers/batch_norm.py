"""Batch normalisation: each channel brought to mean 0 and variance 1, then to others that are learned."""

from typing import NamedTuple

import numpy as np

from minifcn.kernels import memory, normalize
from minifcn.layers.base import POINTWISE, Footprint, Layer, positive

ALL = ("input", "parameters")
EVERYWHERE = (Footprint(1, -float("inf"), float("inf")),) * 2


class _Cache(NamedTuple):
    x: np.ndarray  # contiguous, (N, H, W, C)
    mean: np.ndarray
    variance: np.ndarray
    of_batch: bool  # whether these are the statistics of x itself


class BatchNorm2d(Layer):
    """y = weight (x - mean) / √(variance + eps) + bias, channel by channel.

    In training, mean and variance are those of the channel over the batch and all M = N H W pixels. They depend
    on x, so with x̂ = (x - mean) / √(variance + eps)

        dweight = sum of dy x̂,    dbias = sum of dy
        dx = weight / √(variance + eps) · (dy - dbias / M - x̂ dweight / M)

    Otherwise they are the running averages in `state`, constants: dx = weight / √(variance + eps) · dy.
    `remember` moves these by `momentum` towards the statistics of a batch, of the variance its unbiased estimate,
    M / (M - 1) times as large (as PyTorch does). A network calls it for every forward pass in training.

    With `batch_statistics` the layer takes those of the batch in every use, as FC-DenseNet does: an output then
    depends on all pixels. Raises ValueError for num_features, eps or momentum out of range.

    Source: Ioffe & Szegedy, Batch normalization (2015), algorithms 1 and 2.

    >>> layer = BatchNorm2d(1)
    >>> y, cache = layer.forward(np.array([1.0, 3.0], np.float32).reshape(1, 1, 2, 1), train=True)
    >>> y.ravel().round(3).tolist()
    [-1.0, 1.0]
    >>> layer.remember(cache)
    >>> layer.state["running_mean"]   # 0.9 · 0 + 0.1 · 2
    array([0.2], dtype=float32)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        batch_statistics: bool = False,
        dtype: type = np.float32,
    ):
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        if not eps > 0:
            raise ValueError(f"eps is {eps}; expected a positive number")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; expected 0 to 1")
        self.eps, self.momentum, self.batch_statistics = float(eps), float(momentum), batch_statistics
        C = self.num_features
        self.params = {"weight": np.ones(C, dtype), "bias": np.zeros(C, dtype)}
        self.state = {"running_mean": np.zeros(C, dtype), "running_var": np.ones(C, dtype)}

    rectifies = True
    recordable = True

    def forward(self, x, *, train=False, rng=None, relu=False):
        """With `relu`, y is max(0, y)."""
        x = self._floats(x, self.params["weight"])
        of_batch = train or self.batch_statistics
        self._images(x.shape, self.num_features)
        if of_batch:
            mean, variance = normalize.moments(self._pixels(x))
        else:
            mean, variance = self.state["running_mean"], self.state["running_var"]
        y, least = memory.empty(x.shape, x.dtype), x.dtype.type(0 if relu else -np.inf)
        parameters = self.eps, self.params["weight"], self.params["bias"]
        normalize.scale_and_shift(self._pixels(x), mean, variance, *parameters, self._pixels(y), least)
        return y, _Cache(x, mean, variance, of_batch)

    def backward(self, dy, cache, needs=ALL):
        x, mean, variance, of_batch = cache
        dy = self._upstream(dy, x.shape, x.dtype)
        pixels, weight = (self._pixels(dy), self._pixels(x)), self.params["weight"]
        sums, dx, grads = normalize.gradient_sums(*pixels, mean), None, {}
        if "input" in needs:
            dx = memory.empty(x.shape, x.dtype)
            statistics = mean, variance, self.eps
            normalize.input_gradient(*pixels, *statistics, weight, sums, of_batch, self._pixels(dx))
        if "parameters" in needs:
            grads = {name: np.empty_like(array) for name, array in self.params.items()}
            normalize.parameter_gradients(sums, variance, self.eps, grads["weight"], grads["bias"])
        return dx, grads

    def remember(self, cache):
        """Move the running averages towards the statistics of the batch that the cache is from."""
        M = cache.x.size // self.num_features
        normalize.remember(self.state["running_mean"], cache.mean, 1.0, self.momentum)
        normalize.remember(self.state["running_var"], cache.variance, M / max(M - 1, 1), self.momentum)

    def footprint(self, which=0):
        return EVERYWHERE if self.batch_statistics else POINTWISE

    def _pixels(self, images):
        return images.reshape(-1, self.num_features)

    def __repr__(self):
        options = "".join(
            f", {name}={value}"
            for name, value, default in (("eps", self.eps, 1e-5), ("momentum", self.momentum, 0.1))
            if value != default
        )
        return f"BatchNorm2d({self.num_features}{options}{', batch_statistics=True' * self.batch_statistics})"
