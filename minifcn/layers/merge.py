"""Where branches of a network meet: sums, concatenations, and crops that make them fit."""

import numpy as np

from minifcn.layers.base import Footprint, Layer, Pair, Shape, pair, short


class Add(Layer):
    """y = the sum of all inputs, which have one shape; each input gets dy. FCN fuses its skips like this."""

    def forward(self, *inputs, train=False, rng=None):
        first, *others = (self._floats(x, inputs[0]) for x in inputs)
        self.output_shape(*(x.shape for x in inputs))
        y = first.copy()
        for x in others:
            y += x
        return y, (len(inputs), y.shape, y.dtype)

    def backward(self, dy, cache):
        count, shape, dtype = cache
        return (self._upstream(dy, shape, dtype),) * count, {}

    def output_shape(self, *shapes: Shape) -> Shape:
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"{self!r} expects inputs of one shape, got {', '.join(map(str, shapes))}")
        return shapes[0]


class Concat(Layer):
    """y = the inputs side by side along the channels; each input gets its slice of dy. U-Net fuses like this."""

    def forward(self, *inputs, train=False, rng=None):
        contiguous = [self._floats(x, inputs[0]) for x in inputs]
        self.output_shape(*(x.shape for x in inputs))
        y = np.concatenate(contiguous, axis=-1)
        return y, ([x.shape[-1] for x in inputs], y.shape, y.dtype)

    def backward(self, dy, cache):
        channels, shape, dtype = cache
        dy = self._upstream(dy, shape, dtype)
        return tuple(np.split(dy, np.cumsum(channels)[:-1], axis=-1)), {}

    def output_shape(self, *shapes: Shape) -> Shape:
        if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise ValueError(
                f"{self!r} expects inputs that differ in channels only, got {', '.join(map(str, shapes))}"
            )
        return *shapes[0][:-1], sum(shape[-1] for shape in shapes)


class Crop(Layer):
    """y = x[:, offset : offset + H, offset : offset + W], where (H, W) is the size of the second input.

    Not a centred crop: FCN's offsets follow from the geometry of its layers (see geometry.py), and the rest is
    cut off at the far side. dx is dy with zeros around it; the second input lends only its size, so its
    gradient is None. Raises ValueError if x is too small.
    """

    def __init__(self, offset: int | Pair = 0):
        super().__init__()
        self.offset = pair(offset, "offset", 0)

    def forward(self, x, like, *, train=False, rng=None):
        x = self._floats(x)
        shape = self.output_shape(x.shape, like.shape)
        return np.ascontiguousarray(x[self._inside(shape)]), (x.shape, shape)

    def backward(self, dy, cache):
        whole, shape = cache
        dy = self._upstream(dy, shape, dy.dtype)
        if whole == shape:
            return (dy, None), {}
        dx = np.zeros(whole, dy.dtype)
        dx[self._inside(shape)] = dy
        return (dx, None), {}

    def _inside(self, shape):
        (top, left), (_, H, W, _) = self.offset, shape
        return slice(None), slice(top, top + H), slice(left, left + W)

    def output_shape(self, *shapes: Shape) -> Shape:
        (N, H, W, C), (_, h, w, _) = map(self._images, shapes)
        if self.offset[0] + h > H or self.offset[1] + w > W:
            raise ValueError(f"{self!r} cannot cut {h}x{w} out of an input of {H}x{W}")
        return N, h, w, C

    def footprint(self, which=0):
        return None if which else tuple(Footprint(1, offset, offset) for offset in self.offset)

    def __repr__(self):
        return f"Crop({short(self.offset)})"
