"""Padding as a layer of its own: zeros, or the image mirrored at its border."""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.crop import crop
from minifcn.kernels.recording import unrecorded
from minifcn.layers.base import Footprint, Layer, Pair, Shape, pair, short


def mirrored(size: int, before: int, after: int) -> np.ndarray:
    """Which of `size` pixels stands at each place of a line with `before` and `after` mirrored ones around them.

    The border pixel is not there twice. Beyond the other end the mirror image is mirrored again.

    >>> mirrored(3, before=1, after=4).tolist()
    [1, 0, 1, 2, 1, 0, 1, 2]
    """
    period = max(1, 2 * (size - 1))
    place = np.arange(-before, size + after) % period
    return np.minimum(place, period - place)


class Pad2d(Layer):
    """y is x with `padding` pixels more on each side: (N, H, W, C) -> (N, H + 2 ph, W + 2 pw, C).

    mode="zeros" fills with 0. mode="reflect" goes on with the mirror image, without the border pixel once more:
    c b | a b c | b a, and on from end to end if the padding is larger than the image. A pixel gets the gradients of
    all its images. Raises ValueError for another mode. Source of mirrored borders: Ronneberger, Fischer & Brox,
    U-Net (2015), figure 2.

    >>> y, _ = Pad2d((0, 2), mode="reflect").forward(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1))
    >>> y.ravel().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """

    recordable = True

    def __init__(self, padding: int | Pair, mode: str = "zeros"):
        super().__init__()
        self.padding = pair(padding, "padding", 0)
        if mode not in ("zeros", "reflect"):
            raise ValueError(f"mode is {mode!r}; expected zeros or reflect")
        self.mode = mode

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        _, H, W, _ = self._images(x.shape)
        (ph, pw) = self.padding
        if self.mode == "zeros":
            y = memory.empty(self.output_shape(x.shape), x.dtype)
            crop(x, (0, -ph, -pw, 0), y)
            return y, x.shape
        unrecorded(repr(self))
        return x.take(mirrored(H, ph, ph), axis=1).take(mirrored(W, pw, pw), axis=2), x.shape

    def backward(self, dy, cache):
        dy = dx = self._upstream(dy, self.output_shape(cache), dy.dtype)
        if self.mode == "zeros":
            dx = memory.empty(cache, dy.dtype)
            crop(dy, (0, *self.padding, 0), dx)
            return dx, {}
        unrecorded(repr(self))
        for axis, p in zip((1, 2), self.padding):
            dx = self._backward_along(dx.swapaxes(0, axis), p).swapaxes(0, axis)
        return np.ascontiguousarray(dx), {}

    def _backward_along(self, dy, p):
        """The first axis without its padding; what was a reflection is added to the pixel it came from."""
        n = len(dy) - 2 * p
        dx = np.zeros((n, *dy.shape[1:]), dy.dtype)
        for source, gradient in zip(mirrored(n, p, p), dy):
            dx[source] += gradient
        return dx

    def output_shape(self, *shapes: Shape) -> Shape:
        N, H, W, C = self._images(shapes[0])
        return N, H + 2 * self.padding[0], W + 2 * self.padding[1], C

    def footprint(self, which=0):
        """Pixel i is pixel i - p. Where that is beyond the border, it stands for its mirror image."""
        return tuple(Footprint(1, -p, -p) for p in self.padding)

    def __repr__(self):
        return f"Pad2d({short(self.padding)}{f', mode={self.mode!r}' * (self.mode != 'zeros')})"
