"""Padding as a layer of its own: zeros, or the image mirrored at its border."""

import numpy as np

from minifcn.layers.base import Footprint, Layer, Pair, Shape, pair, short


class Pad2d(Layer):
    """y is x with `padding` pixels more on each side: (N, H, W, C) -> (N, H + 2 ph, W + 2 pw, C).

    mode="zeros" fills with 0. mode="reflect" goes on with the mirror image, without the border pixel once more:
    c b | a b c | b a. A pixel then gets the gradients of all its images. Raises ValueError for another mode, and
    for an image that is not larger than its reflection. Source of mirrored borders: Ronneberger, Fischer & Brox,
    U-Net (2015), figure 2.

    >>> y, _ = Pad2d((0, 2), mode="reflect").forward(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1))
    >>> y.ravel().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """

    def __init__(self, padding: int | Pair, mode: str = "zeros"):
        super().__init__()
        self.padding = pair(padding, "padding", 0)
        if mode not in ("zeros", "reflect"):
            raise ValueError(f"mode is {mode!r}; expected zeros or reflect")
        self.mode = mode

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        self.output_shape(x.shape)
        (ph, pw) = self.padding
        frame = ((0, 0), (ph, ph), (pw, pw), (0, 0))
        return np.pad(x, frame, "constant" if self.mode == "zeros" else "reflect"), x.shape

    def backward(self, dy, cache):
        dx = self._upstream(dy, self.output_shape(cache), dy.dtype)
        for axis, p in zip((1, 2), self.padding):
            dx = self._backward_along(dx.swapaxes(0, axis), p).swapaxes(0, axis)
        return np.ascontiguousarray(dx), {}

    def _backward_along(self, dy, p):
        """The first axis without its padding; what was a reflection is folded back."""
        n = len(dy) - 2 * p
        dx = dy[p : p + n].copy()
        if self.mode == "reflect" and p:
            dx[1 : p + 1] += dy[:p][::-1]
            dx[n - 1 - p : n - 1] += dy[p + n :][::-1]
        return dx

    def output_shape(self, *shapes: Shape) -> Shape:
        N, H, W, C = self._images(shapes[0])
        if self.mode == "reflect" and any(p >= n for n, p in zip((H, W), self.padding)):
            raise ValueError(f"{self!r} needs an image larger than its padding, got {H}x{W}")
        return N, H + 2 * self.padding[0], W + 2 * self.padding[1], C

    def footprint(self, which=0):
        """Pixel i is pixel i - p. Where that is beyond the border, it stands for its mirror image."""
        return tuple(Footprint(1, -p, -p) for p in self.padding)

    def __repr__(self):
        return f"Pad2d({short(self.padding)}{f', mode={self.mode!r}' * (self.mode != 'zeros')})"
