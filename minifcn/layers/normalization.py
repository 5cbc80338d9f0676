"""Normalisation: numbers measured by their neighbours."""

from minifcn.layers.base import Layer, positive


class LocalResponseNorm(Layer):
    """y = x / s^beta with s = k + alpha / size · the sum of x² over the `size` channels around each channel.

    Channels beyond the first and the last count as 0. The gradient: as s_j holds x_i² for all channels j in
    the window of i,

        dx_i = dy_i / s_i^beta - 2 alpha beta / size · x_i · sum over that window of dy_j y_j / s_j

    Raises ValueError if size is even or less than 1. Source: Krizhevsky, Sutskever & Hinton (2012), section
    3.3, with alpha divided by size as in Caffe and PyTorch.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = positive(size, "size")
        if size % 2 == 0:
            raise ValueError(f"size is {size}; expected an odd number, with as many channels on either side")
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        s = self._window_sum(x * x)
        s *= self.alpha / self.size
        s += self.k
        y = x * s ** x.dtype.type(-self.beta)
        return y, (x, s, y)

    def backward(self, dy, cache):
        x, s, y = cache
        dy = self._upstream(dy, y.shape, y.dtype)
        scale = x.dtype.type(2 * self.alpha * self.beta / self.size)
        dx = dy * s ** x.dtype.type(-self.beta) - scale * x * self._window_sum(dy * y / s)
        return dx, {}

    def _window_sum(self, x):
        """The sum over the channels c - size // 2 … c + size // 2."""
        total = x.copy()
        for shift in range(1, self.size // 2 + 1):
            total[..., shift:] += x[..., :-shift]
            total[..., :-shift] += x[..., shift:]
        return total

    def __repr__(self):
        return f"LocalResponseNorm({self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k})"
