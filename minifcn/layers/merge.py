"""Where branches of a network meet: sums, concatenations, and crops that make them fit."""

import numpy as np

from minifcn.kernels import memory, merge
from minifcn.kernels.crop import crop
from minifcn.kernels.recording import unrecorded
from minifcn.layers.base import Footprint, Layer, Pair, Shape, pair, short


def summed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b. ValueError unless both have one shape and type."""
    return _number_by_number(merge.add, "add", a, b)


def multiplied(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b, number by number. ValueError unless both have one shape and type."""
    return _number_by_number(merge.multiply, "multiply", a, b)


def _number_by_number(kernel, what, a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(f"cannot {what} {a.dtype} of shape {a.shape} and {b.dtype} of shape {b.shape}")
    y = memory.empty(a.shape, a.dtype)
    kernel(a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return y


class Add(Layer):
    """y = the sum of all inputs, which have one shape; each input gets dy. FCN fuses its skips like this."""

    recordable = True

    def forward(self, *inputs, train=False, rng=None):
        first, *others = (self._floats(x, inputs[0]) for x in inputs)
        self.output_shape(*(x.shape for x in inputs))
        if not others:
            unrecorded("a sum of one")
        y = summed(first, others[0]) if others else first.copy()
        for x in others[1:]:
            merge.add(y.reshape(-1), x.reshape(-1), y.reshape(-1))
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

    recordable = True

    def forward(self, *inputs, train=False, rng=None):
        contiguous = [self._floats(x, inputs[0]) for x in inputs]
        y = memory.empty(self.output_shape(*(x.shape for x in inputs)), inputs[0].dtype)
        channels, at = [x.shape[-1] for x in inputs], 0
        for x, count in zip(contiguous, channels):
            merge.copy_channels(_pixels(x), 0, _pixels(y), at, count)
            at += count
        return y, (channels, y.shape, y.dtype)

    def backward(self, dy, cache):
        channels, shape, dtype = cache
        dy = self._upstream(dy, shape, dtype)
        parts, at = [], 0
        for count in channels:
            parts.append(memory.empty((*shape[:-1], count), dtype))
            merge.copy_channels(_pixels(dy), at, _pixels(parts[-1]), 0, count)
            at += count
        return tuple(parts), {}

    def output_shape(self, *shapes: Shape) -> Shape:
        if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise ValueError(
                f"{self!r} expects inputs that differ in channels only, got {', '.join(map(str, shapes))}"
            )
        return *shapes[0][:-1], sum(shape[-1] for shape in shapes)


def _pixels(images):
    return images.reshape(-1, images.shape[-1])


class Crop(Layer):
    """y = x[:, offset : offset + H, offset : offset + W], where (H, W) is the size of the second input.

    Not a centred crop: FCN's offsets follow from the geometry of its layers (see geometry.py), and the rest is
    cut off at the far side. dx is dy with zeros around it; the second input lends only its size, so its
    gradient is None. Raises ValueError if x is too small.
    """

    recordable = True

    def __init__(self, offset: int | Pair = 0):
        super().__init__()
        self.offset = pair(offset, "offset", 0)

    def forward(self, x, like, *, train=False, rng=None):
        x = self._floats(x)
        shape = self.output_shape(x.shape, like.shape)
        if x.shape == shape:
            return x, (x.shape, shape)
        y = memory.empty(shape, x.dtype)
        crop(x, (0, *self.offset, 0), y)
        return y, (x.shape, shape)

    def backward(self, dy, cache):
        whole, shape = cache
        dy = self._upstream(dy, shape, dy.dtype)
        if whole == shape:
            return (dy, None), {}
        dx, (top, left) = memory.empty(whole, dy.dtype), self.offset
        crop(dy, (0, -top, -left, 0), dx)
        return (dx, None), {}

    def output_shape(self, *shapes: Shape) -> Shape:
        (N, H, W, C), (_, h, w, _) = map(self._images, shapes)
        if self.offset[0] + h > H or self.offset[1] + w > W:
            raise ValueError(f"{self!r} cannot cut {h}x{w} out of an input of {H}x{W}")
        return N, h, w, C

    def footprint(self, which=0):
        return None if which else tuple(Footprint(1, offset, offset) for offset in self.offset)

    def __repr__(self):
        return f"Crop({short(self.offset)})"
