"""Unpooling: each number goes back to where a max-pooling had found its maximum."""

from fractions import Fraction

from minifcn.kernels import memory, pooling
from minifcn.kernels.crop import fill
from minifcn.kernels.unpool import gather, gather_2x2
from minifcn.layers.base import Footprint, Layer, Pair, Shape
from minifcn.layers.pooling import MaxPool2d


class MaxUnpool2d(Layer):
    """y = x at the maxima of `pooled`, 0 elsewhere. It reads x and `pooled`, the image that a MaxPool2d has read.

    The options are those of that pooling, whose windows must not overlap. x has the size of its output, y that of
    its input, odd or even. The maxima are found once more, by its own rule: of equal ones the first, row by row.
    dx is dy at the maxima; moving `pooled` a little moves no maximum, so its gradient is None.

    Raises ValueError for windows that overlap, and for inputs that do not fit together. Sources: Zeiler, Taylor
    & Fergus, Adaptive deconvolutional networks (2011), section 2.2; Badrinarayanan, Kendall & Cipolla, SegNet
    (2017), section 3.

    >>> import numpy as np
    >>> x, pooled = np.array([[7.0]]), np.array([[1.0, 2.0], [4.0, 3.0]])
    >>> y, _ = MaxUnpool2d(2).forward(x.reshape(1, 1, 1, 1), pooled.reshape(1, 2, 2, 1))
    >>> y[0, :, :, 0]
    array([[0., 0.],
           [7., 0.]])
    """

    recordable = True

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.pool = MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode)
        w = self.pool.window
        if any(s < d * (k - 1) + 1 for k, s, d in zip(w.kernel_size, w.stride, w.dilation)):
            raise ValueError(f"{self!r} has windows that overlap: two numbers could go to one place")

    def forward(self, x, pooled, *, train=False, rng=None):
        x = self._floats(x)
        shape = self.output_shape(x.shape, pooled.shape)
        largest, (where, _, _) = self.pool.forward(self._floats(pooled, x))
        y = memory.empty(shape, x.dtype)
        if self.pool.side_by_side:
            pooling.max_pool_2x2_backward(x, where, largest, False, y)
        else:
            fill(y.reshape(-1), 0)
            pooling.max_pool_backward(x, where, y, False)
        return y, (where, shape)

    def backward(self, dy, cache):
        where, shape = cache
        dy = self._upstream(dy, shape, dy.dtype)
        dx = memory.empty(where.shape, dy.dtype)
        (gather_2x2 if self.pool.side_by_side else gather)(dy, where, dx)
        return (dx, None), {}

    def output_shape(self, *shapes: Shape) -> Shape:
        found, pooled = map(self._images, shapes)
        expected = self.pool.output_shape(pooled)
        if found != expected:
            raise ValueError(f"{self!r} expects an input of {expected} for an image of {pooled}, got {found}")
        return pooled

    def footprint(self, which=0):
        """Pixel i is in the windows from (i + p - d (k - 1)) / s up to (i + p) / s, of which it sees all pixels."""
        w = self.pool.window
        axes = tuple(zip(w.kernel_size, w.stride, w.padding, w.dilation))
        if which:
            return tuple(Footprint(1, -d * (k - 1), d * (k - 1)) for k, _, _, d in axes)
        return tuple(
            Footprint(Fraction(1, s), Fraction(p - d * (k - 1), s), Fraction(p, s)) for k, s, p, d in axes
        )

    def __repr__(self):
        return repr(self.pool).replace("MaxPool2d", "MaxUnpool2d")
